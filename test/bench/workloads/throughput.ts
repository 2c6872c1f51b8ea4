/** W1 and W2: how much goes through a fleet, beside BullMQ's FlowProducer on the same graphs. */
import { withEndsByDatabase } from '../ends.js'
import { type Figure, figure, peak, type Section } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { type FlowRound, type FlowVariant, flowThroughput } from '../flow-producer.js'
import { type Mass, w1, w2 } from '../graphs.js'
import { loadGenerator } from '../load.js'
import { cpuPer1000, inFlights, type MassVariant, runMass, runsPerRound, sentBy, totalCpuPer1000 } from '../mass.js'
import { median } from '../measure.js'
import { othersSince } from '../others.js'
import { queueCountsSince } from '../queue-counts.js'
import { bestVariant, ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

const masses = [w1, w2] as const
const targets = {
  W1: { rate: { atLeast: 1.2 }, floor: { atLeast: 1 } },
  W2: { rate: { atLeast: 1 }, floor: { atLeast: 0.7 } },
  cpu: { goal: { atMost: 1.1 }, floor: { atMost: 1.4 } },
} as const

export interface BatonRound {
  readonly variants: readonly MassVariant[]
  readonly megabytes: Readonly<Record<string, number>>
  /** Subtasks that were sent, and jobs that BullMQ says went through. */
  readonly subtasks: number
  readonly jobs: number
}

interface Round {
  readonly baton: BatonRound
  readonly flow: FlowRound
  /** Cores that were used by others while each side was measured. */
  readonly others: { readonly baton: number; readonly flow: number }
}

export const throughput: Workload = async context => {
  const { rounds, signal, say } = context
  const done: Round[] = []
  for (let n = 1; n <= rounds; n++) {
    const besideBaton = othersSince()
    const baton = await batonRound(context)
    const others = { baton: besideBaton(), flow: Number.NaN }
    for (const each of baton.variants) say(`${lineOf(each.mass.name, each)}, Baton, round ${n}/${rounds}`)
    // By now nothing of Baton's runs.
    const besideFlow = othersSince()
    const flow = await flowThroughput({ inFlights, runs: runsPerRound, signal })
    others.flow = besideFlow()
    for (const each of flow.variants) say(`${lineOf(each.workload, each)}, FlowProducer, round ${n}/${rounds}`)
    done.push({ baton, flow, others })
  }
  return [...masses.map(mass => sectionOf(mass, done)), besides(done)]
}

const lineOf = (workload: string, { inFlight, rates }: { inFlight: number; rates: readonly number[] }) =>
  `${workload}, ${inFlight} in flight: ${median(rates).toFixed(0)} subtasks/s`

/** A fleet of its own with both workloads at each number in flight, and stopped again with all its servers. */
export async function batonRound(context: BenchContext): Promise<BatonRound> {
  return withBenchFleet({ workers: 1, context }, fleet =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      const jobsSince = await queueCountsSince(fleet.redisUrl)
      const variants: MassVariant[] = []
      for (const inFlight of inFlights) for (const mass of masses) variants.push(await runMass({ target: fleet, mass, inFlight, ends }))
      const subtasks = inFlights.length * masses.reduce((sum, mass) => sum + sentBy(mass, runsPerRound), 0)
      return { variants, megabytes: fleet.megabytes(), subtasks, jobs: await jobsSince() }
    }),
  )
}

interface BestOfRound {
  readonly baton: MassVariant
  readonly flow: FlowVariant
}

