/**
 * Events as they happen, over Server-Sent Events.
 *
 * Invariant E1: each event comes once, in order, whatever breaks in between: a stream that broke is asked for again behind
 * the last event that arrived.
 */
import { BatonError, type EventList, type EventView } from '@baton/shared'
import { readEventStream } from './event-stream.js'
import type { Http } from './http.js'
import { Outage, type OutageOptions } from './outage.js'
import { unreachable } from './problem.js'

export interface FollowEvents extends OutageOptions {
  /** Ends the following; what waits rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Names, or beginnings of names such as `task.*`. Default: all. */
  readonly names?: readonly string[]
  /** Events behind this one: the `id` of an event. */
  readonly after?: string
}

export interface EventFilters {
  readonly names?: readonly string[]
  readonly taskId?: string
  readonly orchestratorId?: string
}

export interface Events {
  /**
   * What happens from now on, or behind an event, until whoever iterates stops. Resumes by itself.
   *
   * @example
   * for await (const event of baton.events.follow({ names: ['alert.*'] })) console.log(event.name, event.data)
   */
  follow(options?: FollowEvents & EventFilters): AsyncGenerator<EventView, void, undefined>
  /** One page, the oldest first. Go on behind `next_cursor`, or behind the `id` of the last event. */
  list(options?: EventFilters & { readonly after?: string; readonly limit?: number }): Promise<EventList>
}

/** The server shows a sign of life every 15 s. */
const silenceMs = 45_000

export function eventsOf(http: Http): Events {
  return {
    follow: ({ taskId, orchestratorId, ...options } = {}) =>
      followEvents(http, ['events'], { task_id: taskId, orchestrator_id: orchestratorId }, options),
    list: ({ names, taskId, orchestratorId, after, limit } = {}) =>
      http.json({
        method: 'GET',
        path: ['events'],
        query: { names: names?.join(','), task_id: taskId, orchestrator_id: orchestratorId, after, limit },
        headers: { accept: 'application/json' },
      }),
  }
}

/** Until the server says that there is no more, or whoever iterates stops. */
export async function* followEvents(
  http: Http,
  path: readonly string[],
  query: Readonly<Record<string, string | undefined>>,
  options: FollowEvents,
): AsyncGenerator<EventView, void, undefined> {
  const outage = new Outage(http, options)
  let after = options.after
  for (;;) {
    // Whoever stops iterating lets the stream go.
    const leaving = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, leaving.signal]) : leaving.signal
    try {
      const response = await http.send({
        method: 'GET',
        path,
        query: { ...query, names: options.names?.join(',') },
        headers: { accept: 'text/event-stream', ...(after !== undefined && { 'last-event-id': after }) },
        streaming: true,
        once: outage.answered,
        signal,
      })
      if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
        await response.body?.cancel()
        throw new BatonError('unreachable', `${http.url} answered with something that is no stream of events`, { extra: { final: true } })
      }
      outage.over()
      for await (const { id, event, data } of readEventStream(response, silenceMs)) {
        if (event === 'end') return
        after = id ?? after // E1
        if (data !== undefined) yield JSON.parse(data) as EventView // the server's schema
      }
      await outage.outlast(unreachable(http.url, 'ended a stream that goes on'), Number.POSITIVE_INFINITY)
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      await outage.outlast(error, Number.POSITIVE_INFINITY)
    } finally {
      leaving.abort()
    }
  }
}
