/**
 * Coalesces single items into batches by what is in flight, never by waiting on a timer: an idle lane sends at once;
 * while a batch is out, the next one gathers. One lane has one batch out at a time, so its batches grow with load.
 *
 * Where items can wait a little, a lane may rest after each batch: what comes meanwhile gathers, unless it is urgent.
 *
 * Invariants: L1 every item is settled exactly once. L2 a batch holds at most `maxItems` items and `maxBytes` bytes
 * (a single larger item goes alone). L3 order of arrival is kept, among those that go first and among the others. L4 an urgent item waits for the batch under way at most.
 */

export interface BatchLaneOptions<T, R> {
  readonly maxItems: number
  readonly maxBytes?: number
  readonly sizeOf?: (item: T) => number
  /** How many items may wait; `push` rejects beyond. Default: no limit. */
  readonly maxWaiting?: number
  /** After a batch nothing is sent for `ms`, until an urgent item comes. Default: no rest. */
  readonly rest?: { readonly ms: number; readonly urgent: (item: T) => boolean }
  /** Sends one batch; resolves with one result per item, in order. When it rejects, every item of the batch rejects. */
  readonly send: (items: T[]) => Promise<R[]>
}

interface Waiting<T, R> {
  readonly item: T
  readonly size: number
  readonly group: Group<R>
  /** Its place in the group. */
  readonly at: number
}

/** Items that were pushed together are answered together. */
interface Group<R> {
  readonly results: R[]
  left: number
  readonly resolve: (results: R[]) => void
  readonly reject: (error: unknown) => void
}

export class BatchLane<T, R> {
  private readonly options: BatchLaneOptions<T, R>
  private waiting: Waiting<T, R>[] = []
  /** How many of these, at their beginning, go before the others. */
  private first = 0
  private sending = false
  private idle: (() => void)[] = []
  private endRest: (() => void) | undefined

  constructor(options: BatchLaneOptions<T, R>) {
    this.options = options
  }

  /** How many items wait for the next batch. */
  get depth(): number {
    return this.waiting.length
  }

  /** Nothing waits, and nothing is out. */
  get isIdle(): boolean {
    return !this.sending
  }

  /** `first`: before whatever waits and is not. */
  push(item: T, { first }: { readonly first?: boolean | undefined } = {}): Promise<R> {
    return new Promise((resolve, reject) => this.add([item], { resolve: ([result]) => resolve(result as R), reject }, first)) // one for each
  }

  /** One result for each item, in order; rejects when one of them does. */
  pushAll(items: readonly T[]): Promise<R[]> {
    return items.length === 0 ? Promise.resolve([]) : new Promise((resolve, reject) => this.add(items, { resolve, reject }))
  }

  private add(items: readonly T[], how: Pick<Group<R>, 'resolve' | 'reject'>, first = false): void {
    const { maxWaiting = Number.POSITIVE_INFINITY, sizeOf, rest } = this.options
    if (this.waiting.length >= maxWaiting) {
      how.reject(new LaneFullError())
      return
    }
    const group: Group<R> = { results: new Array<R>(items.length), left: items.length, ...how }
    for (const [at, item] of items.entries()) {
      const waiting = { item, size: sizeOf?.(item) ?? 0, group, at }
      if (first) this.waiting.splice(this.first++, 0, waiting)
      else this.waiting.push(waiting)
    }
    if (rest && items.some(rest.urgent)) this.endRest?.()
    if (this.sending) return
    this.sending = true
    // When this turn of the event loop has read every socket that had something: what came together travels together.
    setImmediate(() => void this.run())
  }

  /** Resolves when nothing waits and nothing is out. */
  async whenIdle(): Promise<void> {
    if (this.sending) await new Promise<void>(resolve => this.idle.push(resolve))
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0) {
      await this.sendOne(this.take())
      await this.pause()
    }
    this.sending = false
    for (const resolve of this.idle.splice(0)) resolve()
  }

  private async pause(): Promise<void> {
    const { rest } = this.options
    if (!rest || this.waiting.some(({ item }) => rest.urgent(item))) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, rest.ms)
      this.endRest = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.endRest = undefined
  }

  private async sendOne(batch: Waiting<T, R>[]): Promise<void> {
    try {
      const results = await this.options.send(batch.map(w => w.item))
      for (const [i, { group, at }] of batch.entries()) {
        if (i < results.length)
          answer(group, at, results[i] as R) // noUncheckedIndexedAccess cannot see the bound
        else group.reject(new Error('the batch was answered with too few results'))
      }
    } catch (error) {
      for (const { group } of batch) group.reject(error)
    }
  }

  private take(): Waiting<T, R>[] {
    const { maxItems, maxBytes = Number.POSITIVE_INFINITY } = this.options
    let bytes = 0
    let count = 0
    for (const w of this.waiting) {
      if (count === maxItems || (count > 0 && bytes + w.size > maxBytes)) break
      bytes += w.size
      count++
    }
    this.first = Math.max(0, this.first - count)
    return this.waiting.splice(0, count)
  }
}

function answer<R>(group: Group<R>, at: number, result: R): void {
  group.results[at] = result
  group.left--
  if (group.left === 0) group.resolve(group.results)
}

/** Thrown by `push` when too many items wait already. */
export class LaneFullError extends Error {
  constructor() {
    super('too many items wait already')
    this.name = 'LaneFullError'
  }
}
