/** Tells whoever waits within this process that a task changed. Only shortens latency: waiters also look by themselves. */

/** `change`: anything of the task; `status`: the task's own status, which changes far less often. */
export type Topic = 'change' | 'status'

export class Changes {
  private readonly waiters = new Map<string, Set<() => void>>()

  /** The tasks (by internal id) of a batch that was just committed. */
  announce(topic: Topic, taskPks: Iterable<string>): void {
    if (this.waiters.size === 0) return
    for (const pk of taskPks) {
      const key = keyOf(topic, pk)
      const waiting = this.waiters.get(key)
      if (!waiting) continue
      this.waiters.delete(key)
      for (const wake of waiting) wake()
    }
  }

  /** Resolves at the next change of the task, after `timeoutMs`, or when aborted. */
  next(topic: Topic, taskPk: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const key = keyOf(topic, taskPk)
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        const set = this.waiters.get(key)
        set?.delete(done)
        if (set?.size === 0) this.waiters.delete(key)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs)
      signal.addEventListener('abort', done)
      const set = this.waiters.get(key) ?? new Set()
      this.waiters.set(key, set)
      set.add(done)
      if (signal.aborted) done()
    })
  }
}

function keyOf(topic: Topic, taskPk: string): string {
  return `${topic} ${taskPk}`
}
