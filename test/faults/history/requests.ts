/** Invariants of requests: what the client was told holds. */
import type { Violation } from './history.js'
import type { Indexed } from './index-history.js'

const refusedWithinMs = 2_000

/** I4: an acknowledged submission is never lost, nor is a start that was acknowledged. */
export function nothingAcknowledgedIsLost(h: Indexed): Violation[] {
  const tasks = new Map(h.tasks.map(task => [task.task_id, task]))
  const violations: Violation[] = []
  for (const { n, kind, fate, taskId, bad } of h.operations) {
    if (fate !== 'ok' || taskId === undefined || bad) continue
    const task = tasks.get(taskId)
    const submits = kind === 'submit' || kind === 'submit_and_execute'
    if (submits && !task)
      violations.push({ invariant: 'I4', subject: `task ${taskId}`, problem: `was acknowledged (operation ${n}) and is not there` })
    const starts = kind === 'execute' || kind === 'submit_and_execute'
    if (starts && task && !h.eventsOfTask(task.id).some(event => event.name === 'task.started'))
      violations.push({
        invariant: 'I4',
        subject: `task ${taskId}`,
        problem: `its start was acknowledged (operation ${n}), and it was never started`,
      })
  }
  return violations
}

/** I8: one task per tenant and `task_id`: one row, planned once, and created for one caller only. */
export function oneTaskPerId(h: Indexed): Violation[] {
  const violations: Violation[] = []
  const rows = new Map<string, number>()
  for (const { tenant_id, task_id } of h.tasks) rows.set(`${tenant_id}/${task_id}`, (rows.get(`${tenant_id}/${task_id}`) ?? 0) + 1)
  for (const [key, count] of rows) if (count > 1) violations.push({ invariant: 'I8', subject: `task ${key}`, problem: `has ${count} rows` })
  for (const { id, task_id } of h.tasks) {
    const planned = h.eventsOfTask(id).filter(event => event.name === 'task.planned').length
    if (planned > 1) violations.push({ invariant: 'I8', subject: `task ${task_id}`, problem: `was planned ${planned} times` })
  }
  const created = new Map<string, number>()
  for (const { kind, status, taskId } of h.operations)
    if (taskId !== undefined && status === 201 && (kind === 'submit' || kind === 'submit_and_execute'))
      created.set(taskId, (created.get(taskId) ?? 0) + 1)
  for (const [taskId, count] of created)
    if (count > 1) violations.push({ invariant: 'I8', subject: `task ${taskId}`, problem: `was created for ${count} submissions` })
  return violations
}

/** I14: bad input gets a clear error within 2 s, and changes nothing. */
export function badInputIsRefused(h: Indexed): Violation[] {
  const good = new Set(h.operations.flatMap(({ bad, taskId }) => (!bad && taskId !== undefined ? [taskId] : [])))
  return h.operations.flatMap(({ n, bad, fate, status, code, tookMs, taskId }) => {
    if (!bad) return []
    const problems: string[] = []
    if (fate !== 'failed' || code === undefined) problems.push(`was answered ${status ?? 'not at all'} instead of being refused by a code`)
    if (tookMs > refusedWithinMs) problems.push(`was refused after ${tookMs} ms`)
    if (taskId !== undefined && !good.has(taskId) && h.tasks.some(task => task.task_id === taskId)) problems.push(`left a task ${taskId}`)
    return problems.map(problem => ({ invariant: 'I14', subject: `operation ${n}`, problem }))
  })
}
