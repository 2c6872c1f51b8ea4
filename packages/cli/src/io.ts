/** What a command is given of the process it runs in, so that tests can run commands in theirs. */
import { callerDirectory, type EnvironmentSource } from './env.js'

/** The part of a tty or file stream that commands use. */
export interface Sink {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

export interface Io {
  readonly cwd: string
  /** Where the user called from: `cwd`, unless npm changed it. */
  readonly calledFrom: string
  readonly env: EnvironmentSource
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly stdout: Sink
  readonly stderr: Sink
  /**
   * Takes Ctrl-C and SIGTERM over: the first aborts the signal, the second ends the process at once. Commands that leave
   * nothing behind do not ask for it, and are simply ended.
   */
  interruption(): AbortSignal
}

export function processIo(env: EnvironmentSource): Io {
  const cwd = process.cwd()
  let signal: AbortSignal | undefined
  return {
    cwd,
    calledFrom: callerDirectory(env, cwd),
    env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    interruption: () => {
      signal ??= interruption()
      return signal
    },
  }
}

/** Thrown, as the signal's reason, by whatever waited when the user pressed Ctrl-C. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted')
    this.name = 'Interrupted'
  }
}

function interruption(): AbortSignal {
  const controller = new AbortController()
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130) // children are ended by their watchdogs
    controller.abort(new Interrupted())
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupt)
  return controller.signal
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Hands `start` a signal that is aborted by an interruption during the start only: what has started is stopped in order. */
export async function whileStarting<T>(signal: AbortSignal, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const starting = new AbortController()
  const giveUp = () => starting.abort(signal.reason)
  if (signal.aborted) giveUp()
  else signal.addEventListener('abort', giveUp, { once: true })
  try {
    return await start(starting.signal)
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}
