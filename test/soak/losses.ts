/** I12, by time: an attempt is taken from a worker only while that worker cannot be heard, or soon after. */
import type { Violation } from '../faults/history/history.js'
import type { FaultFleet } from '../faults/kit/index.js'
import type { Fault, Happened } from './chaos.js'

/** Beyond the lease: until whoever looks has looked. */
const lateMs = 4_000

/** What keeps a worker from being heard. Servers that are away do not: no lease runs out because of them. */
function silences(fault: Fault): boolean {
  if (fault.kind === 'cut' || fault.kind === 'stall') return fault.store === 'nats'
  return fault.kind === 'kill' || fault.kind === 'freeze' || fault.kind === 'restart'
}

export async function lostUnheard(
  fleet: FaultFleet,
  { happened, leaseMs }: { happened: readonly Happened[]; leaseMs: number },
): Promise<Violation[]> {
  const lost = await fleet.rows<{ task_id: string; name: string; attempt: number; pid: number; at: number }>(
    `select k.task_id, d.name, a.attempt, w.pid, (extract(epoch from a.finished_at) * 1000)::float8 as at
     from attempts a join workers w on w.id = a.worker_id join subtasks d on d.id = a.subtask_pk join tasks k on k.id = d.task_pk
     where a.outcome = 'lost'`,
  )
  return lost.flatMap(({ task_id: taskId, name, attempt, pid, at }) => {
    const explained = happened.some(
      ({ fault, from, until, pid: met }) =>
        met === pid &&
        silences(fault) &&
        at >= from &&
        (fault.kind === 'kill' || fault.kind === 'restart' || at <= until + leaseMs + lateMs),
    )
    if (explained) return []
    const problem = `attempt ${attempt} was taken from process ${pid} at ${new Date(at).toISOString()}, when nothing kept that from being heard`
    return [{ invariant: 'I12', subject: `subtask ${taskId}/${name}`, problem }]
  })
}
