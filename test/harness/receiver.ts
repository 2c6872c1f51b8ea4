/** A receiver of webhooks that answers as the test says, and checks every signature as docs/webhooks.md has it. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { EventView } from '@baton/shared'

export interface Received {
  readonly path: string
  /** The header `webhook-id`. */
  readonly id: string
  readonly type: string
  readonly event: EventView
  readonly body: string
  readonly headers: IncomingMessage['headers']
  /** By `performance.now()`. */
  readonly at: number
}

export interface Receiver {
  readonly url: string
  readonly received: readonly Received[]
  stop(): Promise<void>
}

/** Default: 204 for everything. */
export async function startReceiver(
  answer: (received: Received, response: ServerResponse) => void = (_, response) => void response.writeHead(204).end(),
): Promise<Receiver> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8')
      const { type, data } = JSON.parse(body) as { type: string; data: EventView }
      const one: Received = {
        path: request.url ?? '',
        id: String(request.headers['webhook-id']),
        type,
        event: data,
        body,
        headers: request.headers,
        at: performance.now(),
      }
      received.push(one)
      answer(one, response)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on TCP
    received,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** How many of the signatures were made with this secret. */
export function signaturesBy(secret: string, { headers, body, id }: Received): number {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  const expected = createHmac('sha256', key)
    .update(`${id}.${String(headers['webhook-timestamp'])}.${body}`)
    .digest()
  const signatures = String(headers['webhook-signature']).split(' ')
  return signatures.filter(signature => {
    const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64')
    return given.length === expected.length && timingSafeEqual(given, expected)
  }).length
}
