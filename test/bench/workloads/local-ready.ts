/** How soon local mode takes requests, and what it holds in memory by then. */
import { join } from 'node:path'
import { startBatonUp } from '../baton-process.js'
import { figure, peak, type Section } from '../figures.js'
import { withLocalPlace } from '../local-place.js'
import { peakBytes } from '../measure.js'
import type { Workload } from '../workload.js'

const targetSeconds = 5
const repeats = 3

interface Start {
  readonly seconds: number
  readonly megabytes: number
}

export const localReady: Workload = context =>
  withLocalPlace(async ({ dir, config }) => {
    const start = async (data: string): Promise<Start> => {
      const baton = await startBatonUp({ data, config, cwd: dir, signal: context.signal })
      const megabytes = peakBytes(baton.pid) / 1e6
      await baton.stop()
      return { seconds: baton.readyMs / 1_000, megabytes }
    }
    const cold: Start[] = []
    const warm: Start[] = []
    const memory: Start[] = []
    for (let n = 1; n <= repeats; n++) {
      const data = join(dir, `data-${n}`)
      cold.push(await start(data))
      warm.push(await start(data))
      memory.push(await start('memory'))
      context.say(`local mode ready ${n}/${repeats}: ${[cold, warm, memory].map(kind => kind.at(-1)?.seconds.toFixed(2)).join(', ')} s`)
    }
    const figures = (name: string, starts: readonly Start[]): Section['figures'] => [
      figure(
        `ready, ${name}`,
        's',
        starts.map(s => s.seconds),
        { below: targetSeconds },
      ),
      peak(
        `peak memory by then, ${name}`,
        'MB',
        starts.map(s => s.megabytes),
      ),
    ]
    return [
      {
        title: 'Local mode ready',
        how: [
          '`baton up` with one module agent, from the spawn of its process until it said that it is ready and /readyz agreed.',
          'Cold: a data directory that does not exist. Warm: the same one once more. Peak memory: VmHWM of the process.',
        ],
        figures: [...figures('cold data directory', cold), ...figures('warm data directory', warm), ...figures('in memory', memory)],
      },
    ]
  })
