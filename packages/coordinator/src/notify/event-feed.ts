/**
 * Follows events from a position: first what is stored, page by page, then what the tail brings. Whoever follows pulls; who
 * pulls slowly loses the seat at the tail and is given pages again, so that a slow reader holds up nobody and costs no more
 * memory than a seat.
 *
 * Invariant F1 (I10): every event behind the position comes once, in order, whatever way it comes.
 */
import type { Database } from '../store/database.js'
import { type EventPage, type EventRow, isBefore, type Position, readHorizon, readTaskEvents, readTenantEvents } from '../store/events.js'
import type { EventTail, Seat, Subject } from './event-tail.js'

export interface Following {
  readonly subject: Subject
  /** Undefined: what is new from now on. */
  readonly after: Position | undefined
  /** Of a task that has ended: where. It is followed up to there. */
  readonly ended?: Position | undefined
  /** Go on behind the end of a task. */
  readonly endless?: boolean | undefined
}

/** Events in order, perhaps none, and up to where everything has been given. */
export interface Batch {
  readonly events: readonly EventRow[]
  readonly position: Position
}

const pageSize = 500
/** Reads of pages at the same time: those who follow must not take all connections. */
const readsAtOnce = 3

export class EventFeed {
  private readonly database: Database
  private readonly tail: EventTail
  private readonly reads = new Turns(readsAtOnce)

  constructor(database: Database, tail: EventTail) {
    this.database = database
    this.tail = tail
  }

  /** Batches until the signal fires or the task that is followed has ended. */
  async *follow({ subject, after, ended, endless }: Following, signal: AbortSignal): AsyncGenerator<Batch, void, undefined> {
    const course = new Course('taskPk' in subject && !endless, ended)
    let position = after ?? (await readHorizon(this.database))
    while (!signal.aborted) {
      // All that is stored, however much: before taking a seat.
      let page: EventPage
      do {
        page = await this.page(subject, position)
        position = page.read
        yield course.give(page.rows, position)
        if (course.isOver(page) || signal.aborted) return
      } while (page.full)
      const seat = this.tail.join(subject)
      try {
        while (seat.from === undefined && !signal.aborted) await seat.next(signal)
        if (signal.aborted) return
        // What came between that page and the seat.
        page = await this.page(subject, position)
        position = page.read
        yield course.give(page.rows, position)
        if (course.isOver(page)) return
        if (page.full) continue
        for await (const batch of this.live(seat, course, position, signal)) {
          position = batch.position
          yield batch
          if (course.isOver()) return
        }
      } finally {
        this.tail.leave(seat)
      }
    }
  }

  /** What the tail brings, until the seat overflows. */
  private async *live(seat: Seat, course: Course, from: Position, signal: AbortSignal): AsyncGenerator<Batch, void, undefined> {
    let position = from
    for (;;) {
      await seat.next(signal)
      if (signal.aborted || seat.overflowed) return
      const fresh = seat.take().filter(row => isBefore(position, placeOf(row))) // the page had it already
      const last = fresh.at(-1)
      if (last) {
        position = placeOf(last)
        yield course.give(fresh, position)
      }
    }
  }

  private page(subject: Subject, after: Position): Promise<EventPage> {
    return this.reads.take(() =>
      'taskPk' in subject
        ? readTaskEvents(this.database, subject.taskPk, after, pageSize)
        : readTenantEvents(this.database, subject.tenantId, after, pageSize),
    )
  }
}

const terminal: ReadonlySet<string> = new Set(['task.completed', 'task.failed', 'task.cancelled'])

/** How far a task that is followed has come. A rerun takes its end back. */
class Course {
  private readonly ends: boolean
  private ended: Position | undefined
  private given: Position | undefined

  constructor(ends: boolean, ended: Position | undefined) {
    this.ends = ends
    this.ended = ended
  }

  give(events: readonly EventRow[], position: Position): Batch {
    this.given = position
    if (this.ends)
      for (const event of events)
        if (terminal.has(event.name)) this.ended = placeOf(event)
        else if (event.name === 'task.rerun' && this.ended && isBefore(this.ended, placeOf(event))) this.ended = undefined
    return { events, position }
  }

  /** Behind the terminal event, and nothing more is known. */
  isOver(page?: EventPage): boolean {
    return this.ended !== undefined && this.given !== undefined && page?.full !== true && !isBefore(this.given, this.ended)
  }
}

export function placeOf(row: Pick<EventRow, 'xid' | 'seq'>): Position {
  return { xid: BigInt(row.xid), seq: BigInt(row.seq) }
}

/** Lets so many run at once; the others wait in line. */
class Turns {
  private free: number
  private readonly line: (() => void)[] = []

  constructor(places: number) {
    this.free = places
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--
    else await new Promise<void>(resolve => this.line.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.line.shift()
      if (next) next()
      else this.free++
    }
  }
}
