/**
 * One process of a fleet that a test may kill, freeze and start again.
 *
 * Invariants: R1 it dies with the test's process, however that one ends. R2 all that it printed is kept, over all of its
 * lives, so that a test can demand a line.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { startWatchdog, type Watchdog } from '../../../packages/cli/src/servers/watchdog.js'
import { eventually } from '../../harness/eventually.js'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface FaultProcessOptions {
  readonly name: string
  readonly command: readonly string[]
  /** As it is at each start. */
  readonly env: () => Record<string, string>
  /** Told of every pid that it ever has. */
  readonly onPid: (pid: number) => void
}

interface Life {
  readonly pid: number
  readonly ended: Promise<Exit>
  exit: Exit | undefined
  /** What it said when it was ready. */
  ready: Record<string, unknown> | undefined
}

const readyMs = 60_000
const endMs = 10_000

export class FaultProcess {
  readonly name: string
  /** Everything on stderr so far, and what stdout had besides its first line. */
  readonly lines: string[] = []
  private readonly options: FaultProcessOptions
  private readonly watchdog: Watchdog = startWatchdog({ endWith: 'KILL', directory: undefined })
  private life: Life | undefined

  constructor(options: FaultProcessOptions) {
    this.options = options
    this.name = options.name
  }

  /** Of the process that runs now. Undefined: none does. */
  get pid(): number | undefined {
    return this.life?.exit ? undefined : this.life?.pid
  }

  get ready(): Record<string, unknown> | undefined {
    return this.life?.ready
  }

  /** How the last life ended. Undefined while it lasts. */
  get exit(): Exit | undefined {
    return this.life?.exit
  }

  /** Resolves when it is ready; also when it ended before, for which `exit` is to be looked at. */
  async start(): Promise<void> {
    if (this.pid !== undefined) throw new Error(`${this.name} runs already`)
    const [program = '', ...args] = this.options.command
    // In a session of its own: Ctrl-C reaches the test, which ends it.
    const child = spawn(program, args, { env: this.options.env(), detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const { pid } = child
    if (pid === undefined) throw await new Promise(resolve => child.once('error', resolve))
    this.watchdog.watch(pid) // R1
    this.options.onPid(pid)
    const ended = new Promise<Exit>(resolve => {
      child.once('close', (code, signal) => resolve({ code, signal })) // when all that it printed was read
    })
    const life: Life = { pid, ended, exit: undefined, ready: undefined }
    this.life = life
    void ended.then(exit => {
      life.exit = exit
      this.watchdog.forget()
    })
    createInterface({ input: child.stderr }).on('line', line => this.lines.push(line))
    const said = new Promise<void>(resolve => {
      createInterface({ input: child.stdout }).on('line', line => {
        if (life.ready) this.lines.push(line)
        else life.ready = JSON.parse(line) as Record<string, unknown> // the first line of `--json` is one document
        resolve()
      })
    })
    await within(readyMs, Promise.race([said, ended]), () => `${this.name} was not ready within ${readyMs} ms:\n${this.tail()}`)
  }

  /** As `kill -9`. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.life?.ended
  }

  /** In order. Resolves when it is gone; kills it when that takes too long. */
  async stop(): Promise<Exit | undefined> {
    this.signal('SIGTERM')
    const timer = setTimeout(() => this.signal('SIGKILL'), endMs)
    const exit = await this.life?.ended
    clearTimeout(timer)
    return exit
  }

  signal(signal: NodeJS.Signals): void {
    if (this.pid === undefined) return
    try {
      process.kill(this.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it has just ended by itself
    }
  }

  /** Resolves with how it ended, by itself or by a failpoint. */
  ended(timeoutMs = 30_000): Promise<Exit> {
    if (!this.life) throw new Error(`${this.name} was never started`)
    return within(timeoutMs, this.life.ended, () => `${this.name} still runs after ${timeoutMs} ms:\n${this.tail()}`)
  }

  /** Resolves when it has printed such a line, in whichever life. */
  async said(what: string | RegExp, timeoutMs = 30_000): Promise<void> {
    const fits = (line: string) => (typeof what === 'string' ? line.includes(what) : what.test(line))
    await eventually(
      () => {
        if (!this.lines.some(fits)) throw new Error(`${this.name} did not say ${String(what)}:\n${this.tail()}`)
      },
      { timeoutMs },
    )
  }

  /** Kills it, and the watchdog has nothing left to do. */
  async dispose(): Promise<void> {
    await this.kill()
    this.watchdog.dismiss()
  }

  tail(): string {
    return this.lines.slice(-20).join('\n')
  }
}

async function within<T>(ms: number, work: Promise<T>, problem: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const overrun = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(problem())), ms)
  })
  return Promise.race([work, overrun]).finally(() => clearTimeout(timer))
}
