/** The logger of an isolated child: sends its lines, with their bindings, to the worker, which writes them. */
import { format } from 'node:util'
import type { Logger } from '@baton/shared/node'
import { logLevels } from './messages.js'

export interface LogLine {
  readonly level: (typeof logLevels)[number]
  readonly fields: Record<string, unknown>
  readonly message?: string
}

export function remoteLog(send: (line: LogLine) => void, bindings: Record<string, unknown> = {}): Logger {
  const at =
    (level: LogLine['level']) =>
    (...args: unknown[]): void => {
      const [first, ...rest] = args
      const texts = typeof first === 'string' ? args : rest
      const own = typeof first === 'string' ? {} : first instanceof Error ? { err: first } : first
      const message = texts.length > 0 ? format(...texts) : first instanceof Error ? first.message : undefined
      const fields = { ...bindings, ...(crossable(own) as object | undefined) }
      send({ level, fields, ...(message !== undefined && { message }) })
    }
  const methods = Object.fromEntries(logLevels.map(level => [level, at(level)]))
  const child = (more: Record<string, unknown>) => remoteLog(send, { ...bindings, ...(crossable(more) as object) })
  return { ...methods, child } as unknown as Logger // one method for each of its levels
}

const maxDepth = 6

/** The value as a log would show it, without what cannot cross: functions, loops, what throws when it is read. */
function crossable(value: unknown, depth = 0): unknown {
  try {
    if (typeof value === 'function' || typeof value === 'symbol') return undefined
    if (typeof value === 'bigint') return String(value)
    if (typeof value !== 'object' || value === null) return value
    if (depth >= maxDepth) return '[deeper]'
    if (value instanceof Error) return bareError(value, depth)
    if ('toJSON' in value && typeof value.toJSON === 'function') return crossable(value.toJSON() as unknown, depth + 1)
    if (Array.isArray(value)) return value.slice(0, 100).map(item => crossable(item, depth + 1))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, crossable(item, depth + 1)]))
  } catch {
    return '[unreadable]'
  }
}

/** What a clone keeps of an error, so that the worker's log shows it as it shows its own. */
function bareError(error: Error, depth: number): Error {
  const cause = error.cause === undefined ? undefined : { cause: crossable(error.cause, depth + 1) }
  return Object.assign(new Error(error.message, cause), { name: error.name, stack: error.stack })
}
