/**
 * Which jobs go to the front of their queue. The dispatcher takes rows in turns, but a queue gives its jobs out in the
 * order in which they came: what is urgent or small would wait behind two rounds of whatever filled the queue before.
 *
 * Of each queue the newest jobs are remembered. A job overtakes when it is more urgent than many of them; or, among equals,
 * when one task or one orchestrator holds much of them and its own holds little. This is about latency only, and one
 * coordinator's view: nothing depends on it.
 *
 * Invariants: O1 of the jobs that were rung last at most half have overtaken, so that whoever is overtaken goes on.
 * O2 nothing overtakes where everybody holds about the same, or where the queue was not filled by anybody.
 * O3 nothing overtakes what is more urgent and waits still, as far as the depth of the queue tells.
 */
import type { ClaimedRow } from '../store/dispatch.js'

type Placed<R extends ClaimedRow> = R & { readonly ahead: boolean }

/** Jobs that are remembered of a queue. */
const remembered = 1_000
/** So many jobs of a queue are believed to wait at most. */
const mostWaiting = 10_000
/** With fewer, there is nothing to overtake. */
const leastRemembered = 32
/** Who has this share of the remembered jobs is in the way of whoever has less than this share of his. */
const much = 1 / 4

export class Overtaking {
  private readonly queues = new Map<string, Newest>()

  /**
   * The rows in the order in which they are to be rung: those that overtake last and backwards, as each goes before all others.
   * `depthOf`: how many jobs wait in a queue, these not counted.
   */
  order<R extends ClaimedRow>(rows: readonly R[], depthOf: (queue: string) => number): Placed<R>[] {
    const behind: Placed<R>[] = []
    const ahead: Placed<R>[] = []
    for (const queue of new Set(rows.map(row => row.queue))) this.newestOf(queue).look(depthOf(queue))
    for (const row of rows) {
      const newest = this.newestOf(row.queue)
      const overtakes = newest.isOvertakenBy(row)
      newest.add({ ...row, ahead: overtakes })
      ;(overtakes ? ahead : behind).push({ ...row, ahead: overtakes })
    }
    return [...behind, ...ahead.reverse()]
  }

  /** Forgets queues that are no longer served. */
  keep(queues: ReadonlySet<string>): void {
    for (const queue of this.queues.keys()) if (!queues.has(queue)) this.queues.delete(queue)
  }

  private newestOf(queue: string): Newest {
    let newest = this.queues.get(queue)
    if (!newest) {
      newest = new Newest()
      this.queues.set(queue, newest)
    }
    return newest
  }
}

/** The jobs of one queue that were rung last. */
class Newest {
  private readonly jobs: Placed<ClaimedRow>[] = []
  private next = 0
  private ahead = 0
  private readonly tasks = new Shares<string>()
  private readonly owners = new Shares<number>()
  private readonly priorities = new Shares<number>()
  private readonly waiting = new Waiting()
  /** How many jobs wait in the queue when nobody takes one. */
  private depth = 0

  /** So many jobs wait now: what is missing was taken. */
  look(depth: number): void {
    this.waiting.take(this.depth - depth)
    this.depth = depth
  }

  add(job: Placed<ClaimedRow>): void {
    const oldest = this.jobs[this.next]
    if (oldest) this.count(oldest, -1)
    this.jobs[this.next] = job
    this.next = (this.next + 1) % remembered
    this.count(job, 1)
    this.waiting.add(job)
    this.depth++
  }

  isOvertakenBy({ task_pk, owner, priority }: ClaimedRow): boolean {
    const { length } = this.jobs
    if (length < leastRemembered || this.ahead * 2 >= length || this.waiting.hasMoreUrgent(priority)) return false
    let lessUrgent = 0
    for (const [other, count] of this.priorities.counts) if (other > priority) lessUrgent += count // a lower number is more urgent
    return lessUrgent >= length * much || this.tasks.isCrowdedOut(task_pk, length) || this.owners.isCrowdedOut(owner, length)
  }

  private count(job: Placed<ClaimedRow>, by: 1 | -1): void {
    this.tasks.count(job.task_pk, by)
    this.owners.count(job.owner, by)
    this.priorities.count(job.priority, by)
    if (job.ahead) this.ahead += by
  }
}

/** The priorities of the jobs that are believed to wait, in the order in which they are taken. */
class Waiting {
  /** Each goes before those that were added before it. */
  private readonly ahead: number[] = []
  private behind: number[] = []
  /** How many of `behind`, at its beginning, are taken. */
  private taken = 0
  private readonly priorities = new Shares<number>()

  add({ priority, ahead }: Placed<ClaimedRow>): void {
    ;(ahead ? this.ahead : this.behind).push(priority)
    this.priorities.count(priority, 1)
    if (this.ahead.length + this.behind.length - this.taken > mostWaiting) this.gone(this.fromBehind() ?? this.ahead.shift())
  }

  take(count: number): void {
    for (let left = Math.min(count, mostWaiting); left > 0; left--) this.gone(this.ahead.pop() ?? this.fromBehind())
  }

  private fromBehind(): number | undefined {
    if (this.taken === this.behind.length) return undefined
    const priority = this.behind[this.taken++]
    if (this.taken < remembered) return priority
    this.behind = this.behind.slice(this.taken)
    this.taken = 0
    return priority
  }

  private gone(priority: number | undefined): void {
    if (priority !== undefined) this.priorities.count(priority, -1)
  }

  hasMoreUrgent(priority: number): boolean {
    for (const other of this.priorities.counts.keys()) if (other < priority) return true
    return false
  }
}

class Shares<K> {
  readonly counts = new Map<K, number>()

  count(key: K, by: 1 | -1): void {
    const count = (this.counts.get(key) ?? 0) + by
    if (count === 0) this.counts.delete(key)
    else this.counts.set(key, count)
  }

  /** Whether somebody else holds much of all, and `key` little of what that one holds. */
  isCrowdedOut(key: K, all: number): boolean {
    const own = this.counts.get(key) ?? 0
    for (const held of this.counts.values()) if (held >= all * much && own < held * much) return true
    return false
  }
}
