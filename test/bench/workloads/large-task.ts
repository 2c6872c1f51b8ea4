/** W4: one task of 100,000 subtasks, none of which waits for another. */
import { createClient } from '@baton/client'
import { withEndsByDatabase } from '../ends.js'
import { figure, peak } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { flatOf, w2 } from '../graphs.js'
import { inFlights, type MassVariant, runMass } from '../mass.js'
import { median, peakBytes } from '../measure.js'
import { bestVariant, ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

const subtasks = 100_000

interface Measured {
  readonly w2Rate: number
  readonly rate: number
  readonly takenInSeconds: number
  readonly megabytes: number
}

export const largeTask: Workload = async context => {
  const { rounds, say } = context
  const done: Measured[] = []
  for (let n = 1; n <= rounds; n++) {
    const each = await measure(context)
    say(
      `W4, round ${n}/${rounds}: ${each.rate.toFixed(0)} subtasks/s beside W2's ${each.w2Rate.toFixed(0)}, ${each.megabytes.toFixed(0)} MB`,
    )
    done.push(each)
  }
  const rates = done.map(({ rate }) => rate)
  const w2Rates = done.map(({ w2Rate }) => w2Rate)
  return [
    {
      title: `W4: one task of ${subtasks} subtasks beside each other`,
      how: [
        'W2 first, at each number in flight, on the same fleet; its better median is what the rate is compared with. Then one POST',
        '/orchestrate. Time runs from its sending until Postgres says that the task is completed. The peak is of the whole round.',
      ],
      figures: [
        figure("W4's rate : W2's", '×', ratiosOf(rates, w2Rates), { atLeast: 0.8 }),
        peak(
          "W4, coordinator's peak memory",
          'MB',
          done.map(({ megabytes }) => megabytes),
          { atMost: 400 },
        ),
        figure('W4, taking in included', 'subtasks/s', rates),
        figure(
          '- until the task was taken in',
          's',
          done.map(({ takenInSeconds }) => takenInSeconds),
        ),
        figure('W2 on the same fleet', 'subtasks/s', w2Rates),
      ],
    },
  ]
}

function measure(context: BenchContext): Promise<Measured> {
  return withBenchFleet({ workers: 1, context }, fleet =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      const variants: MassVariant[] = []
      for (const inFlight of inFlights) variants.push(await runMass({ target: fleet, mass: w2, inFlight, ends }))
      const begun = performance.now()
      await createClient({ url: fleet.urls[0] }).tasks.submit(flatOf('w4', subtasks))
      const takenIn = performance.now()
      const { knownAt } = await ends.of('w4')
      return {
        w2Rate: median(bestVariant(variants).rates),
        rate: (subtasks * 1_000) / (knownAt - begun),
        takenInSeconds: (takenIn - begun) / 1_000,
        megabytes: peakBytes(fleet.pids.coordinator ?? 0) / 1e6,
      }
    }),
  )
}
