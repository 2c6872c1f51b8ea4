/**
 * Where to look for a route's next rows. Whoever has had his turn comes after those who had none, also where there is room
 * for one row at a time: of each owner the looking begins behind the task that was served last, and with the owner behind
 * the last one. What it finds there is not all: where that leaves room, the next look begins at the beginning.
 *
 * Tasks that are paused keep their ready rows, so a claim may see nothing else of their owner for long: it is broken off
 * then, and the next one goes on behind. For a while the looking begins there, too, so that the held-up ones are not walked
 * again for every claim.
 */
import type { TurnPlace } from '../store/dispatch.js'

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
  after(routeId: number): TurnPlace[] {
    const kept = this.places.get(routeId)
    if (!kept) return []
    for (const [key, { since }] of kept) if (since !== undefined && this.now() - since > keptMs) kept.delete(key)
    return [...kept.values()].map(({ place }) => place)
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
    // Who had nothing behind his place has his next turn at the beginning, whatever others still have.
    const served = new Set(rows.map(keyOf))
    for (const [key, { since }] of kept) if (since === undefined && !served.has(key)) kept.delete(key)
    for (const { priority, owner, task_pk } of rows) {
      const key = keyOf({ priority, owner })
      const known = kept.get(key)
      if (known?.since !== undefined) continue // the held-up ones come before
      if (!known || BigInt(task_pk) > BigInt(known.place.task_pk)) kept.set(key, { place: { priority, owner, task_pk }, since: undefined })
    }
    for (const place of places) {
      const key = keyOf(place)
      kept.set(key, { place, since: kept.get(key)?.since ?? this.now() })
    }
  }
}
