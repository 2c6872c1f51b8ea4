/**
 * The servers of one test run: PostgreSQL, Redis and NATS, started when the first test asks, stopped when the run ends.
 * However it ends: what is not stopped here, the servers' own watchdogs stop when Vitest's process is gone.
 */
import type { ProvidedServers } from '@baton/cli/servers'
import type { TestProject } from 'vitest/node'
import { openServerDesk } from './server-desk.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the URLs of the servers are to be had; asking starts them. */
    batonServers: string
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  let starting: Promise<ProvidedServers> | undefined
  const desk = await openServerDesk(() => {
    starting = start()
    return starting
  })
  project.provide('batonServers', desk.url)
  return async () => {
    desk.close()
    const servers = await starting?.catch(() => undefined) // whoever asked was told
    await servers?.stop()
  }
}

async function start(): Promise<ProvidedServers> {
  const { provideServers } = await import('@baton/cli/servers')
  return provideServers({
    urls: {
      databaseUrl: process.env.TEST_DATABASE_URL,
      redisUrl: process.env.TEST_REDIS_URL,
      natsUrl: process.env.TEST_NATS_URL,
    },
    // What dies in tests are processes, never the machine: nothing has to reach the disk.
    postgres: { settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } },
    redis: { appendOnly: false },
  })
}
