/** W9: whether a large history slows down what runs. */
import { createClient } from '@baton/client'
import { type Ends, withEndsByDatabase } from '../ends.js'
import { type Figure, figure } from '../figures.js'
import { type BenchFleet, withBenchFleet } from '../fleet.js'
import { chainOf, fanOf, w1 } from '../graphs.js'
import { fillHistory } from '../history.js'
import { inFlights, type MassVariant, runMass, totalCpuPer1000 } from '../mass.js'
import { median } from '../measure.js'
import { bestVariant, ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

interface Side {
  readonly fleet: BenchFleet
  readonly ends: Ends
}

/** Two fleets stand beside each other, so that they can take turns; the one that is not measured has nothing to do. */
export const history: Workload = context =>
  withSide(context, empty =>
    withSide(context, async full => {
      const { rounds, say } = context
      const added = await fill(full, context)
      const done = { empty: [] as MassVariant[], full: [] as MassVariant[] }
      for (let n = 1; n <= rounds; n++) {
        done.empty.push(await best(empty))
        done.full.push(await best(full))
        say(
          `W9, round ${n}/${rounds}: ${rateOf(done.full.at(-1)).toFixed(0)} subtasks/s, without history ${rateOf(done.empty.at(-1)).toFixed(0)}`,
        )
      }
      const figures = (label: string, variants: readonly MassVariant[]): Figure[] => [
        figure(label, 'subtasks/s', variants.map(rateOf)),
        figure(
          '- CPU, fleet and servers',
          's/1,000',
          variants.map(variant => totalCpuPer1000(variant, { withLoad: false })),
        ),
      ]
      return [
        {
          title: `W9: W1 with ${added} finished subtasks in the tables`,
          how: [
            'Half of the history are chains of 3, half are fans of 20 with a join: rows that Baton wrote for one of each, multiplied by',
            'SQL in every table, then VACUUM ANALYZE and a checkpoint. A second fleet has none but what its own runs leave. W1 runs',
            `on both in turn, the better of ${inFlights.join(' and ')} in flight; the other fleet is idle meanwhile. No process is restarted in between.`,
          ],
          figures: [
            figure('W9, W1 with history : without', '×', ratiosOf(done.full.map(rateOf), done.empty.map(rateOf)), { atLeast: 0.9 }),
            ...figures('with history', done.full),
            ...figures('without history', done.empty),
          ],
        },
      ]
    }),
  )

const rateOf = (variant: MassVariant | undefined) => median(variant?.rates ?? [])

function withSide<T>(context: BenchContext, work: (side: Side) => Promise<T>): Promise<T> {
  return withBenchFleet({ workers: 1, context }, fleet =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      await runMass({ target: fleet, mass: w1, inFlight: 100, ends, runs: 1 }) // statements are planned from here on
      return work({ fleet, ends })
    }),
  )
}

async function fill({ fleet, ends }: Side, { history: subtasks, say, signal }: BenchContext): Promise<number> {
  const client = createClient({ url: fleet.urls[0] })
  const models = [chainOf('w9-chain', 3), fanOf('w9-fan', 20)]
  for (const model of models) {
    await client.tasks.submit(model)
    await ends.of(model.task_id)
  }
  const kinds = models.map(({ task_id }) => ({ taskId: task_id, subtasks: subtasks / models.length }))
  return fillHistory({ databaseUrl: fleet.databaseUrl, kinds, say, signal })
}

async function best({ fleet, ends }: Side): Promise<MassVariant> {
  const variants: MassVariant[] = []
  for (const inFlight of inFlights) variants.push(await runMass({ target: fleet, mass: w1, inFlight, ends }))
  return bestVariant(variants)
}
