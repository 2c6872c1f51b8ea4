/** Many equal tasks through a fleet, as peers/common.mjs sends them through a peer: the same counts, warm-up and runs. */
import type { Ends } from './ends.js'
import type { Mass } from './graphs.js'
import { type LoadRun, type LoadTarget, loadGenerator, runLoad } from './load.js'
import { median } from './measure.js'
import type { Variant } from './ratios.js'

export const inFlights = [100, 400] as const
export const runsPerRound = 15
const warmUp = { tasks: 30, inFlight: 20 }

/** All runs of one round with so many tasks in flight. */
export interface MassVariant extends Variant {
  readonly inFlight: number
  readonly mass: Mass
  readonly runs: readonly LoadRun[]
}

interface MassOptions {
  readonly target: LoadTarget
  readonly mass: Mass
  readonly inFlight: number
  readonly ends: Ends
  /** Default: as many as a peer's. */
  readonly runs?: number
}

export async function runMass({ target, mass, inFlight, ends, runs = runsPerRound }: MassOptions): Promise<MassVariant> {
  await runLoad(target, { ...warmUp, request: mass.request, ends })
  const done: LoadRun[] = []
  while (done.length < runs) done.push(await runLoad(target, { tasks: mass.tasks, inFlight, request: mass.request, ends }))
  return { inFlight, mass, runs: done, rates: done.map(run => subtasksOf(mass) / run.seconds) }
}

/** Of one run. */
export const subtasksOf = ({ tasks, subtasks }: Mass): number => tasks * subtasks

/** Subtasks that `runMass` sends in all. */
export const sentBy = (mass: Mass, runs: number): number => (warmUp.tasks + runs * mass.tasks) * mass.subtasks

/** Seconds of CPU per 1,000 subtasks, of each process: the median of the runs. */
export function cpuPer1000({ mass, runs }: MassVariant): Record<string, number> {
  const names = Object.keys(runs[0]?.cpu ?? {})
  const of = (name: string) => median(runs.map(({ cpu }) => ((cpu[name] ?? Number.NaN) * 1_000) / subtasksOf(mass)))
  return Object.fromEntries(names.map(name => [name, of(name)]))
}

/** The same of all processes together, with or without the one that sends the load. */
export function totalCpuPer1000({ mass, runs }: MassVariant, { withLoad }: { withLoad: boolean }): number {
  const total = ({ cpu }: LoadRun) =>
    Object.entries(cpu).reduce((sum, [name, seconds]) => (name === loadGenerator && !withLoad ? sum : sum + seconds), 0)
  return median(runs.map(run => (total(run) * 1_000) / subtasksOf(mass)))
}
