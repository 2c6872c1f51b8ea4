/** The servers of the test run, from inside a test. global-setup.ts has them. */
import { inject } from 'vitest'
import { askServerDesk, type ServerUrls } from './server-desk.js'

let asked: Promise<ServerUrls> | undefined

/** Where PostgreSQL, Redis and NATS are. The first call of a run starts them; throws when they cannot be had. */
export function servers(): Promise<ServerUrls> {
  asked ??= askServerDesk(inject('batonServers'))
  return asked
}
