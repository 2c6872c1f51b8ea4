/** W8: what a large fleet costs a coordinator while it has nothing to do. */
import { setTimeout as delay } from 'node:timers/promises'
import { figure } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { startIdleWorkers } from '../idle-workers.js'
import { cpuBetween, cpuSecondsOf } from '../measure.js'
import type { Workload } from '../workload.js'

const workers = 1_000
const settleMs = 5_000
const measureMs = 20_000

interface Measured {
  readonly percents: Readonly<Record<string, number>>
  readonly perSecond: number
}

export const heartbeats: Workload = context =>
  withBenchFleet({ workers: 0, context }, async fleet => {
    const { rounds, signal, say } = context
    const idle = await startIdleWorkers({ natsUrl: fleet.natsUrl, count: workers })
    const done: Measured[] = []
    try {
      await delay(settleMs, undefined, { signal })
      for (let n = 1; n <= rounds; n++) {
        const [before, begun, answered] = [cpuSecondsOf(fleet.pids), performance.now(), idle.answered()]
        await delay(measureMs, undefined, { signal })
        const seconds = (performance.now() - begun) / 1_000
        const used = Object.entries(cpuBetween(before, cpuSecondsOf(fleet.pids)))
        const percents = Object.fromEntries(used.map(([name, cpu]) => [name, (100 * cpu) / seconds]))
        done.push({ percents, perSecond: (idle.answered() - answered) / seconds })
        say(
          `W8, round ${n}/${rounds}: ${percents.coordinator?.toFixed(1)} % of a core for ${done.at(-1)?.perSecond.toFixed(0)} heartbeats/s`,
        )
      }
    } finally {
      await idle.stop()
    }
    const percentsOf = (name: string) => done.map(({ percents }) => percents[name] ?? Number.NaN)
    const others = Object.keys(done[0]?.percents ?? {}).filter(name => name !== 'coordinator')
    return [
      {
        title: `W8: ${workers} idle workers`,
        how: [
          `${workers} simulated workers register and send their heartbeats over NATS, every 2 s each, evenly spread; no other load. CPU time`,
          `(user and system) over ${measureMs / 1_000} s, in percent of one core. It fails when a heartbeat is not answered in time.`,
        ],
        figures: [
          figure('W8, coordinator', '% of a core', percentsOf('coordinator'), { atMost: 5 }),
          ...others.map(name => figure(`- ${name}`, '% of a core', percentsOf(name))),
          figure(
            'heartbeats answered',
            '1/s',
            done.map(({ perSecond }) => perSecond),
          ),
        ],
      },
    ]
  })
