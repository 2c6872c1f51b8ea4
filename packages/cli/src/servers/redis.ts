// A private Redis that keeps what it is told: an append-only file synced every second, nothing evicted, no snapshots.

import { processEnvironment } from '../env.js'
import { redisAnswers } from './answers.js'
import { findRedis } from './find-binaries.js'
import type { ServerHandle, ServerOptions } from './handle.js'
import { startManaged } from './managed-server.js'

export interface RedisOptions extends ServerOptions {
  /** Writes the append-only file, synced every second. Default: true. Without it a restart begins empty. */
  appendOnly?: boolean
  /** Directives of the configuration, for example `{ maxmemory: '64mb' }`. They win over those of Baton. */
  settings?: Record<string, string>
}

/**
 * Starts Redis (or Valkey). Throws when there is none of version 6.2 or newer on this machine, or it does not start.
 *
 * @example
 * const redis = await startRedis({ appendOnly: false })
 * const connection = new Redis(redis.url)
 */
export async function startRedis(options: RedisOptions = {}): Promise<ServerHandle> {
  const command = await findRedis()
  if (command === undefined) throw new Error('no Redis 6.2 or newer on this machine: install redis-server')
  const settings = (port: number, directory: string): Record<string, string> => ({
    port: String(port),
    bind: '127.0.0.1',
    'protected-mode': 'yes',
    dir: directory,
    daemonize: 'no',
    save: '',
    appendonly: (options.appendOnly ?? true) ? 'yes' : 'no',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    ...options.settings,
  })
  return startManaged(
    {
      name: 'redis',
      command,
      env: processEnvironment(),
      user: undefined,
      stopSignal: 'SIGTERM',
      endWith: 'KILL',
      args: ({ port, directory }) => Object.entries(settings(port, directory)).flatMap(([name, value]) => [`--${name}`, value]),
      answers: redisAnswers,
      url: port => `redis://127.0.0.1:${port}`,
    },
    options,
  )
}
