/** Errors of this client: the coordinator's problem documents, and what stands for an answer that never came. */
import { BatonError, type ErrorCode, errorCodes, errorTable, type FieldIssue } from '@baton/shared'

/** Makes the error of an answer that is not a success. */
export async function problemOf(url: string, response: Response): Promise<BatonError> {
  const text = await response.text().catch(() => '')
  const problem = parse(text)
  if (problem === undefined) {
    if (response.status >= 500) return unreachable(url, `answered ${response.status} without saying why`)
    const kind = response.headers.get('content-type') ?? 'no content type'
    return new BatonError(
      'unreachable',
      `${url} answered ${response.status} (${kind}), but not as a Baton coordinator does; check BATON_URL or --url`,
      {
        extra: { final: true },
      },
    )
  }
  const { type: _type, title: _title, status: _status, code: _code, detail, fields, ...rest } = problem
  const code = codeOf(problem.code, response.status)
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
  return new BatonError(code, typeof detail === 'string' && detail !== '' ? detail : errorTable[code].title, {
    ...(Array.isArray(fields) && { fields: fields as FieldIssue[] }), // of the same table as ours
    extra: { ...(Number.isFinite(retryAfter) && { retry_after_seconds: retryAfter }), ...rest },
  })
}

/** The error of a batch's item, or undefined when there is none. */
export function problemOfItem(item: unknown, status: number): BatonError | undefined {
  const problem = asObject(item)
  if (problem === undefined) return undefined
  const code = codeOf(problem.code, status)
  const fields = problem.fields
  return new BatonError(
    code,
    String(problem.detail ?? errorTable[code].title),
    Array.isArray(fields) ? { fields: fields as FieldIssue[] } : {},
  )
}

/** Nobody answered at this URL; `cause` is what `fetch` threw, or the reason in words. */
export function unreachable(url: string, cause: unknown): BatonError {
  const reason = typeof cause === 'string' ? cause : `does not answer (${reasonOf(cause)})`
  return new BatonError(
    'unreachable',
    `${url} ${reason}; start a coordinator there with \`baton up\`, or name another with BATON_URL or --url`,
    { cause },
  )
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  ETIMEDOUT: 'connecting took too long',
  UND_ERR_CONNECT_TIMEOUT: 'connecting took too long',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
}

function reasonOf(cause: unknown): string {
  for (let error = cause, depth = 0; error instanceof Error && depth < 5; error = firstOf(error), depth++) {
    const code = (error as { code?: unknown }).code // set by Node and undici, not by the DOM's types
    if (typeof code === 'string') return reasons[code] ?? code
    if (firstOf(error) === undefined) return error.message || error.name
  }
  return String(cause)
}

function firstOf(error: Error): unknown {
  return error instanceof AggregateError ? error.errors[0] : error.cause
}

function codeOf(code: unknown, status: number): ErrorCode {
  if (typeof code === 'string' && Object.hasOwn(errorTable, code)) return code as ErrorCode // own key of the table
  // A newer coordinator may know codes that this client does not: the status still says what kind it is.
  return errorCodes.find(known => errorTable[known].status === status) ?? (status < 500 ? 'invalid_request' : 'internal')
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const problem = asObject(JSON.parse(text))
    return problem && typeof problem.code === 'string' ? problem : undefined
  } catch {
    return undefined
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}
