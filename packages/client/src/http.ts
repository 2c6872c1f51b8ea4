/**
 * One request and its answer: addresses, the key, repeats, and errors. What the answers mean is left to the resources.
 *
 * Invariants: H1 requests of this API are idempotent (submissions by `task_id`), so each may be repeated; but those marked
 * `once`, whose repeat would meet its own first success as a conflict, or do it twice. H2 it is
 * repeated only when it met no answer, or a 503 that passes by itself; never on `agent_unavailable`, which tells of the
 * work and not of the request. H3 an aborted signal ends waiting at once, with the signal's own reason.
 */
import { type BackoffPolicy, BatonError, backoffMs } from '@baton/shared'
import { encodeJson } from './encode-json.js'
import { pause } from './pause.js'
import { problemOf, unreachable } from './problem.js'

export interface RetryPolicy extends BackoffPolicy {
  /** How many repeats; 0 for none. */
  readonly repeats: number
}

const defaultRetry: RetryPolicy = { repeats: 4, initialMs: 100, factor: 2, maxMs: 2_000, jitter: 0.5 }

export function resolveRetry(retry: Partial<RetryPolicy> | false | undefined): RetryPolicy {
  return retry === false ? { ...defaultRetry, repeats: 0 } : { ...defaultRetry, ...retry }
}

export interface HttpOptions {
  /** Without a slash at its end. */
  readonly url: string
  readonly apiKey: string | undefined
  readonly fetch: typeof fetch
  readonly retry: RetryPolicy
  readonly timeoutMs: number
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Segments, each of which is encoded. */
  readonly path: readonly string[]
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Answers that are not errors besides 2xx. */
  readonly accept?: readonly number[]
  /** The answer goes on: only its head has to be there in time. */
  readonly streaming?: boolean
  /** How much longer than usual the answer may take. */
  readonly extraMs?: number
  readonly signal?: AbortSignal
  /** Never repeated (H1). */
  readonly once?: boolean
}

export class Http {
  readonly retry: RetryPolicy
  readonly url: string
  private readonly options: HttpOptions

  constructor(options: HttpOptions) {
    this.options = options
    this.url = options.url
    this.retry = options.retry
  }

  /** The answer, whose body is not read yet. */
  async send(request: HttpRequest): Promise<Response> {
    for (let repeat = 1; ; repeat++) {
      try {
        return await this.once(request)
      } catch (error) {
        if (request.once || request.signal?.aborted || repeat > this.retry.repeats || !passes(error)) throw error
        await pause(Math.max(backoffMs(this.retry, repeat, Math.random()), retryAfterMs(error)), request.signal)
      }
    }
  }

  /** The answer's body, parsed. */
  async json<T>(request: HttpRequest): Promise<T> {
    const response = await this.send(request)
    return this.read(response, request.signal, async () => (await response.json()) as T) // the server's schema, not checked again
  }

  /** Reads a body, translating a connection that breaks in the middle of it. */
  async read<T>(response: Response, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
    try {
      return await body()
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw unreachable(this.url, error instanceof SyntaxError ? `answered ${response.status} with something that is not JSON` : error)
    }
  }

  private async once(request: HttpRequest): Promise<Response> {
    const { method, body, signal } = request
    const timeoutMs = this.options.timeoutMs + (request.extraMs ?? 0)
    const headTimeout = new AbortController()
    const timeout = request.streaming ? headTimeout.signal : AbortSignal.timeout(timeoutMs)
    const timer = request.streaming ? setTimeout(() => headTimeout.abort(), timeoutMs) : undefined
    let response: Response
    try {
      response = await this.options.fetch(this.address(request), {
        method,
        headers: {
          accept: 'application/json, application/problem+json, */*;q=0.1',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(this.options.apiKey && { authorization: `Bearer ${this.options.apiKey}` }),
          ...request.headers,
        },
        ...(body !== undefined && { body: encodeJson(body) }),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        redirect: 'error',
      })
    } catch (error) {
      if (signal?.aborted) throw signal.reason // H3
      throw unreachable(this.url, timeout.aborted ? `did not answer within ${timeoutMs / 1_000} s` : error)
    } finally {
      clearTimeout(timer)
    }
    if (response.ok || request.accept?.includes(response.status)) return response
    throw await problemOf(this.url, response)
  }

  private address({ path, query = {} }: HttpRequest): string {
    const parameters = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const]))
    const search = parameters.length === 0 ? '' : `?${new URLSearchParams(Object.fromEntries(parameters))}`
    return `${this.url}/${path.map(encodeURIComponent).join('/')}${search}`
  }
}

/** Whether the same request may find an answer soon (H2). */
export function passes(error: unknown): boolean {
  return error instanceof BatonError && (error.code === 'unreachable' || error.code === 'unavailable') && error.extra?.final !== true
}

/** What the answer asks to wait; at most 10 s. */
export function retryAfterMs(error: unknown): number {
  const seconds = error instanceof BatonError ? error.extra?.retry_after_seconds : undefined
  return typeof seconds === 'number' ? Math.min(seconds, 10) * 1_000 : 0
}
