/**
 * The log's file, rotated by size. The one file that imports rotating-file-stream.
 *
 * Invariants: F1 whoever logs neither waits nor fails, whatever the disk does: while it cannot be written, lines are
 * dropped and counted, and it is tried again. F2 no more than `maxWaitingBytes` wait for a slow disk.
 */
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { basename, dirname, extname } from 'node:path'
import { createStream, type RotatingFileStream } from 'rotating-file-stream'

export interface LogFileOptions {
  readonly path: string
  /** A file that is larger is renamed to `name.1.log`. */
  readonly maxBytes: number
  /** Of the renamed ones so many are kept. */
  readonly keep: number
  /** The file cannot be written, or can be again (`dropped` lines are missing); to be told somewhere else. */
  readonly onTrouble: (error: Error) => void
  readonly onRecovery: (dropped: number) => void
  /** Between two tries; default 10 s. */
  readonly retryMs?: number
}

const maxWaitingBytes = 4 * 1024 * 1024
const defaultRetryMs = 10_000
const flushMs = 100
const flushBytes = 64 * 1024

export class LogFile {
  private readonly options: LogFileOptions
  private state: { kind: 'open'; stream: RotatingFileStream } | { kind: 'broken'; retryAt: number } | { kind: 'closed' }
  private missing = 0
  /** Lines that are written together: a busy coordinator asks the disk some times in a second, and not for each. */
  private gathered = ''
  private gatheredLines = 0
  private flushing: NodeJS.Timeout | undefined
  private troubled = false

  constructor(options: LogFileOptions) {
    this.options = options
    this.state = { kind: 'open', stream: this.open() }
  }

  /** Lines that were dropped since the last that was written. */
  get dropped(): number {
    return this.missing
  }

  write(line: string): void {
    if (this.state.kind === 'broken' && performance.now() >= this.state.retryAt) this.state = { kind: 'open', stream: this.open() }
    if (this.state.kind !== 'open' || this.state.stream.writableLength + this.gathered.length > maxWaitingBytes) {
      this.missing++ // F1, F2
      return
    }
    this.gathered += line
    this.gatheredLines++
    if (this.gathered.length >= Math.min(flushBytes, this.options.maxBytes / 4)) this.flush()
    else this.flushing ??= setTimeout(() => this.flush(), flushMs)
  }

  /** For a process that is about to end by an error: what has gathered goes into the file at once. Never throws. */
  writeNow(): void {
    clearTimeout(this.flushing)
    const text = this.gathered
    this.gathered = ''
    this.gatheredLines = 0
    try {
      if (text !== '') appendFileSync(this.options.path, text)
    } catch {
      // F1; stderr has it
    }
  }

  /** Resolves when what was written is in the file, or cannot be. */
  async close(): Promise<void> {
    this.flush()
    const { state } = this
    this.state = { kind: 'closed' }
    if (state.kind !== 'open') return
    const ended = Promise.race([once(state.stream, 'close'), once(state.stream, 'finish')]).catch(() => undefined)
    state.stream.end()
    await ended
  }

  private flush(): void {
    clearTimeout(this.flushing)
    this.flushing = undefined
    const [text, lines] = [this.gathered, this.gatheredLines]
    this.gathered = ''
    this.gatheredLines = 0
    if (lines === 0) return
    if (this.state.kind === 'open')
      this.state.stream.write(text, error => {
        if (error) this.missing += lines
      })
    else this.missing += lines
  }

  private open(): RotatingFileStream {
    const { path, maxBytes, keep } = this.options
    const [end, name] = [extname(path), basename(path, extname(path))]
    const named = (index: unknown) => (typeof index === 'number' ? `${name}.${index}${end}` : `${name}${end}`)
    const stream = createStream(named, { path: dirname(path), size: `${Math.max(1, Math.round(maxBytes))}B`, rotate: keep, mode: 0o640 })
    const onError = (error: Error) => {
      if (this.state.kind === 'open' && this.state.stream === stream)
        this.state = { kind: 'broken', retryAt: performance.now() + (this.options.retryMs ?? defaultRetryMs) }
      stream.destroy()
      if (!this.troubled) this.options.onTrouble(error)
      this.troubled = true
    }
    stream.on('error', onError)
    // What a rotation could not do: the lines are in the file all the same.
    stream.on('warning', () => undefined)
    stream.on('open', () => {
      if (!this.troubled) return
      stream.write('', error => {
        if (error || !this.troubled) return
        this.troubled = false
        const dropped = this.missing
        this.missing = 0
        this.options.onRecovery(dropped)
      })
    })
    return stream
  }
}
