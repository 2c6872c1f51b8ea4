/**
 * One process of a fleet on this machine: started, waited for, restarted when it asks for it, ended.
 *
 * Invariants: M1 it dies with this process, however this one ends: a watchdog outside both sees to it. M2 Ctrl-C reaches
 * only this process, which stops its members in order: each lives in a session of its own. M3 it is started again only
 * when it ended with the code that asks for it, and never once `stop` or `kill` was called.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { BatonError } from '@baton/shared'
import { exitCodes } from '../exit-codes.js'
import { startWatchdog, type Watchdog } from '../servers/watchdog.js'

export interface MemberOptions {
  /** How its lines are marked in the log: `worker 2`. */
  readonly name: string
  /** Program and arguments. Its first line on stdout is a JSON object and says that it is ready. */
  readonly command: readonly [string, ...string[]]
  readonly env: Record<string, string>
  readonly cwd: string
  readonly log: (line: string) => void
  readonly signal?: AbortSignal
  /** How long it may take to be ready, and how long to end when it is told to. */
  readonly readyMs?: number
  readonly graceMs?: number
  /** The least time between two starts. */
  readonly restartAfterMs?: number
}

interface Run {
  readonly child: ChildProcess
  readonly pid: number
  /** How it ended, never rejects. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** What it said when it was ready. */
  readonly ready: Record<string, unknown>
}

export class Member {
  private readonly options: MemberOptions
  private readonly watchdog: Watchdog
  private run: Run | undefined
  private leaving = false
  private starting: Promise<void> = Promise.resolve()

  private constructor(options: MemberOptions) {
    this.options = options
    this.watchdog = startWatchdog({ endWith: 'KILL', directory: undefined })
  }

  /** Resolves when it is ready. Throws what it said when it ended before. */
  static async start(options: MemberOptions): Promise<Member> {
    const member = new Member(options)
    try {
      await member.launch()
      return member
    } catch (error) {
      await member.kill()
      throw options.signal?.aborted ? options.signal.reason : error
    }
  }

  /** The process of now; a restart changes it. Undefined when it has ended. */
  get pid(): number | undefined {
    return this.run?.pid
  }

  get ready(): Record<string, unknown> {
    return this.run?.ready ?? {}
  }

  /** Tells it to end, kills it after the grace. Idempotent. */
  async stop(): Promise<void> {
    await this.leave('SIGTERM')
  }

  /** As `kill -9` does. Resolves when it is gone. */
  async kill(): Promise<void> {
    await this.leave('SIGKILL')
  }

  private async leave(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.leaving = true // M3
    await this.starting.catch(() => undefined)
    const run = this.run
    if (run) {
      send(run.pid, signal)
      const timer = setTimeout(() => send(run.pid, 'SIGKILL'), this.options.graceMs ?? 10_000)
      await run.ended
      clearTimeout(timer)
    }
    this.watchdog.dismiss()
  }

  private async launch(): Promise<void> {
    const { command, env, cwd, signal, readyMs = 30_000 } = this.options
    signal?.throwIfAborted()
    const begun = performance.now()
    const [program, ...args] = command
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }) // M2
    const { pid } = child
    if (pid === undefined) throw await new Promise(resolve => child.once('error', resolve))
    this.watchdog.watch(pid) // M1
    const ended: Run['ended'] = new Promise(resolve => child.once('exit', (code, by) => resolve({ code, signal: by })))
    const said: string[] = []
    const ready = readiness(child, line => {
      said.push(line)
      if (said.length > 20) said.shift()
      this.options.log(`${this.options.name}: ${line}`)
    })
    const run: { -readonly [K in keyof Run]: Run[K] } = { child, pid, ended, ready: {} }
    this.run = run
    let timer: NodeJS.Timeout | undefined
    const giveUp = () => send(pid, 'SIGKILL')
    signal?.addEventListener('abort', giveUp, { once: true })
    try {
      run.ready = await Promise.race([
        ready,
        ended.then(how => Promise.reject(this.problem(`ended ${howText(how)} before it was ready`, { said, code: how.code }))),
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(this.problem(`was not ready within ${readyMs / 1_000} s`, { said, code: null })), readyMs)
        }),
      ])
      void ended.then(how => this.ended(run, { ...how, begun }))
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
    }
  }

  private ended(run: Run, how: { code: number | null; signal: NodeJS.Signals | null; begun: number }): void {
    if (this.run === run) this.run = undefined
    this.watchdog.forget()
    if (this.leaving) return
    if (how.code !== exitCodes.restart) {
      this.options.log(`${this.options.name}: ended ${howText(how)}`)
      return
    }
    this.options.log(`${this.options.name}: asks to be started again`)
    const waitMs = Math.max(0, (this.options.restartAfterMs ?? 1_000) - (performance.now() - how.begun))
    this.starting = new Promise<void>(resolve => setTimeout(resolve, waitMs)).then(async () => {
      if (!this.leaving) await this.launch()
    })
    this.starting.catch((error: unknown) =>
      this.options.log(`${this.options.name}: ${error instanceof Error ? error.message : String(error)}`),
    )
  }

  private problem(what: string, { said, code }: { said: readonly string[]; code: number | null }): BatonError {
    const last = said.length > 0 ? `; it said: ${said.slice(-5).join(' | ')}` : ''
    return new BatonError(code === exitCodes.usage ? 'invalid_configuration' : 'unreachable', `${this.options.name} ${what}${last}`)
  }
}

/** The first line of stdout; every other line goes to `log`. */
function readiness(child: ChildProcess, log: (line: string) => void): Promise<Record<string, unknown>> {
  return new Promise(resolve => {
    let waiting = true
    if (child.stderr) createInterface({ input: child.stderr }).on('line', log)
    if (!child.stdout) return
    createInterface({ input: child.stdout }).on('line', line => {
      const first = waiting && line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : undefined // written by our own commands
      if (first === undefined) return log(line)
      waiting = false
      resolve(first)
    })
  })
}

function howText({ code, signal }: { code: number | null; signal: NodeJS.Signals | null }): string {
  return signal ? `by ${signal}` : `with code ${code}`
}

/** To the process alone, as `kill` in a shell does; it may be gone already. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
