/** A fleet to measure: private servers, a coordinator and workers with the no-op agent, each a process of its own. */

import { fileURLToPath } from 'node:url'
import { type Fleet, startFleet } from '@baton/cli'
import { cleanEnvironment } from './baton-process.js'
import { peakBytes, treeBytes } from './measure.js'
import { watchOver } from './observed.js'
import type { BenchContext } from './workload.js'

const profiler = new URL('./profile-process.js', import.meta.url).href
const agentsModule = fileURLToPath(new URL('./no-op-agent.js', import.meta.url))

export interface BenchFleet {
  readonly url: string
  readonly databaseUrl: string
  /** The root of each process tree; servers that do not run from local binaries are left out, and then not measured. */
  readonly pids: Readonly<Record<string, number>>
  /** Megabytes: of a Node process its peak, of a server with all its processes what it holds now. */
  megabytes(): Record<string, number>
  stop(): Promise<void>
}

export async function startBenchFleet({ workers, context }: { workers: number; context: BenchContext }): Promise<BenchFleet> {
  const { signal, say, profileDir } = context
  // Only for the start: servers go on listening to their signal and would leave before the processes that use them.
  signal.throwIfAborted()
  const starting = new AbortController()
  const giveUp = () => starting.abort(signal.reason)
  signal.addEventListener('abort', giveUp, { once: true })
  const watch = context.observed ? await watchOver() : undefined
  const fleet = await startFleet({
    workers,
    agentsModule,
    env: cleanEnvironment(),
    settings: {
      ...watch?.settings,
      ...(profileDir !== undefined && { NODE_OPTIONS: `--import=${profiler}`, BENCH_PROFILE_DIR: profileDir }),
    },
    log: watch ? () => undefined : say, // at `info` it would be told every line
    signal: starting.signal,
  }).finally(() => signal.removeEventListener('abort', giveUp))
  watch?.scrape(fleet.url)
  const members = { coordinator: pidOf(fleet.coordinator), ...named(fleet.workers) }
  const servers = Object.fromEntries(
    [fleet.servers.postgres, fleet.servers.redis, fleet.servers.nats].flatMap(server => (server ? [[server.name, server.pid]] : [])),
  ) as Record<string, number> // names and pids
  return {
    url: fleet.url,
    databaseUrl: fleet.servers.databaseUrl,
    pids: { ...members, ...servers },
    megabytes: () => ({ ...megabytes(members, peakBytes), ...megabytes(servers, treeBytes) }),
    stop: async () => {
      await fleet.stop()
      await watch?.stop()
    },
  }
}

function named(workers: Fleet['workers']): Record<string, number> {
  return Object.fromEntries(workers.map((worker, i) => [workers.length === 1 ? 'worker' : `worker ${i + 1}`, pidOf(worker)]))
}

function pidOf({ pid }: { pid: number | undefined }): number {
  if (pid === undefined) throw new Error('a process of the fleet has ended')
  return pid
}

function megabytes(pids: Readonly<Record<string, number>>, read: (pid: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, read(pid) / 1e6]))
}
