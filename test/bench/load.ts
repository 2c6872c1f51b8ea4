/**
 * Runs tasks through a fleet with a bounded number in flight, and takes the time and the CPU of every process.
 * Submissions travel together as a producer's would: those that are due at the same moment share a `POST /tasks/batch`.
 */
import { createClient } from '@baton/client'
import type { OrchestrateRequest } from '@baton/shared'
import { BatchLane } from '@baton/shared/node'
import type { Ends } from './ends.js'
import { cpuBetween, cpuSecondsOf } from './measure.js'
import { type Latencies, latenciesOf } from './ratios.js'

/** The process that sends the load; what it uses is shown, and is not Baton's. */
export const loadGenerator = 'load generator'

export interface Load {
  readonly tasks: number
  readonly inFlight: number
  readonly request: (taskId: string) => OrchestrateRequest
  readonly ends: Ends
}

/** Where load is sent: coordinators, in turn, and the processes whose CPU counts. */
export interface LoadTarget {
  readonly urls: readonly string[]
  readonly pids: Readonly<Record<string, number>>
}

/** Times run from a task's submission to the moment at which its end was known. */
export interface LoadRun extends Latencies {
  /** From the first submission to the moment at which the last end was known. */
  readonly seconds: number
  /** Seconds of CPU by process. */
  readonly cpu: Readonly<Record<string, number>>
}

let runs = 0

export async function runLoad(target: LoadTarget, load: Load): Promise<LoadRun> {
  const { tasks, inFlight, request, ends } = load
  const lanes = target.urls.map(submissionsTo)
  const prefix = `bench-${process.pid}-${Date.now().toString(36)}-${runs++}`
  const latencies: number[] = []
  let next = 0
  const before = readCpu(target)
  const begun = performance.now()
  let lastKnownAt = begun
  const flight = async () => {
    while (next < tasks) {
      const n = next++
      const taskId = `${prefix}-${n}`
      const submittedAt = performance.now()
      await lanes[n % lanes.length]?.push(request(taskId))
      const { knownAt } = await ends.of(taskId)
      latencies.push(knownAt - submittedAt)
      lastKnownAt = Math.max(lastKnownAt, knownAt)
    }
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, tasks) }, flight))
  const cpu = cpuBetween(before, readCpu(target))
  return { seconds: (lastKnownAt - begun) / 1_000, ...latenciesOf(latencies), cpu }
}

function submissionsTo(url: string): BatchLane<OrchestrateRequest, void> {
  const client = createClient({ url })
  return new BatchLane<OrchestrateRequest, void>({
    maxItems: 500,
    send: async requests => {
      const results = await client.tasks.submitMany(requests, { minimal: true })
      const refused = results.find(result => result.status_code !== 201)
      if (refused) throw refused.error ?? new Error(`task ${refused.task_id} was answered ${refused.status_code}`)
      return results.map(() => undefined)
    },
  })
}

/** The fleet's processes are children of this one, hence not a tree here: its own share is what it used itself. */
function readCpu({ pids }: LoadTarget): Record<string, number> {
  const { user, system } = process.cpuUsage()
  return { ...cpuSecondsOf(pids), [loadGenerator]: (user + system) / 1e6 }
}
