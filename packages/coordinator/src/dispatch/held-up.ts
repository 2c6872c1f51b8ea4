/**
 * Where to look for a route's next rows. Tasks that are held up (paused, or their orchestrator is) keep their ready rows,
 * so a claim may see nothing else for long: it is broken off then, and the next one goes on behind. For a while the
 * looking begins there, too, so that the held-up ones are not walked again for every claim.
 */
import type { TurnPlace } from '../store/dispatch.js'

/** What is more urgent than the held-up tasks waits at most this long. */
const keptMs = 2_000

export class HeldUp {
  private readonly places = new Map<number, { place: TurnPlace; since: number }>()
  private readonly now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  /** Where the next look at a route begins; undefined: at the beginning. */
  after(routeId: number): TurnPlace | undefined {
    const kept = this.places.get(routeId)
    if (kept && this.now() - kept.since > keptMs) this.places.delete(routeId)
    return this.places.get(routeId)?.place
  }

  /** A look was broken off at `place`, or (undefined) came to the end of the route, or to the end of its room (`full`). */
  looked(routeId: number, place: TurnPlace | undefined, full: boolean): void {
    if (place) this.places.set(routeId, { place, since: this.places.get(routeId)?.since ?? this.now() })
    else if (!full) this.places.delete(routeId)
  }
}
