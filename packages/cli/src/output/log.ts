/**
 * Where the log of a long-running command goes: to a terminal as lines for people, elsewhere as JSON; and, of a
 * coordinator, into a file as well.
 */
import { isAbsolute, resolve } from 'node:path'
import { createLogger, type Environment, type Logger, type LogLevel } from '@baton/shared/node'
import type { LogFile } from '@baton/shared/observe'
import type { Io } from '../io.js'
import { type Colour, type Paint, paintFor } from './style.js'
import { visible } from './text.js'

interface LogOptions {
  /** Default stderr. */
  readonly to?: 'stdout' | 'stderr'
  readonly file?: Pick<LogFile, 'write'> | undefined
}

export function commandLogger(io: Io, level: LogLevel, { to = 'stderr', file }: LogOptions = {}): Logger {
  const sink = io[to]
  const paint = paintFor(io, sink)
  const show = sink.isTTY ? (line: string) => sink.write(`${readableLine(line, paint)}\n`) : gathered(text => sink.write(text))
  const write = (line: string) => {
    show(line)
    file?.write(line)
  }
  return createLogger({ level, destination: { write } })
}

/** What is not urgent: whatever else a process says at once is worth its own write, since it may be the last word. */
const calm = /^\{"level":"(?:info|debug|trace)"/
const unwritten = new Set<() => void>()
let heedsExit = false

/**
 * Lines of one turn are written together: a pipe costs a call of the system for each write. They are written before
 * anything else happens, and also when the process ends in the same turn.
 */
function gathered(write: (text: string) => void): (line: string) => void {
  let waiting = ''
  const flush = () => {
    unwritten.delete(flush)
    const text = waiting
    waiting = ''
    if (text !== '') write(text)
  }
  return line => {
    waiting += line
    if (!calm.test(line)) return flush()
    if (unwritten.has(flush)) return
    if (!heedsExit) process.once('exit', flushAll)
    heedsExit = true
    unwritten.add(flush)
    queueMicrotask(flush)
  }
}

function flushAll(): void {
  for (const flush of unwritten) flush()
}

/** Where the log of a fleet's process goes: to stdout, unless that is for people, or for one JSON document. */
export function serverOutput(io: Io, options: { readonly json?: boolean }): 'stdout' | 'stderr' {
  return options.json || io.stdout.isTTY ? 'stderr' : 'stdout'
}

/** The coordinator's log file, if there is to be one. A relative path is so to `directory`. */
export async function openLogFile(io: Io, { logFile }: Environment, directory: string): Promise<LogFile | undefined> {
  if (!logFile) return undefined
  const path = isAbsolute(logFile.path) ? logFile.path : resolve(directory, logFile.path)
  const { LogFile } = await import('@baton/shared/observe')
  const say = (text: string) => io.stderr.write(`${text}\n`)
  return new LogFile({
    ...logFile,
    path,
    onTrouble: ({ message }) => say(`the log file ${path} cannot be written: ${message}; lines are missing from it until it can`),
    onRecovery: dropped => say(`the log file ${path} is written again; ${dropped} lines are missing from it`),
  })
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
