/** What follows a commit: jobs are rung, the dispatcher is woken, waiters and the other coordinators are told. */
import type { EffectsRow, QueuedRow } from '../store/fragments.js'

/** What `collect` needs of the other duties; main.ts gives it. */
export interface Neighbours {
  readonly dispatcher: {
    wake(routes: readonly number[]): void
    readyElsewhere(): void
    placed(rows: readonly QueuedRow[]): Promise<void>
    handedOver(rows: readonly QueuedRow[]): Promise<ReadonlyMap<string, string> | undefined>
  }
  /** Tasks ended with subtasks still to be cancelled. */
  readonly sweep: () => void
  /** Tasks ended, or wait for somebody: others may start in their place. */
  readonly roomMade: () => void
  readonly changes: { announce(topic: 'change' | 'status', taskPks: Iterable<string>): void }
  /** The status of tasks changed; for whoever counts. */
  readonly onTasks?: ((tasks: EffectsRow['tasks']) => void) | undefined
  /** None where there are no other coordinators. */
  readonly pulses: { send(pulse: { ready?: boolean; changed?: string[]; statuses?: string[] }): void } | undefined
}

export interface AfterCommit {
  /** Everything that a statement's row of effects asks for; resolves when the jobs are rung. */
  apply(effects: EffectsRow): Promise<void>
  /** These rows were queued and started at once; resolves with their trace contexts by the ids of their jobs, where there are any. */
  handedOver(rows: readonly QueuedRow[]): Promise<ReadonlyMap<string, string> | undefined>
  /** Tasks changed, perhaps their status too. */
  changed(taskPks: readonly string[]): void
  /** Subtasks of tasks changed, the tasks' status did not. */
  stepped(taskPks: readonly string[]): void
  /** Rows are ready of routes that the statement did not name. */
  ready(): void
}

export function createAfterCommit({ dispatcher, sweep, roomMade, changes, pulses, onTasks }: Neighbours): AfterCommit {
  const tell = (taskPks: readonly string[], statuses: readonly string[]) => {
    if (taskPks.length === 0 && statuses.length === 0) return
    changes.announce('change', taskPks)
    changes.announce('status', statuses)
    pulses?.send({ changed: [...taskPks], ...(statuses.length > 0 && { statuses: [...statuses] }) })
  }
  return {
    async apply(effects) {
      tell(
        effects.touched,
        effects.tasks.map(task => task.id),
      )
      if (effects.tasks.length > 0) onTasks?.(effects.tasks)
      if (effects.tasks.some(task => task.status === 'failed')) sweep()
      if (effects.tasks.some(task => task.status !== 'running')) roomMade()
      if (effects.ready.length > 0) dispatcher.wake(effects.ready)
      if (effects.jobs.length > 0) await dispatcher.placed(effects.jobs)
    },
    handedOver: rows => dispatcher.handedOver(rows),
    changed: taskPks => tell(taskPks, taskPks),
    stepped: taskPks => tell(taskPks, []),
    ready() {
      dispatcher.readyElsewhere()
      pulses?.send({ ready: true })
    },
  }
}
