/**
 * What the files of one test run share: PostgreSQL, Redis and NATS, and the programs of the fault tests. Made when the
 * first test asks, gone when the run ends. However it ends: servers that are not stopped here, their own watchdogs stop
 * when Vitest's process is gone.
 */
import type { ProvidedServers } from '@baton/cli/servers'
import type { TestProject } from 'vitest/node'
import type { Programs } from '../faults/kit/programs.js'
import { openDesk } from './desk.js'
import type { ServerUrls } from './servers.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the URLs of the servers are to be had; asking starts them. */
    batonServers: string
    /** Where the paths of the fault tests' programs are to be had; asking compiles them. */
    batonPrograms: string
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  let starting: Promise<ProvidedServers> | undefined
  let compiling: Promise<Programs> | undefined
  const servers = await openDesk(async () => {
    starting = start()
    const { databaseUrl, redisUrl, natsUrl } = await starting
    return { databaseUrl, redisUrl, natsUrl } satisfies ServerUrls
  })
  const programs = await openDesk(async () => {
    compiling = import('../faults/kit/programs.js').then(({ buildPrograms }) => buildPrograms())
    const { baton, agents } = await compiling
    return { baton, agents } satisfies Omit<Programs, 'remove'>
  })
  project.provide('batonServers', servers.url)
  project.provide('batonPrograms', programs.url)
  return async () => {
    servers.close()
    programs.close()
    // Whoever asked was told of what failed.
    const started = await starting?.catch(() => undefined)
    const compiled = await compiling?.catch(() => undefined)
    await Promise.all([started?.stop(), compiled?.remove()])
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
