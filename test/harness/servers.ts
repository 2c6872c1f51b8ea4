/** The servers of the test run, from inside a test. global-setup.ts has them. */
import { inject } from 'vitest'
import { askDesk } from './desk.js'

/** What a test learns of the servers. */
export interface ServerUrls {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
}

let asked: Promise<ServerUrls> | undefined

/** Where PostgreSQL, Redis and NATS are. The first call of a run starts them; throws when they cannot be had. */
export function servers(): Promise<ServerUrls> {
  asked ??= askDesk<ServerUrls>(inject('batonServers'), 'PostgreSQL, Redis and NATS')
  return asked
}
