/** What the timeline draws: a bar for each subtask that ran. */
import type { SubtaskView } from '@baton/shared'

export interface TimelineRow {
  readonly lane: string
  readonly label: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly finishedAt: number
  readonly state: string
}

/** Lanes are agents, or agents on workers where the coordinator says which. */
export function timelineRows(subtasks: Iterable<SubtaskView & { worker?: string | null }>): TimelineRow[] {
  const rows: TimelineRow[] = []
  for (const { agent, capability, worker, name, title, state, started_at, finished_at } of subtasks) {
    if (!started_at || !finished_at) continue
    const who = agent ?? capability
    rows.push({
      lane: worker ? `${who} @ ${worker}` : who,
      label: title ?? name,
      startedAt: Date.parse(started_at),
      finishedAt: Date.parse(finished_at),
      state,
    })
  }
  return rows
}
