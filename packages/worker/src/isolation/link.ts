/** The seam between a pool and the two kinds of children. Implementations: thread.ts, process.ts. */
import { extname } from 'node:path'
import type { ToChild } from './messages.js'

export interface ChildLink {
  /** Of its process; of a thread, of the worker's. */
  readonly pid: number | undefined
  readonly threadId: number | undefined
  send(message: ToChild): void
  /** At once and whatever it does; `onEnd` follows. Idempotent. */
  kill(): void
}

export interface LinkOptions {
  /** What its agent is called in this worker. */
  readonly agent: string
  /** How much its heap may hold; default: Node's own limit. */
  readonly maxHeapMb?: number | undefined
  readonly onMessage: (message: unknown) => void
  /** Lines of its standard output and error. */
  readonly onLine: (stream: 'stdout' | 'stderr', line: string) => void
  /** Once, last of all: "ended by SIGKILL". */
  readonly onEnd: (how: string) => void
}

export type StartLink = (options: LinkOptions) => ChildLink

/** Compiled, or a source where this is one. */
export const childEntry = new URL(`./child${extname(import.meta.url)}`, import.meta.url)

const maxLineLength = 8_192

/** Calls back for each line, the last one also without its end. */
export function readLines(stream: NodeJS.ReadableStream | null, onLine: (line: string) => void): void {
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = (lines.pop() ?? '').slice(-maxLineLength)
    for (const line of lines) if (line.trim()) onLine(line.slice(0, maxLineLength))
  })
  stream?.on('end', () => {
    if (rest.trim()) onLine(rest)
  })
}
