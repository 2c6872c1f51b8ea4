/** Invariants of results: what was accepted, of whom, and that it is what was sent. */
import type { Violation } from './history.js'
import type { Indexed } from './index-history.js'

/** I1: one accepted result per completed subtask, and none for any other. */
export function oneAcceptedResult(h: Indexed): Violation[] {
  return h.subtasks.flatMap(subtask => {
    const accepted = h.attemptsOf(subtask.id).filter(attempt => attempt.outcome === 'completed')
    const expected = subtask.state === 'completed' ? 1 : 0
    if (accepted.length === expected) return []
    const problem = `is ${subtask.state} and has ${accepted.length} accepted results (attempts ${accepted.map(a => a.attempt).join(', ') || 'none'})`
    return [{ invariant: 'I1', subject: `subtask ${h.nameOf(subtask)}`, problem }]
  })
}

/** I5: what was accepted is of the newest attempt: no later one had been put into a queue, started or ended before. */
export function noSupersededResult(h: Indexed): Violation[] {
  return h.subtasks.flatMap(subtask => {
    let newest = 0
    const problems: string[] = []
    for (const event of h.eventsOfSubtask(subtask.id)) {
      if (event.attempt === null) continue
      if (event.name === 'subtask.completed' && event.attempt < newest)
        problems.push(`accepted the result of attempt ${event.attempt} when attempt ${newest} was there already`)
      newest = Math.max(newest, event.attempt)
    }
    return problems.map(problem => ({ invariant: 'I5', subject: `subtask ${h.nameOf(subtask)}`, problem }))
  })
}

/** I15: one execution per lease token. An attempt number is granted to one token only, so it starts once in all journals. */
export function oneExecutionPerToken(h: Indexed): Violation[] {
  const violations: Violation[] = []
  for (const subtask of h.subtasks) {
    const starts = new Map<number, number[]>()
    for (const line of h.journalOf(subtask.uuid))
      if (line.event === 'start') starts.set(line.attempt, [...(starts.get(line.attempt) ?? []), line.pid])
    for (const [attempt, pids] of starts)
      if (pids.length > 1)
        violations.push({
          invariant: 'I15',
          subject: `subtask ${h.nameOf(subtask)}`,
          problem: `attempt ${attempt} was run ${pids.length} times, in processes ${pids.join(', ')}`,
        })
  }
  const seen = new Set<string>()
  for (const { claim_id: claimId } of h.attempts) {
    if (claimId === null) continue
    if (seen.has(claimId))
      violations.push({ invariant: 'I15', subject: `claim ${claimId}`, problem: 'is the token of more than one attempt' })
    seen.add(claimId)
  }
  return violations
}

/** I16: stored bytes equal sent bytes: inputs as the client sent them, outputs as the agent returned them. */
export function bytesAsSent(h: Indexed): Violation[] {
  const violations: Violation[] = []
  const taskPks = new Map(h.tasks.map(task => [task.task_id, task.id]))
  const stored = new Map(h.subtasks.filter(s => s.generation === 0).map(subtask => [`${subtask.task_pk}/${subtask.name}`, subtask]))
  for (const { fate, taskId = '', inputs = {} } of h.operations) {
    if (fate !== 'ok') continue
    for (const [name, sha256] of Object.entries(inputs)) {
      const subtask = stored.get(`${taskPks.get(taskId)}/${name}`)
      if (subtask && subtask.input_sha256 !== sha256)
        violations.push({ invariant: 'I16', subject: `subtask ${taskId}/${name}`, problem: 'its stored input is not what was sent' })
    }
  }
  for (const subtask of h.subtasks)
    for (const { attempt, outcome, output_sha256: digest } of h.attemptsOf(subtask.id)) {
      if (outcome !== 'completed') continue
      const returned = h.journalOf(subtask.uuid).find(line => line.attempt === attempt && line.outcome === 'completed')
      if (returned?.sha256 !== undefined && returned.sha256 !== digest)
        violations.push({
          invariant: 'I16',
          subject: `subtask ${h.nameOf(subtask)}`,
          problem: `its stored output is not what attempt ${attempt} returned`,
        })
    }
  return violations
}
