/**
 * The one door to language models: a chat with a server that speaks OpenAI's protocol, through the AI SDK. It is loaded only
 * where a model is configured.
 *
 * Invariants: an answer of more than a mebibyte is not read to its end; redirects are not followed, so that the key goes where
 * the operator said and nowhere else; what is thrown is a sentence for people, without the key and without what the server wrote.
 */
import type { Draft } from '../plan/model/draft.js'
import { draftSchema } from '../plan/model/draft.js'
import type { Message } from '../plan/model/prompt.js'

export interface ModelSettings {
  /** `http://…/v1` */
  readonly baseUrl: string
  readonly model: string
  readonly apiKey?: string
  readonly maxOutputTokens: number
  /** Whether the server takes a JSON Schema for its answer; else it is only asked for JSON. */
  readonly structuredOutput: boolean
  /** Undefined: the server's own. */
  readonly temperature?: number
}

export type Ask = (messages: readonly Message[], signal: AbortSignal) => Promise<string>

const maxAnswerBytes = 1024 * 1024

export async function openChat(settings: ModelSettings): Promise<Ask> {
  const [{ APICallError, generateText, NoObjectGeneratedError, Output }, { createOpenAICompatible }] = await Promise.all([
    import('ai'),
    import('@ai-sdk/openai-compatible'),
  ])
  // What it would warn of on the console is known here.
  ;(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false
  const provider = createOpenAICompatible({
    name: 'planner',
    baseURL: settings.baseUrl,
    supportsStructuredOutputs: settings.structuredOutput,
    fetch: boundedFetch,
    ...(settings.apiKey !== undefined && { apiKey: settings.apiKey }),
  })
  const model = provider(settings.model)
  return async (messages, signal) => {
    const [system, ...conversation] = messages
    try {
      const result = await generateText({
        model,
        system: system?.content ?? '',
        messages: conversation.map(({ role, content }) => ({
          role: role === 'assistant' ? ('assistant' as const) : ('user' as const),
          content,
        })),
        output: Output.object<Draft>({ schema: draftSchema, name: 'plan' }),
        maxOutputTokens: settings.maxOutputTokens,
        ...(settings.temperature !== undefined && { temperature: settings.temperature }),
        // The time limit is for all: a server that fails is better stood in for than asked again.
        maxRetries: 0,
        abortSignal: signal,
      })
      return result.text
    } catch (error) {
      // Judged by whoever asked: it is their guardrails that say what is wrong with it.
      if (NoObjectGeneratedError.isInstance(error) && error.text !== undefined) return error.text
      signal.throwIfAborted()
      throw new Error(reasonOf(error, APICallError.isInstance(error) ? error.statusCode : undefined), { cause: error })
    }
  }
}

function reasonOf(error: unknown, status: number | undefined): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof AnswerTooLarge) return cause.message
  if (status !== undefined && status >= 300) return `answered ${status}`
  if (status !== undefined) return 'answered with something else than a chat'
  return 'could not be reached'
}

class AnswerTooLarge extends Error {
  constructor() {
    super(`answered with more than ${maxAnswerBytes / 1024 / 1024} MiB`)
  }
}

const boundedFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, { ...init, redirect: 'manual' })
  if (!response.body) return response
  let bytes = 0
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.byteLength
        if (bytes > maxAnswerBytes) controller.error(new AnswerTooLarge())
        else controller.enqueue(chunk)
      },
    }),
  )
  return new Response(counted, { status: response.status, statusText: response.statusText, headers: response.headers })
}
