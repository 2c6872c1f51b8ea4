/** A timer that is only ever brought forward: of all who want to be woken, the earliest counts. */
export class Alarm {
  private readonly ring: () => void
  private timer: NodeJS.Timeout | undefined
  private dueAt = 0
  private stopped = false

  constructor(ring: () => void) {
    this.ring = ring
  }

  within(ms: number): void {
    const dueAt = performance.now() + ms
    if (this.stopped || (this.timer !== undefined && this.dueAt <= dueAt)) return
    clearTimeout(this.timer)
    this.dueAt = dueAt
    this.timer = setTimeout(() => {
      this.timer = undefined
      this.ring()
    }, ms)
  }

  clear(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  stop(): void {
    this.stopped = true
    this.clear()
  }
}
