/**
 * Tells when something happened to a task, by its stream of events; so that whoever watches need not keep asking. Only a
 * hint: while there is no stream (it broke, it was refused, the server knows none) whoever watches asks as before.
 */
import { readEventStream } from './event-stream.js'
import type { Http } from './http.js'

const silenceMs = 45_000

export class TaskChanges {
  private readonly http: Http
  private readonly taskId: string
  private readonly closing = new AbortController()
  private state: 'closed' | 'opening' | 'live' | 'refused' = 'closed'
  private changed = false
  private wake: (() => void) | undefined

  constructor(http: Http, taskId: string) {
    this.http = http
    this.taskId = taskId
  }

  /** Whether changes are told of at present. */
  get live(): boolean {
    return this.state === 'live'
  }

  /** Opens the stream where it is not open, without waiting for it. */
  open(): void {
    if (this.state !== 'closed' || this.closing.signal.aborted) return
    this.state = 'opening'
    void this.listen()
  }

  /** Resolves at the next change, when the stream ends, after `ms`, or when aborted. */
  async next(ms: number, signal?: AbortSignal): Promise<void> {
    if (!this.changed && this.live && !signal?.aborted)
      await new Promise<void>(resolve => {
        const done = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', done)
          this.wake = undefined
          resolve()
        }
        const timer = setTimeout(done, ms)
        signal?.addEventListener('abort', done, { once: true })
        this.wake = done
      })
    this.changed = false
  }

  close(): void {
    this.closing.abort()
    this.wake?.()
  }

  private async listen(): Promise<void> {
    try {
      const response = await this.http.send({
        method: 'GET',
        path: ['events'],
        query: { task_id: this.taskId },
        headers: { accept: 'text/event-stream' },
        streaming: true,
        once: true,
        signal: this.closing.signal,
      })
      if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
        await response.body?.cancel()
        throw new Error('no stream')
      }
      this.state = 'live'
      for await (const { data } of readEventStream(response, silenceMs)) if (data !== undefined) this.tell()
      this.state = 'closed'
    } catch {
      this.state = this.live ? 'closed' : 'refused'
    }
    this.tell()
  }

  private tell(): void {
    this.changed = true
    this.wake?.()
  }
}
