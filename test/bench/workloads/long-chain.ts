/** W5: a chain of 1,000, in which nothing is ever beside anything else. */
import { createClient } from '@baton/client'
import { figure } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { chainOf } from '../graphs.js'
import type { Workload } from '../workload.js'

const steps = 1_000

export const longChain: Workload = context =>
  withBenchFleet({ workers: 1, context }, async fleet => {
    const { rounds, signal, say } = context
    const client = createClient({ url: fleet.urls[0] })
    const run = async (taskId: string): Promise<number> => {
      const begun = performance.now()
      await client.tasks.submit(chainOf(taskId, steps))
      const { status } = await client.tasks.wait(taskId, { signal })
      if (status !== 'completed') throw new Error(`task ${taskId} is ${status}`)
      return (performance.now() - begun) / steps
    }
    await run('w5-warm-up')
    const msPerStep: number[] = []
    for (let n = 1; n <= rounds; n++) {
      msPerStep.push(await run(`w5-${n}`))
      say(`W5, round ${n}/${rounds}: ${msPerStep.at(-1)?.toFixed(2)} ms per step`)
    }
    return [
      {
        title: `W5: a chain of ${steps}`,
        how: [
          'From before client.tasks.submit until client.tasks.wait has returned, by the number of steps; one such chain before as warm-up.',
        ],
        figures: [figure('W5, time per step', 'ms', msPerStep, { atMost: 4 })],
      },
    ]
  })
