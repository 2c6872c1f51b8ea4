/** Tells whoever waits within this process that a task changed. Only shortens latency: waiters also look by themselves. */

export class Changes {
  private readonly waiters = new Map<string, Set<() => void>>()

  /** The tasks (by internal id) of a batch that was just committed. */
  announce(taskPks: Iterable<string>): void {
    if (this.waiters.size === 0) return
    for (const pk of taskPks) {
      const waiting = this.waiters.get(pk)
      if (!waiting) continue
      this.waiters.delete(pk)
      for (const wake of waiting) wake()
    }
  }

  /** Resolves at the next change of the task, after `timeoutMs`, or when aborted. */
  next(taskPk: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        const set = this.waiters.get(taskPk)
        set?.delete(done)
        if (set?.size === 0) this.waiters.delete(taskPk)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs)
      signal.addEventListener('abort', done)
      const set = this.waiters.get(taskPk) ?? new Set()
      this.waiters.set(taskPk, set)
      set.add(done)
      if (signal.aborted) done()
    })
  }
}
