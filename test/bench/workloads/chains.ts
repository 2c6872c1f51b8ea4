/** Throughput of a fleet: many short tasks, each a chain of three subtasks that do nothing, so that all that is left is Baton. */
import { createClient } from '@baton/client'
import { endsByDatabase, endsByWait } from '../ends.js'
import { type Figure, figure, peak, type Section } from '../figures.js'
import { type BenchFleet, startBenchFleet } from '../fleet.js'
import { chainOf } from '../graphs.js'
import { type LoadRun, loadGenerator, runLoad } from '../load.js'
import type { BenchContext, Workload } from '../workload.js'

const targetPerSecond = 2_000
const tasks = 1_000
const steps = 3
const repeats = 3
const warmUpTasks = 500
const variants = [
  { ends: 'database', inFlight: 100 },
  { ends: 'database', inFlight: 400 },
  { ends: 'wait', inFlight: 100 },
  { ends: 'wait', inFlight: 400 },
] as const

type Variant = (typeof variants)[number]

interface Measured {
  readonly variant: Variant
  readonly runs: LoadRun[]
}

export const chains: Workload = async context => {
  const fleet = await startBenchFleet({ workers: 1, context })
  try {
    return await measure(fleet, context)
  } finally {
    await fleet.stop()
  }
}

const chain = (taskId: string) => chainOf(taskId, steps)

async function measure(fleet: BenchFleet, { say, signal }: BenchContext): Promise<Section[]> {
  const database = await endsByDatabase(fleet.databaseUrl, signal)
  try {
    const ends = { database, wait: endsByWait(createClient({ url: fleet.urls[0] }), signal) }
    say(`chains: warming up with ${warmUpTasks} tasks each way`)
    for (const each of Object.values(ends)) await runLoad(fleet, { tasks: warmUpTasks, inFlight: 100, request: chain, ends: each })
    const measured: Measured[] = variants.map(variant => ({ variant, runs: [] }))
    const memory: Record<string, number>[] = []
    // Round by round, so that a disturbance of the machine meets all variants alike.
    for (let n = 1; n <= repeats; n++)
      for (const { variant, runs } of measured) {
        const run = await runLoad(fleet, { tasks, inFlight: variant.inFlight, request: chain, ends: ends[variant.ends] })
        runs.push(run)
        memory.push(fleet.megabytes())
        say(`chains ${n}/${repeats}, ends by ${variant.ends}, ${variant.inFlight} in flight: ${perSecond(run).toFixed(0)} subtasks/s`)
      }
    return [throughput(measured, memory)]
  } finally {
    await database.stop()
  }
}

function throughput(measured: readonly Measured[], memory: readonly Record<string, number>[]): Section {
  const best = measured.filter(({ variant }) => variant.ends === 'database').reduce((a, b) => (rate(b).value > rate(a).value ? b : a))
  return {
    title: `Fleet: ${tasks} tasks of ${steps} chained no-op subtasks`,
    how: [
      'One coordinator process, one worker process, private Postgres (fsync on), Redis (append-only file) and nats-server; all',
      'of them and the load generator share this machine. Tasks go in through POST /tasks/batch with `execute: true`, so',
      'many in flight. Time runs from the first submission until the last end is known to the client.',
      'Ends known by `database`: one query of Postgres every 10 ms for all open tasks, past the coordinator. By `wait`:',
      'client.tasks.wait for each task, what a producer does; its requests and its pauses of 100 ms are part of the figures.',
      `CPU: seconds per 1,000 subtasks, user and system, of the ${best.variant.inFlight} in flight whose ends are known by database.`,
      'Memory: of Node processes the peak (VmHWM), of servers the largest proportional size (PSS) that followed a run.',
    ],
    figures: [
      figure('throughput, the better of these', 'subtasks/s', best.runs.map(perSecond), { atLeast: targetPerSecond }),
      ...measured.flatMap(m => [rate(m), ...latency(m), totalCpu(m)]),
      ...cpuByProcess(best.runs),
      ...Object.keys(memory[0] ?? {}).map(name =>
        peak(
          `memory, ${name}`,
          'MB',
          memory.map(each => each[name] ?? Number.NaN),
        ),
      ),
    ],
  }
}

const label = ({ ends, inFlight }: Variant) => `${inFlight} in flight, ends by ${ends}`
const perSecond = (run: LoadRun) => (tasks * steps) / run.seconds
const per1000 = (cpuSeconds: number) => (cpuSeconds * 1_000) / (tasks * steps)
const rate = ({ variant, runs }: Measured): Figure => figure(label(variant), 'subtasks/s', runs.map(perSecond))

const latency = ({ runs }: Measured): Figure[] => [
  figure(
    '- task latency p50',
    'ms',
    runs.map(run => run.p50Ms),
  ),
  figure(
    '- task latency p99',
    'ms',
    runs.map(run => run.p99Ms),
  ),
]

function totalCpu({ runs }: Measured): Figure {
  const total = ({ cpu }: LoadRun) =>
    Object.entries(cpu).reduce((sum, [name, seconds]) => (name === loadGenerator ? sum : sum + seconds), 0)
  return figure(
    '- CPU, fleet and servers',
    's/1,000',
    runs.map(run => per1000(total(run))),
  )
}

function cpuByProcess(runs: readonly LoadRun[]): Figure[] {
  return Object.keys(runs[0]?.cpu ?? {}).map(name =>
    figure(
      `CPU, ${name}`,
      's/1,000',
      runs.map(run => per1000(run.cpu[name] ?? Number.NaN)),
    ),
  )
}
