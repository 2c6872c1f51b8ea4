// The life of a private server: its directory, its port, its watchdog, and starts, stops and crashes in order.
// What is particular to Postgres, Redis or NATS is a ServerProgram.
//
// M1  Operations take turns: a restart that is asked for during a kill begins after it.
// M2  The port is chosen once. Only the first start may move to another one, because nobody knows the port yet.
// M3  Whatever way a start fails, no process and no temporary directory is left.
// M4  The watchdog knows of the directory before anything is written there, and of the process from its first moment.

import { chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.js'
import type { ServerHandle, ServerName, ServerOptions } from './handle.js'
import type { RunAs } from './run-tool.js'
import { ServerLog } from './server-log.js'
import { ServerProcess } from './server-process.js'
import { startWatchdog, type Watchdog } from './watchdog.js'

const startTimeoutMs = 60_000
const stopGraceMs = 10_000
const portAttempts = 10

/** What is particular to one kind of server. */
export interface ServerProgram {
  readonly name: ServerName
  readonly command: string
  readonly env: NodeJS.ProcessEnv
  readonly user: RunAs | undefined
  /** The signal for a graceful stop. */
  readonly stopSignal: 'SIGINT' | 'SIGTERM'
  /** The signal with which the watchdog ends it at once. */
  readonly endWith: 'QUIT' | 'KILL'
  args(place: Place): string[]
  /** Makes the directory ready for the first start, or leaves it as it is when it is. */
  prepare?(context: Place & { signal: AbortSignal; onPid: (pid: number) => void }): Promise<void>
  /** True when it is this very server that answers on the port, and it is ready. */
  answers(place: Place & { pid: number }): Promise<boolean>
  url(port: number): string
}

export interface Place {
  readonly port: number
  readonly directory: string
  /** The directory goes away with the server. */
  readonly temporary: boolean
}

type State = { kind: 'down' } | { kind: 'running'; process: ServerProcess } | { kind: 'stopped' }

/** Starts a server and resolves when it answers. Throws with the end of its log when it does not. */
export async function startManaged(program: ServerProgram, options: ServerOptions): Promise<ServerHandle> {
  options.signal?.throwIfAborted()
  const temporary = options.dataDir === undefined
  const directory = temporary ? await mkdtemp(join(tmpdir(), `baton-${program.name}-`)) : resolve(options.dataDir ?? '')
  const server = new ManagedServer(program, { directory, temporary, options })
  const onAbort = () => void server.stop().catch(error => options.log?.(String(error)))
  try {
    if (!temporary) await mkdir(directory, { recursive: true })
    else if (program.user !== undefined) await chown(directory, program.user.uid, program.user.gid)
    options.signal?.addEventListener('abort', onAbort, { once: true })
    await server.start()
    return server
  } catch (error) {
    await server.stop() // M3
    options.signal?.removeEventListener('abort', onAbort)
    throw options.signal?.aborted ? options.signal.reason : error
  }
}

class ManagedServer implements ServerHandle {
  readonly name: ServerName
  readonly directory: string
  readonly #program: ServerProgram
  readonly #temporary: boolean
  readonly #fixedPort: number | undefined
  readonly #log: ServerLog
  readonly #watchdog: Watchdog
  readonly #stopping = new AbortController()
  #port: number
  #lastPid = 0
  #state: State = { kind: 'down' }
  #turn: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | undefined

  constructor(program: ServerProgram, at: { directory: string; temporary: boolean; options: ServerOptions }) {
    this.name = program.name
    this.#program = program
    this.directory = at.directory
    this.#temporary = at.temporary
    this.#fixedPort = at.options.port
    this.#port = at.options.port ?? 0
    this.#log = new ServerLog(at.options.log)
    // M4
    this.#watchdog = startWatchdog({
      endWith: program.endWith,
      directory: at.temporary ? at.directory : undefined,
    })
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return this.#program.url(this.#port)
  }

  get pid(): number {
    return this.#lastPid
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#program.prepare?.({
        ...this.#place(),
        signal: this.#stopping.signal,
        onPid: pid => this.#watchdog.watch(pid),
      })
      this.#watchdog.forget()
      for (let attempt = 1; ; attempt++) {
        if (this.#fixedPort === undefined) this.#port = await freePort() // M2
        const outcome = await this.#launch()
        if (outcome.kind === 'answers') return
        const hopeless = this.#fixedPort !== undefined || attempt === portAttempts
        if (outcome.kind === 'failed' || hopeless) throw outcome.error
      }
    })
  }

  kill(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.kind === 'running') await this.#state.process.kill()
    })
  }

  restart(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.kind === 'stopped') throw new Error(`${this.name} is stopped for good; start a new one`)
      await this.#end()
      const deadline = Date.now() + startTimeoutMs
      for (;;) {
        const outcome = await this.#launch()
        if (outcome.kind === 'answers') return
        // While the server was down an outgoing connection may have borrowed its port.
        if (outcome.kind === 'failed' || Date.now() > deadline) throw outcome.error
        await delay(50)
      }
    })
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.#state.kind === 'running') this.#state.process.signal(signal)
  }

  stop(): Promise<void> {
    this.#stopping.abort(new Error(`${this.name} is being stopped`))
    this.#stopped ??= this.#inTurn(async () => {
      await this.#end()
      this.#state = { kind: 'stopped' }
      if (this.#temporary) await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
      this.#watchdog.dismiss()
    })
    return this.#stopped
  }

  async #end(): Promise<void> {
    if (this.#state.kind !== 'running') return
    await this.#state.process.stop({ signal: this.#program.stopSignal, graceMs: stopGraceMs })
  }

  async #launch(): Promise<{ kind: 'answers' } | { kind: 'port_taken' | 'failed'; error: Error }> {
    const { signal } = this.#stopping
    signal.throwIfAborted()
    const { command, env, user } = this.#program
    this.#log.clear()
    const place = this.#place()
    const args = this.#program.args(place)
    const process = await ServerProcess.spawn({ command, args, env, user, cwd: this.directory, log: this.#log })
    const { pid } = process
    this.#watchdog.watch(pid) // M4
    this.#lastPid = pid
    this.#state = { kind: 'running', process }
    void process.exited.then(how => {
      this.#log.add(`(${this.name}, process ${pid}, ${how})`)
      this.#watchdog.forget()
      this.#state = { kind: 'down' }
    })

    const answers = () => this.#program.answers({ ...place, pid })
    const readiness = await process.ready({ answers, timeoutMs: startTimeoutMs, signal })
    if (readiness.kind === 'answers') return readiness
    await process.kill()
    await process.printed
    const what = readiness.kind === 'exited' ? readiness.how : `did not answer within ${startTimeoutMs} ms`
    const error = new Error(`${this.name} on port ${this.#port} ${what}. Command: ${command}. The end of its log:\n${this.#log.tail()}`)
    return { kind: /address already in use/i.test(this.#log.tail()) ? 'port_taken' : 'failed', error }
  }

  #place(): Place {
    return { port: this.#port, directory: this.directory, temporary: this.#temporary }
  }

  // M1
  #inTurn<Result>(operation: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(operation)
    this.#turn = result.catch(() => {})
    return result
  }
}
