/** The graphs that are measured, of subtasks that do nothing. */
import type { OrchestrateRequest, SubtaskRequest } from '@baton/shared'

const capability = 'no-op'

const taskOf = (taskId: string, title: string, subtasks: SubtaskRequest[]): OrchestrateRequest => ({
  task_id: taskId,
  title,
  subtasks,
  execute: true,
})

/** Each step after the one before. */
export function chainOf(taskId: string, steps: number): OrchestrateRequest {
  const subtasks = Array.from({ length: steps }, (_, i) => ({
    name: `s${i}`,
    capability,
    ...(i > 0 && { depends_on: [`s${i - 1}`] }),
  }))
  return taskOf(taskId, `a chain of ${steps}`, subtasks)
}

/** Steps beside each other, and one that joins them. */
export function fanOf(taskId: string, steps: number): OrchestrateRequest {
  const parallel = Array.from({ length: steps }, (_, i) => ({ name: `s${i}`, capability }))
  return taskOf(taskId, `${steps} and a join`, [...parallel, { name: 'join', capability, depends_on: parallel.map(({ name }) => name) }])
}

/** Steps beside each other. */
export function flatOf(taskId: string, steps: number): OrchestrateRequest {
  return taskOf(
    taskId,
    `${steps} beside each other`,
    Array.from({ length: steps }, (_, i) => ({ name: `s${i}`, capability })),
  )
}

/** A workload of many equal tasks. The counts are those of peers/common.mjs. */
export interface Mass {
  readonly name: 'W1' | 'W2'
  readonly says: string
  readonly tasks: number
  /** Of each task. */
  readonly subtasks: number
  readonly request: (taskId: string) => OrchestrateRequest
}

export const w1: Mass = {
  name: 'W1',
  says: '1,000 tasks, each a chain of 3',
  tasks: 1_000,
  subtasks: 3,
  request: id => chainOf(id, 3),
}

export const w2: Mass = {
  name: 'W2',
  says: '200 tasks, each 20 beside each other and a join',
  tasks: 200,
  subtasks: 21,
  request: id => fanOf(id, 20),
}
