/** The view of a task that was just planned, from the rows that were stored: no second look at the database. */
import { type PlanView, priorities, RawJson, type SubtaskState, type TaskView } from '@baton/shared'
import type { Edge, NewSubtask, NewTask } from '../store/submit.js'

const listed = 1_000

interface Stored {
  readonly task: NewTask
  readonly subtasks: readonly NewSubtask[]
  readonly edges: readonly Edge[]
  readonly plan: PlanView
}

export function viewOfNew({ task, subtasks, edges, plan }: Stored, now: Date): TaskView {
  const counts: Partial<Record<SubtaskState, number>> = {}
  for (const { state } of subtasks) counts[state] = (counts[state] ?? 0) + 1
  const subtaskIds = new Map(edges.length > 0 ? subtasks.map(s => [s.id, s.subtask_id]) : [])
  const started = task.status !== 'planned'
  return {
    task_id: task.task_id,
    title: task.title,
    description: task.description,
    status: task.status,
    priority: priorities[task.priority] ?? 'medium',
    orchestrator_id: task.orchestrator_id,
    metadata: raw(task.metadata),
    context: raw(task.context),
    plan,
    subtask_counts: counts,
    subtasks: subtasks.slice(0, listed).map(s => ({
      subtask_id: s.subtask_id,
      name: s.name,
      title: s.title,
      capability: s.capability,
      agent: null,
      state: s.state,
      attempt: s.attempt,
      generation: 0,
      started_at: null,
      finished_at: null,
      ...(s.state === 'blocked' && { why: `no live worker offers ${s.agent === null ? `\`${s.capability}\`` : `agent \`${s.agent}\``}` }),
      ...(s.state === 'awaiting_approval' && { why: 'waiting for approval' }),
    })),
    ...(subtasks.length > listed && { subtasks_next_cursor: String(listed) }),
    dependencies: edges.slice(0, listed).map(([from, to]) => ({ from: subtaskIds.get(from) ?? from, to: subtaskIds.get(to) ?? to })),
    ...(edges.length > listed && { dependencies_next_cursor: edgeCursor(edges, subtasks) }),
    artifacts: [],
    status_history: [
      { at: now.toISOString(), from: null, to: 'planned', reason: 'taken in' },
      ...(started ? [{ at: now.toISOString(), from: 'planned' as const, to: task.status, reason: 'submitted with execute' }] : []),
    ],
    metrics: {
      elapsed_seconds: 0,
      on_time: true,
      subtasks_total: subtasks.length,
      subtasks_completed: 0,
      attempts: 0,
      due_date: task.due_at,
      sla_seconds: task.sla_ms === null ? null : task.sla_ms / 1_000,
    },
    ...(!started && { why: `planned; start it with POST /execute/${task.task_id}` }),
    created_at: now.toISOString(),
    started_at: started ? now.toISOString() : null,
    finished_at: null,
  }
}

function edgeCursor(edges: readonly Edge[], subtasks: readonly NewSubtask[]): string {
  const ordinals = new Map(subtasks.map(s => [s.id, s.ordinal]))
  const [from, to] = edges[listed - 1] as Edge // there are more than that
  return `${ordinals.get(to) ?? 0}-${ordinals.get(from) ?? 0}`
}

function raw(text: string): RawJson {
  return new RawJson(text, JSON.parse(text))
}
