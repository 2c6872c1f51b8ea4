/**
 * An agent that is a server: `POST` with the brief, answered with the output as JSON or text. Redirects are not
 * followed. 4xx is not retried (but for 408, 425 and 429), 5xx is.
 */
import { BatonError, maxArtifactBytes, parseStrictJson } from '@baton/shared'
import { type Agent, type AgentContext, type AgentOptions, defineAgent } from '../agent.js'

export interface HttpAgentOptions extends Omit<AgentOptions<unknown, unknown>, 'run' | 'input' | 'output'> {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
}

const retriableClientErrors = new Set([408, 425, 429])

/** Declares an agent that asks a server for each attempt. The idempotency key travels as `Idempotency-Key`. */
export function httpAgent(options: HttpAgentOptions): Agent {
  const { url, headers, ...rest } = options
  return defineAgent<unknown, unknown>({ ...rest, run: (input, context) => ask(url, headers ?? {}, input, context) }, 'http')
}

async function ask(url: string, headers: Readonly<Record<string, string>>, input: unknown, context: AgentContext): Promise<unknown> {
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      signal: context.signal,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/plain',
        'idempotency-key': context.idempotencyKey,
        ...headers,
      },
      body: JSON.stringify({ input, task_id: context.taskId, subtask_id: context.subtaskId, attempt: context.attempt }),
    })
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason
    throw new BatonError('agent_http_error', `${new URL(url).host} could not be asked: ${reasonOf(error)}`, { cause: error })
  }
  const text = await read(response)
  if (!response.ok) {
    const retryable = response.status >= 500 || retriableClientErrors.has(response.status)
    throw Object.assign(new Error(`${new URL(url).host} answered ${response.status}: ${text.slice(0, 500)}`), {
      code: 'agent_http_error',
      retryable,
    })
  }
  if (!/\bjson\b/i.test(response.headers.get('content-type') ?? '')) return text
  try {
    return text.trim() === '' ? null : parseStrictJson(text)
  } catch (error) {
    throw new BatonError('result_invalid', `the answer of ${new URL(url).host} is not acceptable JSON: ${reasonOf(error)}`, {
      cause: error,
    })
  }
}

async function read(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.length
    if (bytes > maxArtifactBytes) throw new BatonError('result_too_large', `the answer has more than ${maxArtifactBytes} bytes`)
    parts.push(part)
  }
  return new TextDecoder().decode(Buffer.concat(parts))
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}
