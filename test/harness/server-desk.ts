/**
 * Hands out the servers of a test run to the processes of the tests, over the loopback interface.
 *
 * Invariants: H1 one start per run whoever asks, and none when nobody does. H2 a start that fails is told to everyone
 * who asks, so that no test is skipped for it.
 */
import { randomUUID } from 'node:crypto'
import { createServer, get, type ServerResponse } from 'node:http'

/** What a test learns of the servers. */
export interface ServerUrls {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
}

export interface ServerDesk {
  /** Where to ask. */
  readonly url: string
  close(): void
}

/** Opens a desk that calls `start` when it is asked for the first time. It does not keep the process alive. */
export async function openServerDesk(start: () => Promise<ServerUrls>): Promise<ServerDesk> {
  let starting: Promise<ServerUrls> | undefined
  const answer = async (response: ServerResponse) => {
    try {
      starting ??= start() // H1
      const { databaseUrl, redisUrl, natsUrl } = await starting
      response.end(JSON.stringify({ databaseUrl, redisUrl, natsUrl } satisfies ServerUrls))
    } catch (error) {
      response.statusCode = 503 // H2
      response.end(error instanceof Error ? error.message : String(error))
    }
  }
  const path = `/${randomUUID()}`
  const server = createServer((request, response) => {
    if (request.url === path) void answer(response)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  server.unref()
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the desk of the test servers has no port')
  return { url: `http://127.0.0.1:${address.port}${path}`, close: () => void server.close() }
}

/** Asks a desk. Throws what its `start` threw. */
export function askServerDesk(url: string): Promise<ServerUrls> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => {
        if (response.statusCode === 200)
          resolve(JSON.parse(body) as ServerUrls) // as `answer` wrote it
        else reject(new Error(`this test needs PostgreSQL, Redis and NATS.\n${body}`))
      })
    })
    request.on('error', reject)
  })
}
