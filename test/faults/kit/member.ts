/** A coordinator or worker of a fleet under test: its process, its proxies, and what was done to it. */
import { type ServerName, startTcpProxy, type TcpProxy } from '@baton/cli/servers'
import type { FailpointName } from '@baton/shared/node'
import type { Disturbance } from '../history/history.js'
import { type Exit, FaultProcess, type FaultProcessOptions } from './process.js'

/** A proxy that also tells the history of what it did. */
export type FaultProxy = Pick<TcpProxy, 'cut' | 'stall' | 'heal' | 'connections'>

export interface MemberOptions {
  readonly name: string
  readonly command: readonly string[]
  readonly settings: Readonly<Record<string, string>>
  /** The URLs of the stores that it is given. */
  readonly stores: Readonly<Partial<Record<ServerName, string>>>
  /** Before which of them a proxy stands. */
  readonly proxied: readonly ServerName[]
  readonly failpoint: string | undefined
  readonly environment: (settings: Readonly<Record<string, string>>) => Record<string, string>
  /** Where disturbances are noted. */
  readonly disturbances: Disturbance[]
}

const variables: Record<ServerName, string> = { postgres: 'DATABASE_URL', redis: 'REDIS_URL', nats: 'NATS_URL' }

export class FaultMember {
  readonly name: string
  readonly proxies: Readonly<Partial<Record<ServerName, FaultProxy>>>
  protected readonly process: FaultProcess
  private readonly options: MemberOptions
  private readonly opened: readonly TcpProxy[]
  private failpoint: string | undefined
  private lastPid = 0

  /** Use `start`. */
  constructor(options: MemberOptions, proxies: ReadonlyMap<ServerName, TcpProxy>) {
    this.options = options
    this.name = options.name
    this.failpoint = options.failpoint
    this.opened = [...proxies.values()]
    this.proxies = Object.fromEntries([...proxies].map(([store, proxy]) => [store, this.watched(store, proxy)]))
    const urls = Object.entries(options.stores).map(([store, url]) => {
      const proxy = proxies.get(store as ServerName) // the keys of a record by server
      return [variables[store as ServerName], proxy ? through(url, proxy.port) : url] as const
    })
    const env: FaultProcessOptions['env'] = () =>
      options.environment({ ...options.settings, ...Object.fromEntries(urls), ...(this.failpoint && { BATON_FAILPOINT: this.failpoint }) })
    this.process = new FaultProcess({
      name: options.name,
      command: options.command,
      env,
      onPid: pid => {
        this.lastPid = pid
        if (this.failpoint) this.disturbed(`failpoint ${this.failpoint}`)
      },
    })
  }

  /** Starts it; with a failpoint it may be gone when this resolves, otherwise that is an error. */
  static async start<M extends FaultMember>(
    this: new (
      options: MemberOptions,
      proxies: ReadonlyMap<ServerName, TcpProxy>,
    ) => M,
    options: MemberOptions,
  ): Promise<M> {
    const proxies = new Map<ServerName, TcpProxy>()
    for (const store of options.proxied) {
      const url = new URL(options.stores[store] ?? '')
      proxies.set(store, await startTcpProxy({ target: { host: url.hostname, port: Number(url.port) } }))
    }
    const member = new this(options, proxies)
    try {
      await member.begin()
    } catch (error) {
      await member.dispose()
      throw error
    }
    return member
  }

  /** Undefined: it does not run. */
  get pid(): number | undefined {
    return this.process.pid
  }

  /** How it ended; undefined while it runs. */
  get exit(): Exit | undefined {
    return this.process.exit
  }

  /** What it printed on stderr so far, in all of its lives. */
  get lines(): readonly string[] {
    return this.process.lines
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.disturbed('killed')
    await this.process.kill()
  }

  /** SIGTERM: a worker drains, a coordinator finishes what it took in. */
  async stop(): Promise<Exit | undefined> {
    return this.process.stop()
  }

  /** SIGSTOP: it holds its connections and does nothing. */
  pause(): void {
    this.disturbed('paused')
    this.process.signal('SIGSTOP')
  }

  resume(): void {
    this.process.signal('SIGCONT')
  }

  /** Starts it again, killing it first should it still run; without its failpoint, unless another is given. */
  async restart(options: { readonly failpoint?: string } = {}): Promise<void> {
    if (this.pid !== undefined) await this.kill()
    this.failpoint = options.failpoint
    await this.begin()
  }

  /** Resolves when a failpoint was reached; rejects when that takes too long. */
  reached(name: FailpointName, timeoutMs?: number): Promise<void> {
    return this.process.said(`failpoint ${name} reached`, timeoutMs)
  }

  /** Resolves when it has printed such a line. */
  said(what: string | RegExp, timeoutMs?: number): Promise<void> {
    return this.process.said(what, timeoutMs)
  }

  /** Resolves when it has ended, by itself or at a failpoint. */
  ended(timeoutMs?: number): Promise<Exit> {
    return this.process.ended(timeoutMs)
  }

  /** Goes on as if nothing had been done to it; what is dead stays dead. */
  heal(): void {
    for (const proxy of this.opened) proxy.heal()
    this.resume()
  }

  async dispose(): Promise<void> {
    await this.process.dispose()
    await Promise.all(this.opened.map(proxy => proxy.stop()))
  }

  private async begin(): Promise<void> {
    await this.process.start()
    if (this.process.ready || this.failpoint) return
    throw new Error(`${this.name} ended before it was ready:\n${this.process.tail()}`)
  }

  private disturbed(what: string): void {
    this.options.disturbances.push({ member: this.name, pid: this.lastPid, what })
  }

  private watched(store: ServerName, proxy: TcpProxy): FaultProxy {
    return {
      get connections() {
        return proxy.connections
      },
      cut: () => {
        this.disturbed(`cut from ${store}`)
        proxy.cut()
      },
      stall: () => {
        this.disturbed(`stalled towards ${store}`)
        proxy.stall()
      },
      heal: () => proxy.heal(),
    }
  }
}

export class CoordinatorMember extends FaultMember {
  /** Where it answers; another one after a restart. */
  get url(): string {
    return String(this.process.ready?.url ?? '')
  }

  /** Its id in Baton; another one after a restart. */
  get id(): string {
    const line = this.lines.findLast(said => said.includes('"coordinator ready"'))
    return line === undefined ? '' : String((JSON.parse(line) as { coordinator_id?: unknown }).coordinator_id)
  }
}

export class WorkerMember extends FaultMember {
  /** Its id in Baton; another one after a restart. */
  get id(): string {
    return String(this.process.ready?.id ?? '')
  }
}

function through(url: string, port: number): string {
  const proxied = new URL(url)
  proxied.hostname = '127.0.0.1'
  proxied.port = String(port)
  return proxied.href
}
