/** The command `baton` as a user starts it: a process of its own, compiled. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '@baton/cli'

const main = fileURLToPath(new URL('./main.js', import.meta.resolve('@baton/cli')))
const stopMs = 15_000

export interface BatonProcess {
  readonly pid: number
  /** Of a coordinator: where it answers. */
  readonly url: string
  /** Of a worker: its id in Baton. */
  readonly id: string
  /** Whether it has not ended yet. */
  readonly lives: boolean
  stop(): Promise<void>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

interface BatonOptions {
  /** Default: the command. Another program says on its first line what the command would. */
  readonly program?: string
  /** Without `--json`, which is added. */
  readonly args: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
  readonly cwd: string
  readonly signal: AbortSignal
}

/** The environment without what would steer a process past its arguments. */
export function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !/^(BATON_.*|PORT|DATABASE_URL|REDIS_URL|NATS_URL|NODE_OPTIONS|npm_.*|INIT_CWD)$/.test(entry[0]),
  )
  return Object.fromEntries(kept)
}

/** Resolves when it says that it is ready; throws when it ends before. It ends with this process. */
export async function startBaton({ program = main, args, settings, cwd, signal }: BatonOptions): Promise<BatonProcess> {
  signal.throwIfAborted()
  const child = spawn(process.execPath, [...nodeFlags, program, ...args, '--json'], {
    cwd,
    env: { ...cleanEnvironment(), LOG_LEVEL: 'warn', BATON_LOG_FILE: 'off', ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  signal.addEventListener('abort', killNow)
  const ended = once(child, 'exit')
  void ended.finally(() => {
    process.off('exit', killNow)
    signal.removeEventListener('abort', killNow)
  })
  const ready = await Promise.race([firstLine(child), ended.then(([code]) => Promise.reject(endedEarly(code, signal)))])
  const { url = '', id = '' } = JSON.parse(ready) as { url?: string; id?: string } // written by our own command
  return {
    pid: child.pid ?? 0, // it has written a line
    url,
    id,
    get lives() {
      return child.exitCode === null && child.signalCode === null
    },
    stop: async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(killNow, stopMs)
      await ended
      clearTimeout(timer)
    },
    kill: async () => {
      killNow()
      await ended
    },
  }
}

/** Starts local mode with the no-op agent; `data` is a directory, or `memory`. */
export async function startBatonUp(options: {
  data: string
  config: string
  cwd: string
  signal: AbortSignal
}): Promise<
  BatonProcess & { /** From its spawn until it had said that it takes requests, and `/readyz` agreed. */ readonly readyMs: number }
> {
  const { data, config, cwd, signal } = options
  const begun = performance.now()
  const baton = await startBaton({ args: ['up', '--host', '127.0.0.1', '--port', '0', '--data', data, '--config', config], cwd, signal })
  const answer = await fetch(`${baton.url}/readyz`)
  if (!answer.ok) throw new Error(`baton up said that it is ready, and /readyz answered ${answer.status}`)
  return Object.assign(baton, { readyMs: performance.now() - begun })
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('the process has no stdout')
  for await (const line of createInterface({ input: child.stdout })) return line
  return new Promise(() => undefined) // it ended, which its exit tells better
}

function endedEarly(code: unknown, signal: AbortSignal): unknown {
  return signal.aborted ? signal.reason : new Error(`baton ended with code ${String(code)} before it was ready`)
}
