/** Time and randomness as dependencies, so that whatever decides by them can be tested. */

export interface Clock {
  /** Milliseconds that only rise; for durations, not for dates. */
  monotonicMs(): number
  now(): Date
  /** Calls back once; returns a function that takes it back. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  now: () => new Date(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}
