/**
 * Hands out to the processes of the tests what a test run makes once for all of them, over the loopback interface.
 *
 * Invariants: H1 one start per run whoever asks, and none when nobody does. H2 a start that fails is told to everyone
 * who asks, so that no test is skipped for it.
 */
import { randomUUID } from 'node:crypto'
import { createServer, get, type ServerResponse } from 'node:http'

export interface Desk {
  /** Where to ask. */
  readonly url: string
  close(): void
}

/** Opens a desk that calls `start` when it is asked for the first time. It does not keep the process alive. */
export async function openDesk(start: () => Promise<unknown>): Promise<Desk> {
  let starting: Promise<unknown> | undefined
  const answer = async (response: ServerResponse) => {
    try {
      starting ??= start() // H1
      response.end(JSON.stringify(await starting))
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
  if (address === null || typeof address === 'string') throw new Error('the desk of the test run has no port')
  return { url: `http://127.0.0.1:${address.port}${path}`, close: () => void server.close() }
}

/** Asks a desk. Throws what its `start` threw, after `what` it was for. */
export function askDesk<T>(url: string, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => {
        if (response.statusCode === 200)
          resolve(JSON.parse(body) as T) // as `answer` wrote it
        else reject(new Error(`this test needs ${what}.\n${body}`))
      })
    })
    request.on('error', reject)
  })
}
