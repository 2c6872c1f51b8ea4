/** What Baton costs while nobody asks anything of it. */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startBatonUp } from '../baton-process.js'
import { figure } from '../figures.js'
import { startBenchFleet } from '../fleet.js'
import { withLocalPlace } from '../local-place.js'
import { cpuBetween, cpuSecondsOf, peakBytes } from '../measure.js'
import type { BenchContext, Workload } from '../workload.js'

const targetPercent = 2
const settleMs = 5_000
const measureMs = 20_000

export const idle: Workload = async context => {
  const local = await withLocalPlace(async ({ dir, config }) => {
    const baton = await startBatonUp({ data: join(dir, 'data'), config, cwd: dir, signal: context.signal })
    try {
      const { process } = await percentOfCore({ process: baton.pid }, 'local mode', context)
      return { process, megabytes: peakBytes(baton.pid) / 1e6 }
    } finally {
      await baton.stop()
    }
  })
  const fleet = await startBenchFleet({ workers: 1, context })
  try {
    const percents = await percentOfCore(fleet.pids, 'fleet mode', context)
    const megabytes = fleet.megabytes()
    const { coordinator = Number.NaN, worker = Number.NaN, ...servers } = percents
    return [
      {
        title: 'Idle',
        how: [
          `CPU time (user and system) over ${measureMs / 1_000} s, begun ${settleMs / 1_000} s after the start, in percent of one core.`,
          'Local mode is one process. Fleet mode is one coordinator process and one worker process; the servers stand apart.',
        ],
        figures: [
          figure('local mode', '% of a core', [local.process], { below: targetPercent }),
          figure('fleet mode, coordinator + worker', '% of a core', [coordinator + worker], { below: targetPercent }),
          figure('- coordinator', '% of a core', [coordinator]),
          figure('- worker', '% of a core', [worker]),
          ...Object.entries(servers).map(([name, percent]) => figure(`- ${name}`, '% of a core', [percent])),
          figure('peak memory, local mode', 'MB', [local.megabytes]),
          ...Object.entries(megabytes).map(([name, value]) => figure(`memory, ${name}`, 'MB', [value])),
        ],
      },
    ]
  } finally {
    await fleet.stop()
  }
}

async function percentOfCore<Name extends string>(
  pids: Readonly<Record<Name, number>>,
  what: string,
  { signal, say }: BenchContext,
): Promise<Record<Name, number>> {
  say(`${what}: idle for ${(settleMs + measureMs) / 1_000} s`)
  await delay(settleMs, undefined, { signal })
  const before = cpuSecondsOf(pids)
  const begun = performance.now()
  await delay(measureMs, undefined, { signal })
  const seconds = (performance.now() - begun) / 1_000
  const used = Object.entries<number>(cpuBetween(before, cpuSecondsOf(pids)))
  return Object.fromEntries(used.map(([name, cpu]) => [name, (100 * cpu) / seconds])) as Record<Name, number> // the same names
}
