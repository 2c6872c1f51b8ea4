/** Where the log of a long-running command goes: stderr, as lines for people on a terminal, as JSON elsewhere. */
import { createLogger, type Logger, type LogLevel } from '@baton/shared/node'
import type { Io } from '../io.js'
import { type Colour, type Paint, paintFor } from './style.js'
import { visible } from './text.js'

export function commandLogger(io: Io, level: LogLevel, bindings?: Record<string, unknown>): Logger {
  const paint = paintFor(io, io.stderr)
  const write = io.stderr.isTTY
    ? (line: string) => io.stderr.write(`${readableLine(line, paint)}\n`)
    : (line: string) => io.stderr.write(line)
  return createLogger({ level, ...(bindings && { bindings }), destination: { write: line => void write(line) } })
}

const colours: Record<string, Colour> = { warn: 'yellow', error: 'red', fatal: 'red', debug: 'dim', trace: 'dim' }

/** `12:04:05 warn  waiting for NATS  url=nats://…`. */
export function readableLine(line: string, paint: Paint): string {
  let entry: Record<string, unknown>
  try {
    entry = JSON.parse(line) as Record<string, unknown> // pino writes objects
  } catch {
    return visible(line.trimEnd())
  }
  const { time, level, msg, err, ...rest } = entry
  const name = String(level ?? 'info')
  const details = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const cause = err !== null && typeof err === 'object' && 'message' in err ? `: ${String(err.message)}` : ''
  const clock = typeof time === 'string' ? time.slice(11, 19) : ''
  return `${paint('dim', clock)} ${paint(colours[name] ?? 'cyan', name.padEnd(5))} ${visible(String(msg ?? '') + cause)}${details.length > 0 ? `  ${paint('dim', visible(details.join(' ')))}` : ''}`
}
