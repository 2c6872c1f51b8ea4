/**
 * Server-Sent Events: the open streams, counted, and how each is written.
 *
 * Invariants: S1 at most `maxStreams`. S2 no more is pulled than the client takes: what waits for it is one batch in the
 * socket's buffer. S3 who takes nothing for `streamStallMs` is let go; with its Last-Event-ID it goes on where it was (I10).
 * S4 each stream shows a sign of life every `streamCommentMs`, one timer for all, and says with it up to where it has come,
 * so that whoever resumes need not be given again what filters had left out. S5 who may follow no more is let go within
 * `streamCheckMs`.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { BatonError, type EventView } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { EventBatch } from '../commands/api.js'
import { toJsonText } from './json-text.js'
import type { HttpLimits } from './limits.js'

export interface EventStream {
  send(response: ServerResponse, how: { readonly headers: OutgoingHttpHeaders; readonly bodiless: boolean }): Promise<void>
}

type StreamLimits = Pick<HttpLimits, 'maxStreams' | 'streamCommentMs' | 'streamStallMs' | 'streamCheckMs'>

/** How soon a client that lost its stream comes back. */
const comeBackMs = 1_000

/** The task has ended: there is nothing to come back for. */
const endFrame = 'event: end\ndata: {}\n\n'

interface Open {
  readonly controller: AbortController
  readonly mayStay: () => Promise<boolean>
  /** Null until its head is written. */
  response: ServerResponse | null
  told: string | undefined
  position: string | undefined
}

export class EventStreams {
  private readonly limits: StreamLimits
  private readonly log: Logger
  private readonly streams = new Set<Open>()
  private timer: NodeJS.Timeout | undefined
  private checking: NodeJS.Timeout | undefined
  private stopped = false

  constructor(limits: StreamLimits, log: Logger) {
    this.limits = limits
    this.log = log
  }

  /** Takes a place for as long as the client stays. */
  async open(
    response: ServerResponse,
    follow: (signal: AbortSignal) => Promise<AsyncIterable<EventBatch>>,
    mayStay: () => Promise<boolean> = async () => true,
  ): Promise<EventStream> {
    if (this.stopped) throw new BatonError('unavailable', 'this coordinator is stopping; try again', { extra: { retry_after_seconds: 1 } })
    if (this.streams.size >= this.limits.maxStreams)
      throw new BatonError(
        'too_many_requests',
        `${this.limits.maxStreams} streams are open already; close one, or ask for pages of events`,
        {
          extra: { retry_after_seconds: 5 },
        },
      ) // S1
    const stream: Open = { controller: new AbortController(), mayStay, response: null, told: undefined, position: undefined }
    this.streams.add(stream)
    response.once('close', () => this.close(stream))
    try {
      const batches = await follow(stream.controller.signal)
      return { send: (to, how) => this.send(stream, batches, to, how) }
    } catch (error) {
      this.close(stream)
      throw error
    }
  }

  /** Ends all of them. */
  stop(): void {
    this.stopped = true
    for (const stream of [...this.streams]) {
      stream.response?.end()
      this.close(stream)
    }
  }

  private async send(
    stream: Open,
    batches: AsyncIterable<EventBatch>,
    response: ServerResponse,
    { headers, bodiless }: { readonly headers: OutgoingHttpHeaders; readonly bodiless: boolean },
  ): Promise<void> {
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no', // proxies that would gather what is to arrive at once
    })
    if (bodiless) return void response.end()
    response.write(`retry: ${comeBackMs}\n\n`)
    stream.response = response
    this.timer ??= setInterval(() => this.comment(), this.limits.streamCommentMs)
    this.checking ??= setInterval(() => this.check(), this.limits.streamCheckMs)
    try {
      for await (const { events, position } of batches) {
        stream.position = position
        const text = events.map(frameOf).join('')
        if (text === '') continue
        stream.told = position
        if (!response.write(text) && !(await this.drained(stream, response))) return // S2
      }
      if (!stream.controller.signal.aborted) response.end(endFrame)
    } catch (error) {
      this.log.warn({ err: error }, 'a stream of events broke off; its client resumes')
      response.destroy()
    } finally {
      this.close(stream)
    }
  }

  /** False: it is gone, or has to go. */
  private drained(stream: Open, response: ServerResponse): Promise<boolean> {
    const { signal } = stream.controller
    return new Promise(resolve => {
      const done = (more: boolean) => {
        clearTimeout(timer)
        response.off('drain', onDrain)
        signal.removeEventListener('abort', onAbort)
        resolve(more)
      }
      const onDrain = () => done(true)
      const onAbort = () => done(false)
      const timer = setTimeout(() => {
        response.destroy() // S3
        done(false)
      }, this.limits.streamStallMs)
      response.once('drain', onDrain)
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
    })
  }

  private comment(): void {
    for (const { response, told, position } of this.streams) {
      if (response === null || response.writableNeedDrain) continue
      response.write(position !== undefined && position !== told ? `: here\nid: ${position}\n\n` : ': here\n\n') // S4
    }
  }

  /** S5. Whether it may stay is not told while Postgres is away: then it hears nothing either. */
  private check(): void {
    for (const stream of this.streams)
      stream.mayStay().then(
        stays => {
          if (stays) return
          stream.response?.destroy()
          this.close(stream)
        },
        () => undefined,
      )
  }

  private close(stream: Open): void {
    this.streams.delete(stream)
    stream.controller.abort()
    if (this.streams.size > 0) return
    clearInterval(this.timer)
    clearInterval(this.checking)
    this.timer = undefined
    this.checking = undefined
  }
}

/** One text for all whom it is sent to. */
const frames = new WeakMap<EventView, string>()

function frameOf(event: EventView): string {
  const known = frames.get(event)
  if (known !== undefined) return known
  // JSON that agents sent keeps its bytes, which may hold line breaks between its members.
  const data = toJsonText(event).replace(/\r\n|\r|\n/g, '\ndata: ')
  const frame = `id: ${event.id}\nevent: ${event.name}\ndata: ${data}\n\n`
  frames.set(event, frame)
  return frame
}
