/**
 * The servers of one test run: PostgreSQL, Redis and NATS, started when the first test asks and stopped when the run
 * ends. Vitest's main process has them; the processes of the tests ask here, over the loopback interface.
 *
 * Invariants: H1 one start per run whoever asks, and none when nobody does. H2 a start that fails is told to every test
 * that asks; none is skipped. H3 however the run ends, the servers end with it: here, or by their own watchdogs.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { ProvidedServers } from '@baton/cli/servers'
import type { TestProject } from 'vitest/node'

/** What a test learns of the servers. */
export interface ServerUrls {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the URLs of the servers are to be had; asking starts them. */
    batonServers: string
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  let starting: Promise<ProvidedServers> | undefined
  const answer = async (response: ServerResponse) => {
    starting ??= start() // H1
    try {
      const { databaseUrl, redisUrl, natsUrl } = await starting
      response.end(JSON.stringify({ databaseUrl, redisUrl, natsUrl } satisfies ServerUrls))
    } catch (error) {
      response.statusCode = 503 // H2
      response.end(error instanceof Error ? error.message : String(error))
    }
  }
  const path = `/${randomUUID()}`
  const desk = createServer((request, response) => {
    if (request.url === path) void answer(response)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve, reject) => {
    desk.once('error', reject)
    desk.listen(0, '127.0.0.1', resolve)
  })
  desk.unref()
  const address = desk.address()
  if (address === null || typeof address === 'string') throw new Error('the desk of the test servers has no port')
  project.provide('batonServers', `http://127.0.0.1:${address.port}${path}`)
  return async () => {
    desk.close()
    const servers = await starting?.catch(() => undefined)
    await servers?.stop() // H3
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
    // What dies in tests are processes, never the machine: nothing has to be on the disk.
    postgres: { settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } },
    redis: { appendOnly: false },
  })
}
