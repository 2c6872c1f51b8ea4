/** Structured logs: JSON lines with redaction and bounded fields; control characters and line breaks of whatever kind are escaped. */
import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers } from 'pino'

export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'> & {
  child(bindings: Record<string, unknown>): Logger
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

const maxFieldLength = 8_192
const maxDepth = 6
const maxItems = 100
const secretUrl = /\b([a-z][a-z0-9+.-]*:\/\/)([^\s/@:]*):([^\s/@]+)@/gi
const bearer = /\b(Bearer\s+)[\w.~+/=-]+/gi
/** In query strings, and in connection strings of words. */
const secretParameter = /\b((?:api[_-]?key|access_token|auth|password|passwd|pwd|secret|token)=)[^\s&;,"']+/gi
/** An API key of ours, wherever it stands. */
const ownKey = /\bbaton_[\w-]{43}/g
/** Without any of these nothing of the above is in a text. */
const suspicious = /:\/\/|=|bearer|baton_/i
const secretKey = /^(?:(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api[_-]?key|password|passwd|secret|token)$/i
/** What JSON leaves as it is, and viewers may take for a line break or a control character. */
const unescaped = /[\u007f-\u009f\u2028\u2029]/
const everyUnescaped = new RegExp(unescaped, 'g')

interface LoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel
  /** What every line carries. */
  readonly bindings?: Record<string, unknown>
  /** Default: stdout, written at once. */
  readonly destination?: DestinationStream
}

/** A logger that masks passwords in URLs and keys wherever they stand, and cuts fields over 8 KB. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true })
  return pino(
    {
      level: options.level ?? 'info',
      base: options.bindings ?? {},
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
      serializers: { err: error => cutDeep(stdSerializers.err(error)) },
      hooks: {
        logMethod(args, method) {
          method.apply(this, args.map(cleanArgument) as typeof args)
        },
      },
    },
    { write: line => destination.write(unescaped.test(line) ? line.replace(everyUnescaped, escaped) : line) },
  ) as Logger
}

/** A logger that says nothing. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' }) as Logger
}

/** Masks the password of every URL in a text. */
export function maskSecrets(text: string): string {
  return text.replace(secretUrl, '$1$2:***@')
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function cleanArgument(argument: unknown): unknown {
  return typeof argument === 'string' ? cleanText(argument) : cutDeep(argument)
}

function cutDeep(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (value === null || typeof value !== 'object') return value
  // Of a line's own fields pino serializes `err`; errors further down would be empty objects.
  if (value instanceof Error) return depth <= 1 ? value : cleanText(value.message)
  if (depth > maxDepth) return '[too deep]'
  if (Array.isArray(value)) return value.slice(0, maxItems).map(v => cutDeep(v, depth + 1))
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, maxItems)
      .map(([k, v]) => [k, secretKey.test(k) ? '[redacted]' : cutDeep(v, depth + 1)]),
  )
}

function cleanText(text: string): string {
  if (text.length <= maxFieldLength && !suspicious.test(text)) return text // most are ids and short words
  // Cut first: what is looked through stays small. A secret that the cut splits is masked as far as it stands there.
  const cut = text.length > maxFieldLength ? text.slice(0, maxFieldLength) : text
  const masked = maskSecrets(cut).replace(bearer, '$1***').replace(secretParameter, '$1***').replace(ownKey, 'baton_***')
  return cut.length < text.length ? `${masked}… (${text.length} characters)` : masked
}
