/**
 * Errors as the outside sees them: `application/problem+json` (RFC 9457) with codes of the closed table only. Whatever
 * was thrown becomes a `BatonError` here; a fault keeps its text for the log and shows a request id instead.
 */
import { BatonError, type ErrorCode, errorTable, type Problem } from '@baton/shared'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { toJsonText } from './json-text.js'

/** The page that explains a code; also the problem's `type`. */
export const problemType = (code: ErrorCode): string => `/docs#${code}`

export function toProblem(error: BatonError, requestId: string): Problem {
  const { title, status } = errorTable[error.code]
  const detail =
    error.code === 'internal' ? `Something went wrong inside Baton; its log says what, under request_id ${requestId}` : error.message
  return {
    ...error.extra,
    type: problemType(error.code),
    title,
    status,
    code: error.code,
    detail,
    ...(error.fields && { fields: error.fields }),
    request_id: requestId,
  }
}

/** Headers that belong to an error: `Allow`, `Content-Range`, `Retry-After`, `WWW-Authenticate`. */
export function problemHeaders(error: BatonError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' }
  if (error.code === 'unauthorized') headers['www-authenticate'] = 'Bearer realm="baton"'
  const { retry_after_seconds: retryAfter, allow, bytes } = error.extra ?? {}
  if (error.code === 'range_not_satisfiable' && typeof bytes === 'number') headers['content-range'] = `bytes */${bytes}`
  if (typeof retryAfter === 'number') headers['retry-after'] = String(Math.ceil(retryAfter))
  if (Array.isArray(allow)) headers.allow = allow.join(', ')
  return headers
}

export function sendProblem(reply: FastifyReply, error: BatonError, requestId: string): FastifyReply {
  // As bytes: to text Fastify would add a charset, which this media type does not have.
  return reply
    .code(error.status)
    .headers(problemHeaders(error))
    .send(Buffer.from(toJsonText(toProblem(error, requestId))))
}

/** What Fastify refuses by itself, in the words of the table. */
const fastifyRefusals: Readonly<Record<string, (request: FastifyRequest) => BatonError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: request =>
    new BatonError(
      'body_too_large',
      `the body is larger than the ${request.routeOptions.bodyLimit} bytes that this path takes; send less at once`,
    ),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new BatonError('unsupported_media_type', 'send the body with Content-Type: application/json'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new BatonError('invalid_request', 'the body is not as long as Content-Length says'),
  FST_ERR_BAD_URL: () =>
    new BatonError('invalid_request', 'the URL holds a percent sign that is not followed by two hexadecimal digits of valid UTF-8'),
  FST_ERR_MAX_PARAM_LENGTH: () => new BatonError('invalid_request', 'a part of the path is too long'),
}

/** Makes a `BatonError` of whatever was thrown on the way of a request. */
export function toBatonError(thrown: unknown, request: FastifyRequest): BatonError {
  if (thrown instanceof BatonError) return thrown
  const { code, statusCode } = isObject(thrown) ? (thrown as { code?: unknown; statusCode?: unknown }) : {} // every error may have them
  const refusal = typeof code === 'string' ? fastifyRefusals[code] : undefined
  if (refusal) return refusal(request)
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500)
    return new BatonError('invalid_request', 'the request did not arrive whole', { cause: thrown })
  return new BatonError('internal', 'an unexpected error', { cause: thrown })
}

function isObject(value: unknown): value is object {
  return value !== null && typeof value === 'object'
}
