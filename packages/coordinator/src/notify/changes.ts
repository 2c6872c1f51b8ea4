/** Tells whoever waits within this process that a task changed. Only shortens latency: waiters also look by themselves. */

/** `change`: anything of the task; `status`: the task's own status, which changes far less often. */
export type Topic = 'change' | 'status'

/** A moment, as counted by what was announced until then. */
export type Moment = Readonly<Record<Topic, number>>

interface Wait {
  /** Before somebody looked for himself: what was announced since then counts as well. */
  readonly after: Moment
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export class Changes {
  private readonly waiters = new Map<string, Set<() => void>>()
  private readonly lately: Readonly<Record<Topic, Lately>> = { change: new Lately(), status: new Lately() }

  get now(): Moment {
    return { change: this.lately.change.count, status: this.lately.status.count }
  }

  /** The tasks (by internal id) of a batch that was just committed. */
  announce(topic: Topic, taskPks: Iterable<string>): void {
    const lately = this.lately[topic]
    for (const pk of taskPks) {
      lately.add(pk)
      const key = keyOf(topic, pk)
      const waiting = this.waiters.get(key)
      if (!waiting) continue
      this.waiters.delete(key)
      for (const wake of waiting) wake()
    }
  }

  /** Resolves to true at the next change of the task (or one that may have been), to false after `timeoutMs`, or when aborted. */
  next(topic: Topic, taskPk: string, { after, timeoutMs, signal }: Wait): Promise<boolean> {
    if (this.lately[topic].may(taskPk, after[topic])) return Promise.resolve(true)
    const key = keyOf(topic, taskPk)
    return new Promise(resolve => {
      const end = (changed: boolean) => {
        clearTimeout(timer)
        signal.removeEventListener('abort', giveUp)
        const set = this.waiters.get(key)
        set?.delete(wake)
        if (set?.size === 0) this.waiters.delete(key)
        resolve(changed)
      }
      const wake = () => end(true)
      const giveUp = () => end(false)
      const timer = setTimeout(giveUp, timeoutMs)
      signal.addEventListener('abort', giveUp)
      const set = this.waiters.get(key) ?? new Set()
      this.waiters.set(key, set)
      set.add(wake)
      if (signal.aborted) giveUp()
    })
  }
}

/** So many announcements are remembered; looks take no longer than these come in. */
const remembered = 4_096

/** What was announced of late. */
class Lately {
  count = 0
  private readonly pks: string[] = []

  add(pk: string): void {
    this.pks[this.count++ % remembered] = pk
  }

  /** Whether this one may have been among what came after so many. */
  may(pk: string, after: number): boolean {
    if (this.count - after > remembered) return true
    for (let at = after; at < this.count; at++) if (this.pks[at % remembered] === pk) return true
    return false
  }
}

function keyOf(topic: Topic, taskPk: string): string {
  return `${topic} ${taskPk}`
}
