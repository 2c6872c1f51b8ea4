/** BullMQ's FlowProducer on a private Redis of its own, by the script in `peers/`. */
import { fileURLToPath } from 'node:url'
import { startRedis } from '@baton/cli/servers'
import { treeBytes } from './measure.js'
import { type PeerLine, runPeer } from './peer-process.js'
import type { Variant } from './ratios.js'

/** The scripts are not compiled: they stand beside the sources. */
const script = fileURLToPath(new URL('../../bench/peers/bullmq-flow.mjs', import.meta.url))

export interface FlowVariant extends Variant {
  readonly workload: string
  readonly inFlight: number
  readonly cpuPer1000: number
}

export interface FlowRound {
  readonly variants: readonly FlowVariant[]
  readonly megabytes: Readonly<Record<string, number>>
}

/** W1 and W2, with each number in flight in a process of its own. */
export async function flowThroughput(options: {
  readonly inFlights: readonly number[]
  readonly runs: number
  readonly signal: AbortSignal
}): Promise<FlowRound> {
  const { inFlights, runs, signal } = options
  const variants: FlowVariant[] = []
  const peaks: number[] = []
  const redisBytes: number[] = []
  for (const inFlight of inFlights)
    await withRedis(async env => {
      const run = await runPeer({
        script,
        env: { ...env.settings, WORKLOADS: 'W1,W2', IN_FLIGHT: String(inFlight), RUNS: String(runs) },
        signal,
      })
      peaks.push(run.peakMegabytes)
      redisBytes.push(treeBytes(env.pid) / 1e6)
      for (const line of run.lines)
        variants.push({ workload: line.workload, inFlight, rates: line.runs ?? [], cpuPer1000: line.cpuSecondsPer1000Steps ?? Number.NaN })
    })
  return { variants, megabytes: { 'producer and worker': Math.max(...peaks), redis: Math.max(...redisBytes) } }
}

/** So often W1 runs before W3, on either side: code that is compiled while it is measured says nothing of an idle system. */
export const latencyWarmUpRuns = 10

/** W3: chains one after the other on an idle system. */
export async function flowLatency({ count, signal }: { count: number; signal: AbortSignal }): Promise<PeerLine> {
  return withRedis(async ({ settings }) => {
    const { lines } = await runPeer({
      script,
      env: { ...settings, WORKLOADS: 'W1,W3', RUNS: String(latencyWarmUpRuns), LATENCIES: String(count) },
      signal,
    })
    const line = lines.find(({ workload }) => workload === 'W3')
    if (!line) throw new Error('the script of FlowProducer printed no W3')
    return line
  })
}

async function withRedis<T>(work: (redis: { settings: Record<string, string>; pid: number }) => Promise<T>): Promise<T> {
  const redis = await startRedis() // append-only, synced every second: as a fleet's
  try {
    return await work({ settings: { REDIS_URL: redis.url, SERVER_PIDS: String(redis.pid) }, pid: redis.pid })
  } finally {
    await redis.stop()
  }
}
