/** How commands write their results. */
import type { Io } from '../io.js'

export function printLines(io: Io, lines: readonly string[]): void {
  if (lines.length > 0) io.stdout.write(`${lines.join('\n')}\n`)
}

/** One JSON document on a line of its own. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value)}\n`)
}

/** How wide lines may be: the terminal's width, or without bound in a pipe. */
export function columnsOf(io: Io): number {
  return io.stdout.isTTY ? (io.stdout.columns ?? 80) : Number.POSITIVE_INFINITY
}
