/** A coordinator of a test's own: answers over real HTTP whatever the test says, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ErrorCode, errorTable } from '@baton/shared'

export interface FakeRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: IncomingMessage['headers']
  /** As text. */
  readonly body: string
}

export type FakeAnswer =
  | { readonly status?: number; readonly body?: unknown; readonly bytes?: Uint8Array; readonly headers?: Record<string, string> }
  /** The connection breaks without an answer. */
  | 'break'

export interface FakeServer {
  readonly url: string
  readonly requests: readonly FakeRequest[]
  stop(): Promise<void>
}

/** Starts one on a free port. `answer` is given each request and its number, from 1. */
export async function startFakeServer(answer: (request: FakeRequest, n: number) => FakeAnswer | Promise<FakeAnswer>): Promise<FakeServer> {
  const requests: FakeRequest[] = []
  const server = createServer((incoming, response) => {
    void take(incoming).then(async request => {
      // It has no streams of everything: whoever would be told of changes by one has to ask.
      if (request.path === '/events' && request.headers.accept === 'text/event-stream')
        return reply(response, problem('not_found', 'this server has no streams'))
      requests.push(request)
      reply(response, await answer(request, requests.length))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** An answer that is an error of the closed table. */
export function problem(code: ErrorCode, detail: string, extra: Record<string, unknown> = {}): FakeAnswer {
  const { status, title } = errorTable[code]
  return {
    status,
    body: { type: `/docs#${code}`, title, status, code, detail, request_id: 'r-1', ...extra },
    headers: { 'content-type': 'application/problem+json' },
  }
}

async function take(incoming: IncomingMessage): Promise<FakeRequest> {
  const url = new URL(incoming.url ?? '/', 'http://fake')
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer) // no encoding is set on it
  return {
    method: incoming.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString('utf8'),
  }
}

function reply(response: ServerResponse, answer: FakeAnswer): void {
  if (answer === 'break') {
    response.socket?.destroy()
    return
  }
  const { status = 200, body, bytes, headers = {} } = answer
  response.writeHead(status, { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers })
  if (bytes) response.end(bytes)
  else response.end(body === undefined ? '' : JSON.stringify(body))
}
