/** W7: what a subtask costs when there are several coordinators and workers. */
import { withEndsByDatabase } from '../ends.js'
import { type Figure, figure } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { w1 } from '../graphs.js'
import { cpuPer1000, type MassVariant, runMass, totalCpuPer1000 } from '../mass.js'
import { median } from '../measure.js'
import { ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

const inFlight = 400
/** Before, so that each of two processes has had as much as one. */
const warmUpRuns = 30

export const sizes: Workload = async context => {
  const one: MassVariant[] = []
  const two: MassVariant[] = []
  for (let n = 1; n <= context.rounds; n++) {
    one.push(await measure(1, context))
    two.push(await measure(2, context))
    const [small, large] = [one, two].map(each => each.at(-1)).map(each => (each ? cost(each) : Number.NaN))
    context.say(`W7, round ${n}/${context.rounds}: ${small?.toFixed(3)} s per 1,000 with 1+1, ${large?.toFixed(3)} s with 2+2`)
  }
  return [
    {
      title: 'W7: one coordinator and worker, two coordinators and workers',
      how: [
        `W1 at ${inFlight} in flight, submissions to the coordinators in turn; a fleet of its own for each size in each round, after ${warmUpRuns} runs.`,
        'Cost: CPU seconds of coordinators, workers and servers per 1,000 subtasks; the sender of the load is left out.',
      ],
      figures: [
        figure('W7, cost per subtask, 2+2 : 1+1', '×', ratiosOf(two.map(cost), one.map(cost)), { atMost: 1.15 }),
        ...figuresOf('1+1', one),
        ...figuresOf('2+2', two),
      ],
    },
  ]
}

const cost = (variant: MassVariant) => totalCpuPer1000(variant, { withLoad: false })

function measure(size: number, context: BenchContext): Promise<MassVariant> {
  return withBenchFleet({ coordinators: size, workers: size, context }, fleet =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      await runMass({ target: fleet, mass: w1, inFlight, ends, runs: warmUpRuns })
      return runMass({ target: fleet, mass: w1, inFlight, ends })
    }),
  )
}

function figuresOf(label: string, variants: readonly MassVariant[]): Figure[] {
  const cpus = variants.map(cpuPer1000)
  return [
    figure(`${label}, cost`, 's/1,000', variants.map(cost)),
    figure(
      `${label}, throughput`,
      'subtasks/s',
      variants.map(({ rates }) => median(rates)),
    ),
    ...Object.keys(cpus[0] ?? {}).map(name =>
      figure(
        `- CPU, ${name}`,
        's/1,000',
        cpus.map(cpu => cpu[name] ?? Number.NaN),
      ),
    ),
  ]
}
