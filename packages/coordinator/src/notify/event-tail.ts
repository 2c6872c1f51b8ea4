/**
 * What is new, read once for all who follow. Reads nothing while nobody does; otherwise when it is woken (a commit of this
 * coordinator, a pulse of another) and by a timer, since not every commit is told of.
 *
 * Invariants: T1 a seat gets every event of its own behind `from`, in order, once; or it is told that it overflowed and
 * gets nothing more. T2 a seat holds a bounded number of events. T3 two reads are at least `restMs` apart, however often it
 * is woken.
 */
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import { type EventPage, type EventRow, type Position, readHorizon, readNewEvents } from '../store/events.js'
import { Alarm } from './alarm.js'

/** What a seat wants: everything of a tenant but streamed chunks, or one task with its chunks. */
export type Subject = { readonly tenantId: number } | { readonly taskPk: string }

interface EventTailOptions {
  readonly database: Database
  readonly everyMs: number
  readonly log: Logger
}

const pageSize = 1_000
const restMs = 10
/** Again soon, for events that wait for an older transaction to end. */
const heldBackMs = 20
const seatEvents = 2_000
const seatBytes = 1024 * 1024

export class Seat {
  readonly subject: Subject
  /** Everything behind it will be told. Undefined: the tail has not read since. */
  from: Position | undefined
  overflowed = false
  private events: EventRow[] = []
  private bytes = 0
  private wake: (() => void) | undefined

  constructor(subject: Subject) {
    this.subject = subject
  }

  /** What was told since the last call. */
  take(): readonly EventRow[] {
    const taken = this.events
    this.events = []
    this.bytes = 0
    return taken
  }

  /** Resolves when there is something to take or to know, or when the signal fires. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        this.wake = undefined
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.wake = done
      signal.addEventListener('abort', done, { once: true })
      if (signal.aborted || this.events.length > 0 || this.overflowed) done()
    })
  }

  tell(event: EventRow): void {
    if (this.overflowed) return
    this.events.push(event)
    this.bytes += 500 + (event.data?.length ?? 0)
    if (this.events.length > seatEvents || this.bytes > seatBytes) {
      this.overflowed = true // T2
      this.take()
    }
    this.wake?.()
  }

  placed(): void {
    this.wake?.()
  }
}

export class EventTail implements Service {
  readonly name = 'event tail'
  private readonly options: EventTailOptions
  private readonly ticker: Ticker
  private readonly seats = new Set<Seat>()
  private readonly byTask = new Map<string, Set<Seat>>()
  private readonly byTenant = new Map<number, Set<Seat>>()
  private position: Position | undefined
  private readonly alarm = new Alarm(() => this.ticker.wake())

  constructor(options: EventTailOptions) {
    this.options = options
    this.ticker = new Ticker({ name: this.name, everyMs: 2 ** 31 - 1, log: options.log, run: () => this.read() })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  async stop(): Promise<void> {
    this.alarm.stop()
    await this.ticker.stop()
  }

  /** There may be something new. */
  wake(): void {
    if (this.seats.size > 0) this.alarm.within(restMs) // T3
  }

  /** Takes a seat; it is in place when its `from` is set. */
  join(subject: Subject): Seat {
    const seat = new Seat(subject)
    this.seats.add(seat)
    this.ticker.wake()
    return seat
  }

  leave(seat: Seat): void {
    this.seats.delete(seat)
    if ('taskPk' in seat.subject) removeFrom(this.byTask, seat.subject.taskPk, seat)
    else removeFrom(this.byTenant, seat.subject.tenantId, seat)
  }

  private async read(): Promise<void> {
    this.alarm.clear()
    if (this.seats.size === 0) {
      this.position = undefined
      return
    }
    try {
      const { database } = this.options
      this.position ??= await readHorizon(database)
      this.place(this.position)
      const asked = { tenantIds: [...this.byTenant.keys()], taskPks: [...this.byTask.keys()] }
      const page = await readNewEvents(database, asked, this.position, pageSize)
      this.hand(page)
      this.position = page.read
      this.alarm.within(page.full ? restMs : page.heldBack ? heldBackMs : this.options.everyMs)
    } catch (error) {
      this.alarm.within(this.options.everyMs * 5)
      throw error
    }
  }

  /** New seats are asked for from here on. */
  private place(position: Position): void {
    for (const seat of this.seats) {
      if (seat.from !== undefined) continue
      seat.from = position
      if ('taskPk' in seat.subject) addTo(this.byTask, seat.subject.taskPk, seat)
      else addTo(this.byTenant, seat.subject.tenantId, seat)
      seat.placed()
    }
  }

  private hand(page: EventPage): void {
    for (const row of page.rows) {
      if (row.task_pk !== null) for (const seat of this.byTask.get(row.task_pk) ?? []) seat.tell(row)
      // A chunk was asked for by whoever follows its task.
      if (row.name !== 'subtask.output') for (const seat of this.byTenant.get(row.tenant_id) ?? []) seat.tell(row)
    }
  }
}

function addTo<K>(map: Map<K, Set<Seat>>, key: K, seat: Seat): void {
  const set = map.get(key) ?? new Set()
  map.set(key, set.add(seat))
}

function removeFrom<K>(map: Map<K, Set<Seat>>, key: K, seat: Seat): void {
  const set = map.get(key)
  set?.delete(seat)
  if (set?.size === 0) map.delete(key)
}
