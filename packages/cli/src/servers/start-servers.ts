// The three servers of a fleet, started together and stopped together.

import { join } from 'node:path'
import type { ServerHandle, ServerOptions } from './handle.js'
import { startNats } from './nats.js'
import { type PostgresOptions, startPostgres } from './postgres.js'
import { type RedisOptions, startRedis } from './redis.js'

export interface Servers {
  readonly postgres: ServerHandle
  readonly redis: ServerHandle
  readonly nats: ServerHandle
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
  /** Stops all three. Idempotent. */
  stop(): Promise<void>
}

export interface StartServersOptions {
  /** Aborts the start; once the servers run, stops them. */
  signal?: AbortSignal
  /** Receives every line that a server prints, with the server's name in front. */
  log?: (line: string) => void
  /** Each server keeps its data in a folder of its own in here. Default: temporary, removed at `stop`. */
  dataDir?: string
  postgres?: Omit<PostgresOptions, 'signal' | 'log' | 'dataDir'>
  redis?: Omit<RedisOptions, 'signal' | 'log' | 'dataDir'>
  nats?: Omit<ServerOptions, 'signal' | 'log' | 'dataDir'>
}

/**
 * Starts Postgres, Redis and NATS from local binaries and resolves when all three answer. When one fails, the others
 * are stopped before this throws.
 *
 * @example
 * const servers = await startServers()
 * console.log(servers.databaseUrl, servers.redisUrl, servers.natsUrl)
 * await servers.stop()
 */
export async function startServers(options: StartServersOptions = {}): Promise<Servers> {
  const failed = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal
  const common = { ...options, signal }
  const starting = [
    startPostgres({ ...options.postgres, ...commonOptions('postgres', common) }),
    startRedis({ ...options.redis, ...commonOptions('redis', common) }),
    startNats({ ...options.nats, ...commonOptions('nats', common) }),
  ] as const
  try {
    const [postgres, redis, nats] = await Promise.all(starting)
    return {
      postgres,
      redis,
      nats,
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      natsUrl: nats.url,
      stop: () => stopAll([postgres, redis, nats]),
    }
  } catch (error) {
    failed.abort(error)
    const settled = await Promise.allSettled(starting)
    await stopAll(settled.flatMap(result => (result.status === 'fulfilled' ? [result.value] : [])))
    throw error
  }
}

/** Stops every one of them, also when one cannot be stopped, and then throws what went wrong. */
export async function stopAll(servers: readonly { stop(): Promise<void> }[]): Promise<void> {
  const results = await Promise.allSettled(servers.map(server => server.stop()))
  const failures = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []))
  if (failures.length === 1) throw failures[0]
  if (failures.length > 1) throw new AggregateError(failures, 'several servers did not stop')
}

/** What all servers of a fleet are given alike. */
export function commonOptions(name: string, options: Pick<StartServersOptions, 'signal' | 'log' | 'dataDir'>): ServerOptions {
  const { signal, log, dataDir } = options
  return {
    signal,
    log: log && (line => log(`${name}: ${line}`)),
    dataDir: dataDir === undefined ? undefined : join(dataDir, name),
  }
}
