// One run of a server binary, from spawn to exit. It knows nothing of ports that are tried again, of restarts and of
// directories; managed-server.ts does.

import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { allGone, descendants, signalTree } from './process-tree.js'
import type { RunAs } from './run-tool.js'
import type { ServerLog } from './server-log.js'

const pollMs = 15
const killTimeoutMs = 10_000
const lastWordsMs = 500

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly user: RunAs | undefined
  readonly log: ServerLog
}

export type Readiness = { kind: 'answers' } | { kind: 'exited'; how: string } | { kind: 'silent' }

export class ServerProcess {
  readonly pid: number
  /** Resolves with how it ended, in words; never rejects. */
  readonly exited: Promise<string>
  /** Resolves when all that it printed is in the log, at the latest half a second after its end. */
  readonly printed: Promise<unknown>
  #exit: string | undefined

  private constructor(child: ChildProcess, pid: number) {
    this.pid = pid
    this.exited = new Promise(resolve => {
      child.once('exit', (code, signal) => {
        this.#exit = signal === null ? `ended with code ${code}` : `was ended by ${signal}`
        resolve(this.#exit)
      })
    })
    // The end of the process overtakes its last words in the pipe. A child of its own may keep the pipe open.
    const closed = new Promise(resolve => child.once('close', resolve))
    this.printed = Promise.race([closed, this.exited.then(() => delay(lastWordsMs, undefined, { ref: false }))])
  }

  /** Throws when the binary cannot be executed. */
  static async spawn({ command, args, cwd, env, user, log }: Launch): Promise<ServerProcess> {
    // A session of its own: Ctrl-C reaches this process, which then stops the server gracefully.
    const child = spawn(command, args, { cwd, env, ...user, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    log.follow(child.stdout)
    log.follow(child.stderr)
    const { pid } = child
    if (pid !== undefined) return new ServerProcess(child, pid)
    throw await new Promise(resolve => child.once('error', resolve))
  }

  get running(): boolean {
    return this.#exit === undefined
  }

  /** Asks until the server answers, ends, or the deadline passes. Throws the reason of an aborted signal. */
  async ready(options: { answers: () => Promise<boolean>; timeoutMs: number; signal: AbortSignal }): Promise<Readiness> {
    const deadline = Date.now() + options.timeoutMs
    while (Date.now() < deadline) {
      options.signal.throwIfAborted()
      const answered = await Promise.race([options.answers(), this.exited.then(() => false)])
      if (this.#exit !== undefined) return { kind: 'exited', how: this.#exit }
      if (answered) return { kind: 'answers' }
      await Promise.race([delay(pollMs), this.exited])
    }
    return { kind: 'silent' }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.running) signalTree(this.pid, signal)
  }

  /** Asks it to end and kills it when the grace runs out. */
  async stop(options: { signal: 'SIGINT' | 'SIGTERM'; graceMs: number }): Promise<void> {
    if (!this.running) return
    signalTree(this.pid, 'SIGCONT') // a frozen server does not hear the request
    const children = descendants(this.pid)
    process.kill(this.pid, options.signal)
    const clock = new AbortController()
    const late = delay(options.graceMs, 'late', { signal: clock.signal }).catch(() => 'cancelled')
    const outcome = await Promise.race([this.exited, late])
    clock.abort()
    if (outcome === 'late') await this.kill()
    else await this.#awaitGone(children)
  }

  /** Kills it with everything that it forked, and waits until all of that is gone. */
  async kill(): Promise<void> {
    if (!this.running) return
    const pids = signalTree(this.pid, 'SIGKILL')
    await this.exited
    await this.#awaitGone(pids)
  }

  async #awaitGone(pids: readonly number[]): Promise<void> {
    if (await allGone(pids, killTimeoutMs)) return
    throw new Error(`processes ${pids.join(', ')} are still there ${killTimeoutMs} ms after they were ended`)
  }
}
