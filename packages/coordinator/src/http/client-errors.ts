/**
 * Errors below HTTP: bytes that are no request, headers over the limit, requests that do not arrive in time. There is
 * no request object yet, so the answer is written to the socket by hand.
 */
import { randomBytes } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { BatonError } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import { toJsonText } from './json-text.js'
import { problemHeaders, toProblem } from './problem.js'
import { securityHeaders } from './security-headers.js'

/** A client that keeps sending is cut off so long after the answer; closing at once could destroy the answer on its way. */
const lingerMs = 1_000

export const newRequestId = (): string => `req_${randomBytes(12).toString('base64url')}`

/** A listener for the server's `clientError`. */
export function clientErrorAnswerer(limits: { headerBytes: number }, log: Logger) {
  const answered = new WeakSet<Socket>()
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (answered.has(socket)) return // the rest of what it sends is no request either
    answered.add(socket)
    // `_httpMessage` is the answer under way, if any: a second one must not be written into it.
    const underWay = (socket as Socket & { _httpMessage?: { _headerSent?: boolean } | null })._httpMessage?._headerSent
    if (error.code === 'ECONNRESET' || !socket.writable || underWay) {
      socket.destroy()
      return
    }
    const requestId = newRequestId()
    const problem = clientProblem(error.code, limits)
    log.info({ request_id: requestId, code: problem.code, reason: error.code }, 'refused a connection')
    socket.end(answerText(problem, requestId))
    setTimeout(() => socket.destroy(), lingerMs).unref()
  }
}

function clientProblem(code: string | undefined, limits: { headerBytes: number }): BatonError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new BatonError(
        'headers_too_large',
        `URL and headers may have ${limits.headerBytes} bytes together; put large values into the body`,
      )
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new BatonError('body_too_large', 'the chunk extensions of the body are too large; send it without them')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new BatonError('request_timeout', 'the request did not arrive whole in time; send it again')
    default:
      return new BatonError('invalid_request', `what was sent is not an HTTP/1.1 request${code ? ` (${code})` : ''}`)
  }
}

function answerText(problem: BatonError, requestId: string): string {
  const body = toJsonText(toProblem(problem, requestId))
  const headers = {
    ...securityHeaders,
    ...problemHeaders(problem),
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`
}
