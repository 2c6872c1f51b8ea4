/**
 * Where to look for a route's next rows. Whoever has had his turn comes after those who had none, also where there is room
 * for one row at a time: of each owner the looking begins behind the task that was served last and goes round to it again,
 * and with the owner behind the last one.
 *
 * Tasks that are paused keep their ready rows, so a claim may see nothing else of their owner for long: it is broken off
 * then, and the next one goes on behind. For a while the looking begins there, too, so that the held-up ones are not walked
 * again for every claim; what it finds there is not all: where that leaves room, the next look begins at the beginning.
 */
import type { Beginning, TurnPlace } from '../store/dispatch.js'

/** What is more urgent than the held-up tasks waits at most this long. */
const keptMs = 2_000

interface Kept {
  readonly place: TurnPlace
  /** Undefined: it was served, and is not held up. */
  readonly since: number | undefined
}

const keyOf = ({ priority, owner }: Pick<TurnPlace, 'priority' | 'owner'>): string => `${priority} ${owner}`

export class Turns {
  /** By route, then by priority and owner. */
  private readonly places = new Map<number, Map<string, Kept>>()
  /** The owner that was served last, by route. */
  private readonly lastOwners = new Map<number, number>()
  private readonly now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  /** Where the next look at a route begins with some of its owners; with the others it begins at the beginning. */
  after(routeId: number): Beginning[] {
    const kept = this.places.get(routeId)
    if (!kept) return []
    for (const [key, { since }] of kept) if (since !== undefined && this.now() - since > keptMs) kept.delete(key)
    return [...kept.values()].map(({ place, since }) => ({ ...place, wraps: since === undefined }))
  }

  /** The owner behind which the next look at a route begins; 0: with the first one. */
  lastOwner(routeId: number): number {
    return this.lastOwners.get(routeId) ?? 0
  }

  /**
   * A look was broken off at `places`, or (none) came to the end of the route, or to the end of its room (`full`), and
   * found `rows`.
   */
  looked(routeId: number, places: readonly TurnPlace[], { full, rows }: { full: boolean; rows: readonly TurnPlace[] }): void {
    const owners = rows.map(({ owner }) => owner)
    const before = this.lastOwner(routeId)
    const inTurn = [...new Set(owners)].sort((a, b) => Number(a <= before) - Number(b <= before) || a - b)
    const last = inTurn.at(-1)
    if (last !== undefined) this.lastOwners.set(routeId, last)
    if (places.length === 0 && !full) {
      this.places.delete(routeId)
      return
    }
    const kept = this.places.get(routeId) ?? new Map<string, Kept>()
    this.places.set(routeId, kept)
    // Who had nothing has his next turn at the beginning, whatever others still have.
    const served = new Map<string, TurnPlace[]>()
    for (const row of rows) append(served, keyOf(row), row)
    for (const [key, { since }] of kept) if (since === undefined && !served.has(key)) kept.delete(key)
    for (const [key, own] of served) {
      const known = kept.get(key)
      if (known?.since !== undefined) continue // the held-up ones come before
      const place = lastServed(own, known?.place.task_pk)
      if (place) kept.set(key, { place, since: undefined })
    }
    for (const place of places) {
      const key = keyOf(place)
      kept.set(key, { place, since: kept.get(key)?.since ?? this.now() })
    }
  }
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key)
  if (list) list.push(item)
  else lists.set(key, [item])
}

/** Whose row came last, where the turns began behind `begun`: the last in turn among the tasks that got most. */
function lastServed(rows: readonly TurnPlace[], begun = '0'): TurnPlace | undefined {
  const counts = new Map<string, number>()
  for (const { task_pk } of rows) counts.set(task_pk, (counts.get(task_pk) ?? 0) + 1)
  const most = Math.max(...counts.values())
  const inTurn = [...counts.keys()]
    .filter(task => counts.get(task) === most)
    .map(BigInt)
    .sort((a, b) => Number(a <= BigInt(begun)) - Number(b <= BigInt(begun)) || Number(a - b))
  const last = String(inTurn.at(-1))
  const row = rows.find(({ task_pk }) => task_pk === last)
  return row && { priority: row.priority, owner: row.owner, task_pk: row.task_pk }
}
