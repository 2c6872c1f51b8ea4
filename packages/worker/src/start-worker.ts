/** A fleet worker: opens Redis and NATS, then hosts the agents. It never sees Postgres. */
import { BatonError } from '@baton/shared'
import { armFailpoints, connectNatsBus, createLogger, type Logger, readEnvironment, workerUrls } from '@baton/shared/node'
import type { Agent } from './agent.js'
import { openBullmqConsumer } from './bullmq-consumer.js'
import { type Host, startHost } from './host.js'
import { checkIsolation } from './isolation/runners.js'

export interface WorkerOptions {
  readonly agents: readonly Agent[]
  /** Default: `REDIS_URL`. */
  readonly redisUrl?: string
  /** Default: `NATS_URL`. */
  readonly natsUrl?: string
  /** Default: `BATON_NAMESPACE`. */
  readonly namespace?: string
  /** Tenants map to pools; default `shared`. */
  readonly pool?: string
  readonly log?: Logger
  /** How long draining waits for running attempts; default 30 s. */
  readonly drainMs?: number
  /** Gives up waiting for Redis, NATS and the first coordinator. */
  readonly signal?: AbortSignal
  /** Where metrics are shown; default: `BATON_METRICS_HOST` and `BATON_METRICS_PORT`, and nowhere without the latter. */
  readonly metrics?: { readonly host: string; readonly port: number }
  /** Drain on SIGTERM and SIGINT; default true. */
  readonly handleSignals?: boolean
}

/**
 * Starts a worker; resolves when it is registered and takes work.
 *
 * @example
 * await startWorker({ agents: [review] }) // URLs from the environment; SIGTERM drains
 *
 * Throws `invalid_configuration` when an agent or a URL is not acceptable.
 */
export async function startWorker(options: WorkerOptions): Promise<Host> {
  const environment = readEnvironment()
  armFailpoints(environment.failpoints)
  const { redisUrl, natsUrl } = workerUrls({
    ...environment,
    redisUrl: options.redisUrl ?? environment.redisUrl,
    natsUrl: options.natsUrl ?? environment.natsUrl,
  })
  const log = options.log ?? createLogger({ level: environment.logLevel })
  const namespace = options.namespace ?? environment.namespace
  checkAgents(options.agents)
  const signal = options.signal
  const bus = await connectNatsBus({ url: natsUrl, name: 'baton-worker', log, ...(signal && { signal }) })
  const consumer = await openBullmqConsumer({ url: redisUrl, namespace, log, ...(signal && { signal }) }).catch(async error => {
    await bus.close()
    throw error
  })
  const shown = await showMetrics(options.metrics ?? environment.metrics, options.agents, log).catch(async error => {
    await consumer.close()
    await bus.close()
    throw error
  })
  const tracing = environment.tracing ? await (await import('@baton/shared/observe')).openTracing('baton-worker') : undefined
  const closeAll = async () => {
    await shown?.close()
    await tracing?.close()
    await consumer.close()
    await bus.close()
  }
  const host = await startHost({
    agents: options.agents,
    bus,
    consumer,
    namespace,
    log,
    ...(options.pool !== undefined && { pool: options.pool }),
    ...(options.drainMs !== undefined && { drainMs: options.drainMs }),
    ...(signal && { signal }),
    observer: shown?.observer,
    tracing,
  }).catch(async error => {
    await closeAll()
    throw error
  })
  const onSignal = () => void host.drain()
  if (options.handleSignals ?? true) {
    process.once('SIGTERM', onSignal)
    process.once('SIGINT', onSignal)
  }
  const ended = host.ended.then(async how => {
    process.off('SIGTERM', onSignal)
    process.off('SIGINT', onSignal)
    await closeAll()
    return how
  })
  return {
    id: host.id,
    drain: async () => {
      await host.drain()
      await ended
    },
    part: () => host.part(),
    stop: async () => {
      await host.stop()
      await ended
    },
    ended,
  }
}

/** Refuses agents that could not be told apart, or could not run as they ask to. */
export function checkAgents(agents: readonly Agent[]): void {
  if (agents.length === 0) throw new BatonError('invalid_configuration', 'a worker needs at least one agent')
  const seen = new Set<string>()
  for (const { name } of agents) {
    if (seen.has(name)) throw new BatonError('invalid_configuration', `two agents are named ${name}`)
    seen.add(name)
  }
  checkIsolation(agents)
}

async function showMetrics(where: { host: string; port: number } | undefined, agents: readonly Agent[], log: Logger) {
  if (!where) return undefined
  const { serveMetrics, WorkerMetrics } = await import('./metrics.js') // loaded by those only who ask for it
  const observer = new WorkerMetrics(agents)
  const { url, close } = await serveMetrics(observer, where)
  log.info({ url: `${url}/metrics` }, 'metrics are shown')
  return { observer, close }
}
