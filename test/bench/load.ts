/**
 * Runs tasks through a fleet with a bounded number in flight, and takes the time and the CPU of every process.
 * Submissions travel together as a producer's would: those that are due at the same moment share a `POST /tasks/batch`.
 */
import { createClient } from '@baton/client'
import type { OrchestrateRequest } from '@baton/shared'
import { BatchLane } from '@baton/shared/node'
import type { Ends } from './ends.js'
import type { BenchFleet } from './fleet.js'
import { cpuBetween, cpuSecondsOf, quantile } from './measure.js'

/** The process that sends the load; what it uses is shown, and is not Baton's. */
export const loadGenerator = 'load generator'

export interface Load {
  readonly tasks: number
  readonly inFlight: number
  readonly request: (taskId: string) => OrchestrateRequest
  readonly ends: Ends
}

export interface LoadRun {
  /** From the first submission to the moment at which the last end was known. */
  readonly seconds: number
  /** From a task's submission to the moment at which its end was known. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Seconds of CPU by process. */
  readonly cpu: Readonly<Record<string, number>>
}

let runs = 0

export async function runLoad(fleet: BenchFleet, load: Load): Promise<LoadRun> {
  const { tasks, inFlight, request, ends } = load
  const client = createClient({ url: fleet.url })
  const submissions = new BatchLane<OrchestrateRequest, void>({
    maxItems: 500,
    send: async requests => {
      const results = await client.tasks.submitMany(requests)
      const refused = results.find(result => result.status_code !== 201)
      if (refused) throw refused.error ?? new Error(`task ${refused.task_id} was answered ${refused.status_code}`)
      return results.map(() => undefined)
    },
  })
  const prefix = `bench-${process.pid}-${Date.now().toString(36)}-${runs++}`
  const latencies: number[] = []
  let next = 0
  const before = readCpu(fleet)
  const begun = performance.now()
  let lastKnownAt = begun
  const lane = async () => {
    while (next < tasks) {
      const taskId = `${prefix}-${next++}`
      const submittedAt = performance.now()
      const task = request(taskId)
      await submissions.push(task)
      const { knownAt } = await ends.of(taskId)
      latencies.push(knownAt - submittedAt)
      lastKnownAt = Math.max(lastKnownAt, knownAt)
    }
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, tasks) }, lane))
  const cpu = cpuBetween(before, readCpu(fleet))
  return { seconds: (lastKnownAt - begun) / 1_000, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99), cpu }
}

/** The fleet's processes are children of this one, hence not a tree here: its own share is what it used itself. */
function readCpu(fleet: BenchFleet): Record<string, number> {
  const { user, system } = process.cpuUsage()
  return { ...cpuSecondsOf(fleet.pids), [loadGenerator]: (user + system) / 1e6 }
}
