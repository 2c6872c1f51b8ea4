/** Views of tasks with every member filled in, for tests that care about a few. */
import type { SubtaskState, SubtaskView, TaskView } from '@baton/shared'

export function fakeSubtask(name: string, over: Partial<SubtaskView> = {}): SubtaskView {
  const capability = over.capability ?? name
  return {
    subtask_id: `${capability}::feature-7::1`,
    name,
    title: null,
    capability,
    agent: null,
    state: 'pending',
    attempt: 0,
    generation: 1,
    started_at: null,
    finished_at: null,
    ...over,
  }
}

export function fakeTask(over: Partial<TaskView> = {}): TaskView {
  const subtasks = over.subtasks ?? []
  const counts: Partial<Record<SubtaskState, number>> = {}
  for (const { state } of subtasks) counts[state] = (counts[state] ?? 0) + 1
  return {
    task_id: 'feature-7',
    title: 'Search',
    description: null,
    status: 'planned',
    priority: 'medium',
    orchestrator_id: 'default',
    metadata: {},
    context: {},
    plan: { made_by: 'explicit', objectives: [], constraints: [], acceptance_criteria: [], diagnostics: [] },
    subtask_counts: counts,
    subtasks,
    dependencies: [],
    artifacts: [],
    status_history: [],
    metrics: {
      elapsed_seconds: 0,
      on_time: true,
      subtasks_total: subtasks.length,
      subtasks_completed: counts.completed ?? 0,
      attempts: 0,
      due_date: null,
      sla_seconds: null,
    },
    created_at: '2026-01-01T00:00:00.000Z',
    started_at: null,
    finished_at: null,
    ...over,
  }
}
