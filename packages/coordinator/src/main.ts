/** A coordinator in fleet mode: opens the three stores, waiting for those that are not there yet, then starts. */
import type { BatonConfig } from '@baton/shared'
import { type ArtifactSettings, connectNatsBus, type FleetUrls, type Logger, type ModelEnvironment } from '@baton/shared/node'
import { openTracing } from '@baton/shared/observe'
import { queueBoard } from './admin/queue-board.js'
import { openBullmqQueue } from './dispatch/bullmq-queue.js'
import { bullmqIntake } from './intake/bullmq-intake.js'
import { openRedisNotes } from './notes/redis-notes.js'
import { type Coordinator, startCore } from './start.js'
import { openPostgres } from './store/postgres.js'

export interface CoordinatorOptions {
  readonly mode: { readonly kind: 'fleet' } & FleetUrls
  readonly host: string
  readonly port: number
  readonly apiKey?: string
  readonly namespace: string
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly config?: BatonConfig
  /** The model that plans, as far as the configuration does not say. */
  readonly plannerModel?: ModelEnvironment
  /** Whether tasks are taken from the queue `baton-tasks`, too; default true. */
  readonly intake?: boolean
  /** Whether spans are sent, as `OTEL_*` say; default false. */
  readonly tracing?: boolean
  /** Networks that webhooks may reach though they are not public; default: what the configuration says, else none. */
  readonly webhookNetworks?: readonly string[]
  /** A directory for the bytes of artifacts, the same one for all coordinators; default: they are in Postgres. */
  readonly artifacts?: ArtifactSettings | undefined
  /** Multiplies every duration that nothing else gives; default 1. For tests. */
  readonly timeScale?: number
  readonly log: Logger
  /** Gives up waiting for the stores. */
  readonly signal?: AbortSignal
}

/**
 * Starts a coordinator; resolves when it takes requests. Any number may run; none is special. Throws
 * `invalid_configuration` for what waiting cannot mend.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { mode, namespace, log } = options
  const signal = options.signal ? { signal: options.signal } : {}
  const open: { close(): Promise<void> }[] = []
  const closeAll = async () => {
    for (let store = open.pop(); store; store = open.pop())
      await store.close().catch(error => log.warn({ err: error }, 'a store did not close in order'))
  }
  try {
    const database = await openPostgres({ url: mode.databaseUrl, log, ...signal })
    open.push(database)
    const queue = await openBullmqQueue({ url: mode.redisUrl, namespace, log, ...signal })
    open.push(queue)
    const bus = await connectNatsBus({ url: mode.natsUrl, name: 'baton-coordinator', log, ...signal })
    open.push(bus)
    const notes = openRedisNotes({ url: mode.redisUrl, namespace, log })
    open.push(notes)
    const intake =
      options.intake === false ? undefined : bullmqIntake({ url: mode.redisUrl, namespace, lockMs: Math.max(1_000, options.leaseMs), log })
    const tracing = options.tracing ? await openTracing('baton-coordinator') : undefined
    if (tracing) open.push(tracing)
    const core = await startCore({
      ...options,
      tracing,
      mode: 'fleet',
      stores: { database, queue, bus, notes, intake, queueBoard: queueBoard({ url: mode.redisUrl, namespace, log }) },
    })
    return {
      id: core.id,
      url: core.url,
      stop: async () => {
        await core.stop()
        await closeAll()
      },
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}
