/**
 * Coordinator and worker in this process, on PGlite, an in-memory queue and an in-process bus: first runs, development,
 * users' own tests. The same code as a fleet's, above the same three seams.
 */
import { type Client, createClient } from '@baton/client'
import { abandonAllWorkers, migrate, openPglite, startCore } from '@baton/coordinator'
import { type BatonConfig, BatonError } from '@baton/shared'
import { type ArtifactSettings, type Logger, MemoryBusHub, MemoryQueue, type ModelEnvironment, silentLogger } from '@baton/shared/node'
import type { Tracing } from '@baton/shared/observe'
import { type Agent, agentsFromConfig, checkAgents, type Host, startHost } from '@baton/worker'

export interface LocalOptions {
  /** Beside those of the configuration. */
  readonly agents?: readonly Agent[]
  readonly config?: BatonConfig
  /** What paths in the configuration are relative to; default the working directory. */
  readonly configDir?: string
  /** Loads the modules that the configuration names; default: Node's own `import`. */
  readonly loadModule?: (path: string) => Promise<unknown>
  /** The model that plans, as far as the configuration does not say. */
  readonly plannerModel?: ModelEnvironment
  /** A directory, or `memory` (the default) to keep nothing. */
  readonly dataDir?: string
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: a free one. */
  readonly port?: number
  readonly apiKey?: string
  /** A directory for the bytes of artifacts; default: they are in the database. */
  readonly artifacts?: ArtifactSettings | undefined
  /** Networks that webhooks may reach though they are not public, such as `127.0.0.1`; default: what the configuration says, else none. */
  readonly webhookNetworks?: readonly string[]
  /** Default 6000. */
  readonly leaseMs?: number
  /** Default 2000. */
  readonly heartbeatMs?: number
  /** Between attempts: exponential from `initialMs` up to `maxMs`, half of it random. Default 1 s to 60 s. */
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number }
  /** Multiplies every duration that nothing else gives; default 1. For tests. */
  readonly timeScale?: number
  /** Spans of tasks are given to it; whoever opened it closes it. */
  readonly tracing?: Tracing
  /** Default: silent. */
  readonly log?: Logger
}

export interface Local {
  readonly url: string
  readonly client: Client
  /** Resolves when these agents take work. Those that ran before take none any more, and end when what they have is done. */
  replaceAgents(agents: readonly Agent[]): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts everything in this process; resolves when it takes work. A restart on the same data directory goes on where
 * the last one stopped, however it ended.
 *
 * @example
 * const local = await startLocal({ agents: [review] })
 * await local.client.tasks.submit({ task_id: 't1', title: 'Review', subtasks: [{ name: 'review', capability: 'code-review' }], execute: true })
 * await local.client.tasks.wait('t1')
 * await local.stop()
 *
 * Throws `data_directory_locked` when another process has the directory.
 */
export async function startLocal(options: LocalOptions = {}): Promise<Local> {
  const log = options.log ?? silentLogger()
  const namespace = 'local'
  const agents = [
    ...(options.agents ?? []),
    ...(options.config ? await agentsFromConfig(options.config, options.configDir ?? process.cwd(), options.loadModule) : []),
  ]
  if (agents.length > 0) checkAgents(agents)

  const database = await openPglite({ dataDir: options.dataDir ?? 'memory', log })
  const queue = new MemoryQueue()
  const hub = new MemoryBusHub(log)
  const coordinatorBus = hub.connect()
  const closeStores = async () => {
    await queue.close()
    await coordinatorBus.close()
    await database.close()
  }

  try {
    await migrate(database)
    await abandonAllWorkers(database)
    const coordinator = await startCore({
      stores: { database, queue, bus: coordinatorBus },
      mode: 'local',
      namespace,
      host: options.host ?? '127.0.0.1',
      port: options.port ?? 0,
      ...(options.apiKey !== undefined && { apiKey: options.apiKey }),
      leaseMs: options.leaseMs ?? 6_000,
      heartbeatMs: options.heartbeatMs ?? 2_000,
      ...(options.config && { config: options.config }),
      ...(options.plannerModel && { plannerModel: options.plannerModel }),
      ...(options.backoff && { backoff: options.backoff }),
      ...(options.webhookNetworks && { webhookNetworks: options.webhookNetworks }),
      ...(options.timeScale !== undefined && { timeScale: options.timeScale }),
      artifacts: options.artifacts,
      tracing: options.tracing,
      log,
    })
    const workers = new Set<Host>() // the present one, and those before it that still drain
    let worker = await host(agents).catch(async error => {
      await coordinator.stop()
      throw error
    })
    if (worker) workers.add(worker)
    const client = createClient({ url: coordinator.url, ...(options.apiKey !== undefined && { apiKey: options.apiKey }) })
    let stopped: Promise<void> | undefined
    return {
      url: coordinator.url,
      client,
      replaceAgents: async next => {
        if (stopped) throw new BatonError('state_conflict', 'it is being stopped')
        if (next.length > 0) checkAgents(next)
        const before = worker
        worker = await host(next)
        if (worker) workers.add(worker)
        if (stopped) await worker?.stop()
        void before?.ended.then(() => workers.delete(before))
        await before?.part()
      },
      stop: () => {
        stopped ??= (async () => {
          await Promise.all([...workers].map(each => each.stop()))
          await coordinator.stop()
          await closeStores()
        })()
        return stopped
      },
    }
  } catch (error) {
    await closeStores()
    throw error
  }

  async function host(hosted: readonly Agent[]): Promise<Host | undefined> {
    if (hosted.length === 0) return undefined
    const bus = hub.connect()
    const started = await startHost({ agents: hosted, bus, consumer: queue, namespace, log, tracing: options.tracing })
    void started.ended.then(() => bus.close())
    return started
  }
}
