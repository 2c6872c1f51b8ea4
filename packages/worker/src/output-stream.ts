/**
 * What an attempt streams, on its way to a coordinator: gathered while a batch is out, sent in order, stored before the
 * attempt reports.
 *
 * Invariants: O1 chunks arrive in their order, each once, whatever is repeated (their numbers are their key). O2 what waits
 * is bounded by the context, which refuses more. O3 whoever cannot take chunks (the claim is lost, the coordinator is of an
 * older version) costs the chunks and not the attempt.
 */
import { maxStreamChunkBytes, type StreamItem, type StreamReply } from '@baton/shared'

/** How long an attempt that is done waits for its chunks to be stored. */
const flushMs = 10_000

interface OutputStreamOptions {
  readonly subtask: string
  readonly claimId: string
  readonly send: (item: StreamItem) => Promise<StreamReply>
  readonly onLost: (error: unknown) => void
}

export class OutputStream {
  private readonly options: OutputStreamOptions
  private waiting: { readonly text: string; readonly sent: () => void }[] = []
  private next = 0
  private running: Promise<void> | undefined
  private lost = false

  constructor(options: OutputStreamOptions) {
    this.options = options
  }

  /** A chunk as JSON text. Resolves when it is stored, or will not be. */
  push(text: string): Promise<void> {
    if (this.lost) return Promise.resolve()
    return new Promise(resolve => {
      this.waiting.push({ text, sent: resolve })
      this.running ??= this.run()
    })
  }

  /** Resolves when nothing waits, when the signal fires, or when waiting has been long enough (O3). */
  async flushed(signal: AbortSignal): Promise<void> {
    if (this.running === undefined || signal.aborted) return
    let stop = () => {}
    const enough = new Promise<void>(resolve => {
      stop = resolve
    })
    const timer = setTimeout(stop, flushMs)
    signal.addEventListener('abort', stop, { once: true })
    await Promise.race([this.running, enough])
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }

  private async run(): Promise<void> {
    await Promise.resolve() // what is pushed in the same turn travels together
    while (this.waiting.length > 0) {
      const batch = this.take()
      const { subtask, claimId, send } = this.options
      try {
        const reply = await send({ subtask, claim_id: claimId, from: this.next, chunks: `[${batch.map(chunk => chunk.text).join()}]` })
        if (reply.status === 'stale') this.lost = true
      } catch (error) {
        this.lost = true // O3
        this.options.onLost(error)
      }
      this.next += batch.length
      for (const { sent } of batch) sent()
      if (this.lost) for (const { sent } of this.waiting.splice(0)) sent()
    }
    this.running = undefined
  }

  /** As many as fit into one item, one at least. */
  private take(): { text: string; sent: () => void }[] {
    let length = 0
    const over = this.waiting.findIndex(({ text }, i) => {
      length += text.length + 1
      return i > 0 && length > maxStreamChunkBytes
    })
    return this.waiting.splice(0, over === -1 ? this.waiting.length : over)
  }
}
