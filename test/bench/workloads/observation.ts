/** What it costs to be watched over: W1 on a fleet with log, scrapes and traces, beside one without. */
import { withEndsByDatabase } from '../ends.js'
import { figure } from '../figures.js'
import { type BenchFleet, withBenchFleet } from '../fleet.js'
import { w1 } from '../graphs.js'
import { cpuPer1000, type MassVariant, runMass, totalCpuPer1000 } from '../mass.js'
import { median } from '../measure.js'
import { ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

const inFlight = 400
/** Turns of a round: short ones, so that a slow moment of the machine meets both sides. */
const turns = 4
const runsOfTurn = 2

interface Side {
  readonly rounds: MassVariant[]
  run(): Promise<MassVariant>
}

/** Two fleets stand beside each other, so that they can take turns; the one that is not measured has nothing to do. */
export const observation: Workload = context =>
  withSide({ ...context, observed: false }, plain =>
    withSide({ ...context, observed: true }, async watched => {
      const { rounds, say } = context
      for (let n = 1; n <= rounds; n++) {
        const done = { plain: [] as MassVariant[], watched: [] as MassVariant[] }
        for (let turn = 0; turn < turns; turn++) {
          // Who goes first changes: the second finds warmer caches, or a machine that has just been busy.
          const order = turn % 2 === 0 ? (['plain', 'watched'] as const) : (['watched', 'plain'] as const)
          for (const name of order) done[name].push(await (name === 'plain' ? plain : watched).run())
        }
        plain.rounds.push(together(done.plain))
        watched.rounds.push(together(done.watched))
        const [with_, without] = [cpuOf(watched.rounds.at(-1)), cpuOf(plain.rounds.at(-1))]
        say(`observation, round ${n}/${rounds}: ${with_.toFixed(3)} s of CPU per 1,000 watched over, ${without.toFixed(3)} without`)
      }
      const processes = Object.keys(plain.rounds[0] ? cpuPer1000(plain.rounds[0]) : {})
      const rates = ({ rounds: each }: Side) => each.map(variant => median(variant.rates))
      return [
        {
          title: 'Observation: W1 with log, metrics and traces',
          how: [
            `W1 with ${inFlight} in flight, by turns on two fleets. One logs at info into a file, is scraped every 5 s and traces every tenth task,`,
            'sent by OTLP; the other does none of this. What is counted for /metrics is counted on both: it cannot be switched off. The ratio',
            'is of CPU seconds per 1,000 subtasks of coordinator, worker and servers, which a busy machine blurs less than throughput.',
          ],
          figures: [
            figure('CPU, watched over : not', '×', ratiosOf(watched.rounds.map(cpuOf), plain.rounds.map(cpuOf)), { atMost: 1.1 }),
            figure('subtasks/s, watched over : not', '×', ratiosOf(rates(watched), rates(plain))),
            ...processes.map(name =>
              figure(`CPU of ${name}, watched over : not`, '×', ratiosOf(cpuOfProcess(watched, name), cpuOfProcess(plain, name))),
            ),
            figure('CPU, watched over', 's/1,000', watched.rounds.map(cpuOf)),
            figure('CPU, not', 's/1,000', plain.rounds.map(cpuOf)),
          ],
        },
      ]
    }),
  )

const cpuOf = (variant: MassVariant | undefined) => (variant ? totalCpuPer1000(variant, { withLoad: false }) : Number.NaN)
const cpuOfProcess = ({ rounds }: Side, name: string) => rounds.map(variant => cpuPer1000(variant)[name] ?? Number.NaN)

function together(turnsOfRound: readonly MassVariant[]): MassVariant {
  const runs = turnsOfRound.flatMap(turn => turn.runs)
  return { inFlight, mass: w1, runs, rates: turnsOfRound.flatMap(turn => turn.rates) }
}

function withSide<T>(context: BenchContext, work: (side: Side) => Promise<T>): Promise<T> {
  return withBenchFleet({ workers: 1, context }, (fleet: BenchFleet) =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      const run = (runs: number) => runMass({ target: fleet, mass: w1, inFlight, ends, runs })
      await run(2) // statements are planned and functions compiled from here on
      return work({ rounds: [], run: () => run(runsOfTurn) })
    }),
  )
}
