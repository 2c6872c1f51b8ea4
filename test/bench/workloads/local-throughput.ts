/** W1 in local mode: everything of Baton's in one process, in which nothing else runs. */
import { fileURLToPath } from 'node:url'
import { createClient } from '@baton/client'
import { startBaton } from '../baton-process.js'
import { endsByWait } from '../ends.js'
import { figure, peak } from '../figures.js'
import { w1 } from '../graphs.js'
import { withLocalPlace } from '../local-place.js'
import { inFlights, type MassVariant, runMass } from '../mass.js'
import { median, peakBytes } from '../measure.js'
import { bestVariant } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

const program = fileURLToPath(new URL('../local-process.js', import.meta.url))

const runs = 2

interface Measured {
  readonly best: MassVariant
  readonly megabytes: number
}

export const localThroughput: Workload = async context => {
  const memory: Measured[] = []
  const directory: Measured[] = []
  for (let n = 1; n <= context.rounds; n++) {
    memory.push(await measure('memory', inFlights, context))
    directory.push(await withLocalPlace(({ dir }) => measure(`${dir}/data`, [100], context)))
    context.say(
      `local W1, round ${n}/${context.rounds}: ${[memory, directory].map(each => rateOf(each.at(-1)).toFixed(0)).join(' and ')} subtasks/s`,
    )
  }
  const figures = (what: string, all: readonly Measured[], targets: boolean) => [
    figure(`local W1, ${what}`, 'subtasks/s', all.map(rateOf), targets ? { atLeast: 1_500 } : undefined),
    peak(
      `local W1, ${what}, peak memory of the process`,
      'MB',
      all.map(({ megabytes }) => megabytes),
      targets ? { atMost: 900 } : undefined,
    ),
    figure(
      '- task latency p50',
      'ms',
      all.map(({ best }) => median(best.runs.map(({ p50Ms }) => p50Ms))),
    ),
  ]
  return [
    {
      title: 'Local mode: W1',
      how: [
        '`startLocal` with the no-op agent in a process of its own, in memory (its default) and on a data directory; the load comes over',
        `HTTP from another process, which learns the ends by client.tasks.wait. In memory the better of ${inFlights.join(' and ')} in flight, in a directory 100; ${runs} runs each. Peak: VmHWM.`,
      ],
      figures: [...figures('in memory', memory, true), ...figures('data directory', directory, false)],
    },
  ]
}

const rateOf = (measured: Measured | undefined) => median(measured?.best.rates ?? [])

async function measure(data: string, eachInFlight: readonly number[], { signal }: BenchContext): Promise<Measured> {
  const local = await startBaton({ program, args: [data], cwd: process.cwd(), signal })
  try {
    const target = { urls: [local.url], pids: { 'local mode': local.pid } }
    const ends = endsByWait(createClient({ url: local.url }), signal)
    const variants: MassVariant[] = []
    for (const inFlight of eachInFlight) variants.push(await runMass({ target, mass: w1, inFlight, ends, runs }))
    return { best: bestVariant(variants), megabytes: peakBytes(local.pid) / 1e6 }
  } finally {
    await local.stop()
  }
}
