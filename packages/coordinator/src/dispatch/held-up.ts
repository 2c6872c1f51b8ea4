/**
 * Where to look for a route's next rows. Tasks that are paused keep their ready rows, so a claim may see nothing else of
 * their owner for long: it is broken off then, and the next one goes on behind. For a while the
 * looking begins there, too, so that the held-up ones are not walked again for every claim.
 */
import type { TurnPlace } from '../store/dispatch.js'

/** What is more urgent than the held-up tasks waits at most this long. */
const keptMs = 2_000

export class HeldUp {
  /** By route, then by priority and owner. */
  private readonly places = new Map<number, Map<string, { place: TurnPlace; since: number }>>()
  private readonly now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  /** Where the next look at a route begins with some of its owners; with the others it begins at the beginning. */
  after(routeId: number): TurnPlace[] {
    const kept = this.places.get(routeId)
    if (!kept) return []
    for (const [key, { since }] of kept) if (this.now() - since > keptMs) kept.delete(key)
    return [...kept.values()].map(({ place }) => place)
  }

  /** A look was broken off at `places`, or (none) came to the end of the route, or to the end of its room (`full`). */
  looked(routeId: number, places: readonly TurnPlace[], full: boolean): void {
    if (places.length === 0) {
      if (!full) this.places.delete(routeId)
      return
    }
    const kept = this.places.get(routeId) ?? new Map<string, { place: TurnPlace; since: number }>()
    this.places.set(routeId, kept)
    for (const place of places) {
      const key = `${place.priority} ${place.owner}`
      kept.set(key, { place, since: kept.get(key)?.since ?? this.now() })
    }
  }
}
