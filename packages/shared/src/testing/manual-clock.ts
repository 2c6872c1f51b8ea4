/** A clock that stands still until a test moves it. */
import type { Clock } from '../node/clock.js'

export class ManualClock implements Clock {
  private ms: number
  private readonly timers = new Set<{ due: number; callback: () => void }>()

  constructor(start = new Date('2026-01-01T00:00:00Z')) {
    this.ms = start.getTime()
  }

  monotonicMs(): number {
    return this.ms
  }

  now(): Date {
    return new Date(this.ms)
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.ms + ms, callback }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  /** Moves on, calling due timers in order. */
  advance(ms: number): void {
    const end = this.ms + ms
    for (;;) {
      const next = [...this.timers].filter(t => t.due <= end).sort((a, b) => a.due - b.due)[0]
      if (!next) break
      this.timers.delete(next)
      this.ms = next.due
      next.callback()
    }
    this.ms = end
  }
}
