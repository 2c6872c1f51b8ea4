/**
 * An agent that is a server: `POST` with the brief, answered with the output as JSON or text. Redirects are not
 * followed. 3xx and 4xx are not retried (but for 408, 425 and 429), 5xx is.
 *
 * Node's own `http`, because `fetch` gives up on an answer that takes longer than five minutes: how long an attempt may
 * take is for its SLA to say, which aborts the signal.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { BatonError, maxArtifactBytes, parseStrictJson, urlIssue } from '@baton/shared'
import { type Agent, type AgentContext, type AgentOptions, defineAgent } from '../agent.js'

export interface HttpAgentOptions
  extends Omit<AgentOptions<unknown, unknown>, 'run' | 'input' | 'output' | 'isolation' | 'module' | 'export'> {
  /** `http:` or `https:`; user info in it becomes basic authentication. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
}

const retriableClientErrors = new Set([408, 425, 429])

/** Declares an agent that asks a server for each attempt. The idempotency key travels as `Idempotency-Key`. */
export function httpAgent(options: HttpAgentOptions): Agent {
  const { url: text, headers, ...rest } = options
  const issue = urlIssue(text)
  if (issue !== undefined) throw new BatonError('invalid_configuration', `agent ${options.name}: its url ${JSON.stringify(text)} ${issue}`)
  const url = new URL(text)
  return defineAgent<unknown, unknown>({ ...rest, run: (input, context) => ask(url, headers ?? {}, input, context) }, 'http')
}

async function ask(url: URL, headers: Readonly<Record<string, string>>, input: unknown, context: AgentContext): Promise<unknown> {
  context.signal.throwIfAborted()
  const body = JSON.stringify({ input, task_id: context.taskId, subtask_id: context.subtaskId, attempt: context.attempt })
  let response: IncomingMessage
  let answered = false
  let bytes: Buffer
  try {
    response = await send(url, headers, body, context)
    answered = true
    bytes = await read(response)
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason
    if (error instanceof BatonError) throw error
    const what = answered ? `the answer of ${url.host} broke off` : `${url.host} could not be asked`
    throw new BatonError('agent_http_error', `${what}: ${reasonOf(error)}`, { cause: error })
  }
  const status = response.statusCode ?? 0
  if (status < 200 || status > 299) throw refusal(url, status, response.headers.location, bytes)
  const text = decode(url, bytes)
  if (!/\bjson\b/i.test(response.headers['content-type'] ?? '')) return text === '' ? null : text
  try {
    return text.trim() === '' ? null : parseStrictJson(text)
  } catch (error) {
    throw new BatonError('result_invalid', `the answer of ${url.host} is not acceptable JSON: ${reasonOf(error)}`, { cause: error })
  }
}

/** Resolves when the answer begins. */
function send(url: URL, headers: Readonly<Record<string, string>>, body: string, context: AgentContext): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(
      url,
      {
        method: 'POST',
        signal: context.signal,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          accept: 'application/json, text/plain',
          'idempotency-key': context.idempotencyKey,
          ...headers,
        },
      },
      resolve,
    )
    request.on('error', reject)
    request.end(body)
  })
}

async function read(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  // Leaving the loop early destroys the connection.
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > maxArtifactBytes) throw new BatonError('result_too_large', `the answer has more than ${maxArtifactBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function decode(url: URL, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new BatonError('result_invalid', `the answer of ${url.host} holds bytes that are not UTF-8`, { cause: error })
  }
}

function refusal(url: URL, status: number, location: string | undefined, body: Buffer): Error {
  const said = body.toString('utf8').slice(0, 500)
  const message =
    location !== undefined && status < 400
      ? `${url.host} answered ${status} and points to ${location}; redirects are not followed`
      : `${url.host} answered ${status}${said ? `: ${said}` : ''}`
  return Object.assign(new Error(message), { code: 'agent_http_error', retryable: status >= 500 || retriableClientErrors.has(status) })
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
