// The last lines that a server printed, kept for the message of a failed start.

import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

const keptLines = 30

export class ServerLog {
  #lines: string[] = []
  readonly #forward: ((line: string) => void) | undefined

  constructor(forward?: (line: string) => void) {
    this.#forward = forward
  }

  /** Reads a stream to its end. Reading never stops: a server blocks on a full pipe. */
  follow(stream: Readable): void {
    const decoder = new StringDecoder('utf8')
    let rest = ''
    stream.on('data', (chunk: Buffer) => {
      const lines = (rest + decoder.write(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.add(line.trimEnd())
    })
    stream.on('end', () => rest !== '' && this.add(rest))
  }

  add(line: string): void {
    this.#lines = [...this.#lines.slice(1 - keptLines), line]
    this.#forward?.(line)
  }

  clear(): void {
    this.#lines = []
  }

  tail(): string {
    return this.#lines.length === 0 ? '(it printed nothing)' : this.#lines.join('\n')
  }
}
