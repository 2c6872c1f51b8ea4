/** A failure as data: what travels on a wire and is stored, where an `Error` cannot. */
import { z } from 'zod'
import { BatonError, type ErrorCode, errorTable } from './errors.js'
import { storableText } from './json.js'

export interface Failure {
  /** A code of the error table, or one that the agent chose. */
  code: string
  message: string
  retryable: boolean
  cause?: Failure | undefined
}

const maxMessageLength = 8_000
const maxCauses = 5

export const failureSchema: z.ZodType<Failure> = z.object({
  code: z.string().min(1).max(128),
  message: z.string().max(maxMessageLength),
  retryable: z.boolean(),
  get cause() {
    return failureSchema.optional()
  },
})

/** A failure of the closed table, with the table's retryability. */
export function failure(code: ErrorCode, message: string, cause?: Failure): Failure {
  return { code, message: cut(message), retryable: errorTable[code].retryable, ...(cause && { cause }) }
}

/**
 * Makes a failure of whatever was thrown. An error's own `code` (when it looks like one) and `retryable` (when it is a
 * boolean) are kept, so an agent says "do not try again" with `Object.assign(new Error('…'), { retryable: false })`.
 */
export function toFailure(thrown: unknown, fallback: ErrorCode = 'agent_error', depth = 0): Failure {
  if (thrown instanceof BatonError) return failure(thrown.code, thrown.message, causeOf(thrown.cause, depth))
  if (thrown instanceof Error) {
    const own = thrown as Error & { code?: unknown; retryable?: unknown }
    return {
      code: typeof own.code === 'string' && /^[A-Za-z0-9_.-]{1,128}$/.test(own.code) ? own.code : fallback,
      message: cut(textOf(thrown)),
      retryable: typeof own.retryable === 'boolean' ? own.retryable : errorTable[fallback].retryable,
      ...(thrown.cause !== undefined && { cause: causeOf(thrown.cause, depth) }),
    }
  }
  return { code: fallback, message: cut(textOf(thrown)), retryable: errorTable[fallback].retryable }
}

function causeOf(cause: unknown, depth: number): Failure | undefined {
  return cause === undefined || depth >= maxCauses ? undefined : toFailure(cause, 'agent_error', depth + 1)
}

/** Whatever was thrown, as text; never throws itself. */
function textOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown)
  const { message, errors, name } = thrown as { message?: unknown; errors?: unknown; name?: unknown }
  if (message !== undefined && message !== '') return typeof message === 'object' ? shown(message) : String(message)
  // A connection that failed for several addresses says so in its parts only.
  const parts = Array.isArray(errors) ? errors.filter(error => error instanceof Error && error.message !== '') : []
  if (parts.length > 0) return parts.map(error => error.message).join('; ')
  return thrown instanceof Error && typeof name === 'string' ? name : shown(thrown)
}

function shown(value: object | null): string {
  try {
    return JSON.stringify(value)
  } catch {
    return 'an object'
  }
}

/** Text that a database and a terminal can hold: no NUL, no lone surrogate, bounded. */
function cut(message: string): string {
  const clean = storableText(message)
  return clean.length > maxMessageLength ? `${clean.slice(0, maxMessageLength - 1).toWellFormed()}…` : clean
}
