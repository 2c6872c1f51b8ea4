/**
 * Following a task: whoever follows sees snapshots. They are asked for when the task's stream of events says that something
 * happened, and now and then for progress, which is no event; without a stream by long polls (`?wait` with the last ETag).
 *
 * Invariants: F1 the first snapshot comes at once, later ones only when something changed, the newest always last.
 * F2 what agents streamed has been told before the snapshot of the task's end. F3 an outage is outlasted for `patienceMs`, then told as `unreachable`; an error that will not pass is told at once.
 */
import { type EventView, type TaskView, terminalTaskStatuses } from '@baton/shared'
import { followEvents } from './events.js'
import type { Http } from './http.js'
import { Outage, type OutageOptions } from './outage.js'
import { pause } from './pause.js'
import { TaskChanges } from './task-changes.js'

export interface FollowOptions extends OutageOptions {
  /** Ends the following; what waits rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** The shortest time between two snapshots; default 100 ms. */
  readonly intervalMs?: number
}

export interface WatchOptions extends FollowOptions {
  /**
   * Takes what the task's agents stream (`subtask.output`), from the beginning on, in order, each event once. All of it has
   * come before the last snapshot of a task that ended.
   */
  readonly onOutput?: (event: EventView) => void
}

export interface WaitOptions extends FollowOptions {
  /** Default: for ever. When it passes, the snapshot of then is returned: read its `status`. */
  readonly timeoutMs?: number
  /**
   * `settled` (default): until the task ended, or needs somebody (`needs_review`, `blocked`). `terminal`: until it is
   * completed, failed or cancelled.
   */
  readonly until?: 'settled' | 'terminal'
}

const longestWaitSeconds = 20
/** How often a snapshot is asked for while the stream is quiet. */
const progressEveryMs = 2_000

/** How long the last of what agents streamed may take to arrive once the task has ended. */
const lastOutputMs = 5_000

interface Poll extends WatchOptions {
  /** How many of each list a snapshot holds. */
  readonly limit?: number
  /** Snapshots before the task is settled are of no use: the server need not answer sooner. */
  readonly until?: 'settled' | 'terminal'
  /** When to stop, by `performance.now()`. */
  readonly endAt?: number
}

/** Whether nothing will happen to the task by itself. A blocked one goes on when a provider appears. */
export function isSettled(task: Pick<TaskView, 'status'>, until: 'settled' | 'terminal' = 'settled'): boolean {
  if ((terminalTaskStatuses as readonly string[]).includes(task.status)) return true
  return until === 'settled' && (task.status === 'needs_review' || task.status === 'blocked')
}

/** Snapshots until the task is terminal, or until whoever iterates stops. */
export async function* watchTask(http: Http, taskId: string, options: Poll): AsyncGenerator<TaskView, void, undefined> {
  const { signal, intervalMs = 100, endAt = Number.POSITIVE_INFINITY } = options
  const outage = new Outage(http, options)
  // Who waits for the end is answered once, by the server.
  const changes = options.until === undefined ? new TaskChanges(http, taskId) : undefined
  let output: Output | undefined
  let etag: string | undefined
  try {
    for (;;) {
      const begun = performance.now()
      const leftMs = endAt - begun
      if (etag !== undefined && leftMs <= 0) return
      let task: TaskView | undefined
      try {
        const atOnce = changes?.live || (etag === undefined && options.until !== 'settled')
        const seconds = atOnce ? 0 : Math.max(1, Math.min(longestWaitSeconds, Math.ceil(leftMs / 1_000)))
        const answer = await pollOnce(http, taskId, { ...options, etag, seconds, once: outage.answered })
        outage.over()
        etag = answer.etag
        task = answer.task
      } catch (error) {
        await outage.outlast(error, leftMs)
        continue
      }
      if (task && !isSettled(task, 'terminal')) changes?.open()
      if (task && options.onOutput) output ??= new Output(http, taskId, options.onOutput)
      if (task && isSettled(task, 'terminal')) await output?.whole(signal) // F2
      if (task) yield task
      if (task && isSettled(task, 'terminal')) return
      // A server that does not wait, or a task that changes all the time, must not be asked without a pause (F1).
      const restMs = Math.min(intervalMs - (performance.now() - begun), endAt - performance.now())
      if (restMs > 0) await pause(restMs, signal)
      if (changes?.live) await changes.next(Math.min(progressEveryMs, endAt - performance.now()), signal)
      if (signal?.aborted) throw signal.reason
    }
  } finally {
    changes?.close()
    output?.close()
  }
}

/** What the agents of a task stream, beside its snapshots. Its outages are those of the snapshots, which tell of them. */
class Output {
  private readonly closing = new AbortController()
  private readonly told: Promise<void>

  constructor(http: Http, taskId: string, tell: (event: EventView) => void) {
    const how = { names: ['subtask.output'], signal: this.closing.signal, patienceMs: Number.POSITIVE_INFINITY }
    const telling = async () => {
      for await (const event of followEvents(http, ['tasks', taskId, 'events'], {}, how)) tell(event)
    }
    this.told = telling().catch(() => undefined) // let go of, or a server that has no such stream
  }

  /** Resolves when the stream has ended, as that of an ended task does, or when it takes too long. */
  async whole(signal: AbortSignal | undefined): Promise<void> {
    const waiting = new AbortController()
    const either = signal ? AbortSignal.any([signal, waiting.signal]) : waiting.signal
    const tooLong = pause(lastOutputMs, either).catch(() => undefined)
    await Promise.race([this.told, tooLong])
    waiting.abort()
  }

  close(): void {
    this.closing.abort()
  }
}

/** The task once it is settled, or when the time is over. */
export async function waitForTask(http: Http, taskId: string, options: WaitOptions, get: () => Promise<TaskView>): Promise<TaskView> {
  const endAt = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs
  if (options.until === 'terminal') {
    // One entry of each list is enough to see the status; the whole is read once, at the end.
    for await (const task of watchTask(http, taskId, { ...options, endAt, limit: 1 })) if (isSettled(task, 'terminal')) break
    return get()
  }
  // The server answers once, when the task has settled: that snapshot is the whole one.
  for await (const task of watchTask(http, taskId, { ...options, endAt, until: 'settled' })) if (isSettled(task)) return task
  return get()
}

async function pollOnce(
  http: Http,
  taskId: string,
  poll: Poll & { etag: string | undefined; seconds: number; once: boolean },
): Promise<{ task: TaskView | undefined; etag: string | undefined }> {
  const { etag, seconds, signal } = poll
  const response = await http.send({
    method: 'GET',
    path: ['tasks', taskId],
    query: { limit: poll.limit, wait: seconds > 0 ? seconds : undefined, until: poll.until === 'settled' ? 'settled' : undefined },
    ...(etag !== undefined && { headers: { 'if-none-match': etag } }),
    accept: [304],
    extraMs: seconds * 1_000,
    once: poll.once,
    ...(signal && { signal }),
  })
  if (response.status === 304) return { task: undefined, etag }
  const task = await http.read(response, signal, async () => (await response.json()) as TaskView) // the server's schema
  return { task, etag: response.headers.get('etag') ?? '"unknown"' }
}
