/** Structured logs: JSON lines with redaction and bounded fields. Control characters are escaped by JSON itself. */
import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers } from 'pino'

export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'> & {
  child(bindings: Record<string, unknown>): Logger
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

const maxFieldLength = 8_192
const secretUrl = /\b([a-z][a-z0-9+.-]*:\/\/)([^\s/@:]*):([^\s/@]+)@/gi

interface LoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel
  /** What every line carries. */
  readonly bindings?: Record<string, unknown>
  /** Default: stdout, written at once. */
  readonly destination?: DestinationStream
}

/** A logger that masks passwords in URLs and keys in headers, and cuts fields over 8 KB. */
export function createLogger(options: LoggerOptions = {}): Logger {
  return pino(
    {
      level: options.level ?? 'info',
      base: options.bindings ?? {},
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
      redact: {
        paths: ['*.authorization', '*.api_key', '*.apiKey', '*.password', 'authorization', 'api_key', 'apiKey', 'password'],
        censor: '[redacted]',
      },
      serializers: { err: error => cutDeep(stdSerializers.err(error)) },
      hooks: {
        logMethod(args, method) {
          method.apply(this, args.map(cleanArgument) as typeof args)
        },
      },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
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

function cleanArgument(argument: unknown): unknown {
  return typeof argument === 'string' ? cut(maskSecrets(argument)) : cutDeep(argument)
}

function cutDeep(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return cut(maskSecrets(value))
  if (value === null || typeof value !== 'object' || value instanceof Error || depth > 4) return value
  if (Array.isArray(value)) return value.slice(0, 100).map(v => cutDeep(v, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, cutDeep(v, depth + 1)]))
}

function cut(text: string): string {
  return text.length > maxFieldLength ? `${text.slice(0, maxFieldLength)}… (${text.length} characters)` : text
}
