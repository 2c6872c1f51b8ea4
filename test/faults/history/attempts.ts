/** Invariants of attempts and their delivery: how often is tried, and that nothing waits without a doorbell. */
import type { EventRow, SubtaskRow, Violation } from './history.js'
import type { Indexed } from './index-history.js'

/** Ends of an attempt by which its limit is used up. */
const counting: readonly unknown[] = ['failed', 'timed_out', 'lost']
/** What `on_failure` makes of a subtask of which no attempt is left. */
const policies: Record<SubtaskRow['on_failure'], EventRow['name']> = {
  review: 'subtask.needs_review',
  fail: 'subtask.failed',
  continue: 'subtask.failed',
  skip: 'subtask.skipped',
}
const rulings = Object.values(policies)

/**
 * I6: at most `attempt_limit` charged attempts, then exactly what `on_failure` says, with one review for each limit that
 * was granted; and not before, unless the failure cannot pass.
 */
export function chargedWithinLimit(h: Indexed): Violation[] {
  return h.subtasks.flatMap(subtask => {
    const charged = h.attemptsOf(subtask.id).filter(attempt => attempt.charged && counting.includes(attempt.outcome))
    const problems: string[] = []
    if (charged.length > subtask.attempt_limit) problems.push(`has ${charged.length} charged attempts, of ${subtask.attempt_limit} at most`)
    if (charged.length > subtask.charged) problems.push(`counts ${subtask.charged} charged attempts, and has ${charged.length}`)
    const rulingEvents = h
      .eventsOfSubtask(subtask.id)
      .filter(event => rulings.includes(event.name) && counting.includes(event.data?.outcome))
    for (const event of rulingEvents) {
      if (event.name !== policies[subtask.on_failure]) problems.push(`${event.name}, where on_failure is ${subtask.on_failure}`)
      const used = charged.filter(attempt => attempt.attempt <= (event.attempt ?? 0)).length
      const retryable = (event.data?.failure as { retryable?: boolean } | null)?.retryable !== false // as the coordinator writes it
      // A limit that was raised later is not what counted then.
      if (retryable && event === rulingEvents.at(-1) && !wasReopened(h, subtask, event) && used < subtask.attempt_limit)
        problems.push(`${event.name} after ${used} charged attempts, with ${subtask.attempt_limit} to use`)
    }
    const exhausted = h
      .eventsOfSubtask(subtask.id)
      .filter(event => event.name === 'subtask.needs_review' && counting.includes(event.data?.outcome))
    const reviews = h.reviews.filter(review => review.subtask_pk === subtask.id && review.kind === 'exhausted')
    if (reviews.length !== exhausted.length)
      problems.push(`was exhausted ${exhausted.length} times, and has ${reviews.length} reviews for it`)
    return problems.map(problem => ({ invariant: 'I6', subject: `subtask ${h.nameOf(subtask)}`, problem }))
  })
}

function wasReopened(h: Indexed, subtask: SubtaskRow, after: EventRow): boolean {
  return h.eventsOfSubtask(subtask.id).some(event => event.seq > after.seq && event.name === 'subtask.ready')
}

/** I11: nothing stays queued without a job. Postgres is read before the queues: ask it of a fleet at rest. */
export function queuedHaveJobs(h: Indexed): Violation[] {
  const jobs = new Set(h.jobs)
  return h.subtasks.flatMap(subtask => {
    const id = `${subtask.id}-${subtask.attempt}-${subtask.dispatch}`
    if (subtask.state !== 'queued' || jobs.has(id)) return []
    return [{ invariant: 'I11', subject: `subtask ${h.nameOf(subtask)}`, problem: `is queued, and there is no job ${id}` }]
  })
}

/**
 * I12, as far as a history shows it: an attempt is not replaced while its worker lives and can be heard. Memory,
 * connections and depths are measured by the tests that load them.
 */
export function noLossOfTheLiving(h: Indexed): Violation[] {
  const disturbed = new Set(h.disturbances.map(({ pid }) => pid))
  for (const { pid, block, dies } of h.journal) if (block || dies) disturbed.add(pid)
  return h.subtasks.flatMap(subtask =>
    h.attemptsOf(subtask.id).flatMap(({ attempt, outcome, worker_id: workerId }) => {
      if (outcome !== 'lost' || workerId === null) return []
      const pid = h.workerById.get(workerId)?.pid ?? 0
      if (disturbed.has(pid)) return []
      return [
        {
          invariant: 'I12',
          subject: `subtask ${h.nameOf(subtask)}`,
          problem: `attempt ${attempt} was taken from ${workerId}, which lived`,
        },
      ]
    }),
  )
}