function sectionOf(mass: Mass, rounds: readonly Round[]): Section {
  const { name } = mass
  const best = rounds.map(
    ({ baton, flow }): BestOfRound => ({
      baton: bestVariant(baton.variants.filter(each => each.mass === mass)),
      flow: bestVariant(flow.variants.filter(each => each.workload === name)),
    }),
  )
  const flowCpu = best.map(({ flow }) => flow.cpuPer1000)
  const batonCpu = (withLoad: boolean) => best.map(({ baton }) => totalCpuPer1000(baton, { withLoad }))
  const ratio = ratiosOf(
    best.map(({ baton }) => median(baton.rates)),
    best.map(({ flow }) => median(flow.rates)),
  )
  return {
    title: `${name}: ${mass.says}, beside FlowProducer`,
    how: [
      `One coordinator, one worker, private Redis (append-only, everysec), Postgres (fsync, synchronous_commit) and nats-server. In each`,
      `round ${runsPerRound} runs at ${inFlights.join(' and ')} in flight through POST /tasks/batch; then everything of Baton's is stopped, and FlowProducer`,
      'does the same on a Redis of its own. A round counts with its median run of the better number in flight, on both sides.',
      "Baton's ends are read from Postgres every 10 ms. CPU holds servers and, as FlowProducer's does, the sender of the load.",
    ],
    figures: [
      figure(`${name}, Baton : FlowProducer`, '×', ratio, targets[name].rate, targets[name].floor),
      figure(`${name}, CPU per subtask, Baton : FlowProducer`, '×', ratiosOf(batonCpu(true), flowCpu), targets.cpu.goal, targets.cpu.floor),
      figure('- the same without the sender of the load', '×', ratiosOf(batonCpu(false), flowCpu)),
      ...inFlights.flatMap(inFlight => variantFigures(mass, inFlight, rounds)),
      ...cpuFigures(best),
    ],
  }
}

function variantFigures(mass: Mass, inFlight: number, rounds: readonly Round[]): Figure[] {
  const baton = rounds.flatMap(round => round.baton.variants.filter(each => each.mass === mass && each.inFlight === inFlight))
  const flow = rounds.flatMap(round => round.flow.variants.filter(each => each.workload === mass.name && each.inFlight === inFlight))
  const label = (who: string) => `${who}, ${inFlight} in flight`
  return [
    figure(
      label('Baton'),
      'subtasks/s',
      baton.map(({ rates }) => median(rates)),
    ),
    figure(
      '- task latency p50',
      'ms',
      baton.map(({ runs }) => median(runs.map(run => run.p50Ms))),
    ),
    figure(
      '- task latency p99',
      'ms',
      baton.map(({ runs }) => median(runs.map(run => run.p99Ms))),
    ),
    figure(
      label('FlowProducer'),
      'subtasks/s',
      flow.map(({ rates }) => median(rates)),
    ),
  ]
}

/** Of the better number in flight. */
function cpuFigures(best: readonly BestOfRound[]): Figure[] {
  const perProcess = best.map(({ baton }) => cpuPer1000(baton))
  return [
    ...Object.keys(perProcess[0] ?? {}).map(name =>
      figure(
        name === loadGenerator ? 'CPU, sender of the load' : `CPU, ${name}`,
        's/1,000',
        perProcess.map(cpu => cpu[name] ?? Number.NaN),
      ),
    ),
    figure(
      'CPU, FlowProducer with its Redis',
      's/1,000',
      best.map(({ flow }) => flow.cpuPer1000),
    ),
  ]
}

function besides(rounds: readonly Round[]): Section {
  const peaks = (who: string, each: readonly Readonly<Record<string, number>>[]) =>
    Object.keys(each[0] ?? {}).map(name =>
      peak(
        `memory, ${who}${name}`,
        'MB',
        each.map(megabytes => megabytes[name] ?? Number.NaN),
      ),
    )
  return {
    title: 'W1 and W2: memory, what went through BullMQ, and what disturbed',
    how: [
      'Memory at the end of a round: of Node processes the peak (VmHWM), of servers the proportional size (PSS).',
      "Jobs: BullMQ's own counter of the jobs added to Baton's queues, less those that are not worked off, read from Redis.",
    ],
    figures: [
      figure(
        'subtasks sent, warm-up included',
        'per round',
        rounds.map(({ baton }) => baton.subtasks),
      ),
      figure(
        'jobs that went through BullMQ',
        'per round',
        rounds.map(({ baton }) => baton.jobs),
      ),
      figure(
        'jobs per subtask',
        '',
        rounds.map(({ baton }) => baton.jobs / baton.subtasks),
        { atLeast: 1 },
      ),
      figure(
        "others' CPU while Baton ran",
        'cores',
        rounds.map(({ others }) => others.baton),
      ),
      figure(
        "others' CPU while FlowProducer ran",
        'cores',
        rounds.map(({ others }) => others.flow),
      ),
      ...peaks(
        '',
        rounds.map(({ baton }) => baton.megabytes),
      ),
      ...peaks(
        'FlowProducer: ',
        rounds.map(({ flow }) => flow.megabytes),
      ),
    ],
  }
}
