/** W3: how soon a producer knows the end of a short task, when nothing else is to be done. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, createClient } from '@baton/client'
import { withEndsByDatabase } from '../ends.js'
import { figure, type Section } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { flowLatency, latencyWarmUpRuns } from '../flow-producer.js'
import { chainOf, w1 } from '../graphs.js'
import { runMass } from '../mass.js'
import { type Latencies, latenciesOf, ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

// As in peers/common.mjs, but for the count.
const count = 200
const dropped = 5
const settleMs = 1_500
const pauseMs = 10

export const latency: Workload = async context => {
  const { rounds, signal, say } = context
  const baton: Latencies[] = []
  const flow: Latencies[] = []
  for (let n = 1; n <= rounds; n++) {
    baton.push(await batonLatencies(context))
    const { p50Ms = Number.NaN, p99Ms = Number.NaN } = await flowLatency({ count: count + dropped, signal })
    flow.push({ p50Ms, p99Ms })
    say(`W3, round ${n}/${rounds}: Baton p50 ${baton.at(-1)?.p50Ms.toFixed(1)} ms, FlowProducer ${p50Ms.toFixed(1)} ms`)
  }
  return [sectionOf(baton, flow)]
}

/** A fleet of its own, warmed as the peer is. */
export function batonLatencies(context: BenchContext): Promise<Latencies> {
  return withBenchFleet({ workers: 1, context }, async fleet => {
    await withEndsByDatabase(fleet.databaseUrl, context.signal, ends =>
      runMass({ target: fleet, mass: w1, inFlight: 100, ends, runs: latencyWarmUpRuns }),
    )
    return chainsOneByOne(createClient({ url: fleet.urls[0] }), context.signal)
  })
}

async function chainsOneByOne(client: Client, signal: AbortSignal): Promise<Latencies> {
  await delay(settleMs, undefined, { signal })
  const latencies: number[] = []
  for (let n = 0; n < count + dropped; n++) {
    const taskId = `w3-${n}`
    const begun = performance.now()
    await client.tasks.submit(chainOf(taskId, 3))
    const { status } = await client.tasks.wait(taskId, { signal })
    if (n >= dropped) latencies.push(performance.now() - begun)
    if (status !== 'completed') throw new Error(`task ${taskId} is ${status}`)
    await delay(pauseMs, undefined, { signal })
  }
  return latenciesOf(latencies)
}

function sectionOf(baton: readonly Latencies[], flow: readonly Latencies[]): Section {
  const p50s = (each: readonly Latencies[]) => each.map(({ p50Ms }) => p50Ms)
  const p99s = (each: readonly Latencies[]) => each.map(({ p99Ms }) => p99Ms)
  return {
    title: 'W3: one chain of 3 at a time on an idle fleet, beside FlowProducer',
    how: [
      `${count} chains one after the other with ${pauseMs} ms between them, on a fleet that ${latencyWarmUpRuns} runs of W1 have warmed, as they have FlowProducer. Time runs from before`,
      'client.tasks.submit (POST /orchestrate) until client.tasks.wait has returned. FlowProducer learns its ends from the',
      'worker in its own process. A run is the quantile of one round.',
    ],
    figures: [
      figure('W3, p50, Baton : FlowProducer', '×', ratiosOf(p50s(baton), p50s(flow)), { atMost: 3 }),
      figure('W3, p99 : p50 of Baton', '×', ratiosOf(p99s(baton), p50s(baton)), { atMost: 3 }),
      figure('Baton, p50', 'ms', p50s(baton)),
      figure('Baton, p99', 'ms', p99s(baton)),
      figure('FlowProducer, p50', 'ms', p50s(flow)),
      figure('FlowProducer, p99', 'ms', p99s(flow)),
    ],
  }
}
