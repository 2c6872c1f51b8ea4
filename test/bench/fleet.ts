/** A fleet to measure: private servers, a coordinator and workers with the no-op agent, each a process of its own. */

import { fileURLToPath } from 'node:url'
import { startFleet } from '@baton/cli'
import type { ServerHandle } from '@baton/cli/servers'
import { type BatonProcess, cleanEnvironment, startBaton } from './baton-process.js'
import { peakBytes, treeBytes } from './measure.js'
import { watchOver } from './observed.js'
import { profileStatements } from './statements.js'
import type { BenchContext } from './workload.js'

const profiler = new URL('./profile-process.js', import.meta.url).href
const agentsModule = fileURLToPath(new URL('./no-op-agent.js', import.meta.url))

export interface BenchFleet {
  /** Of each coordinator. */
  readonly urls: readonly [string, ...string[]]
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
  /** Where it runs from programs on this machine. */
  readonly postgres: ServerHandle | undefined
  /** The root of each process tree; servers that do not run from local binaries are left out, and then not measured. */
  readonly pids: Readonly<Record<string, number>>
  /** Megabytes: of a Node process its peak, of a server with all its processes what it holds now. */
  megabytes(): Record<string, number>
  stop(): Promise<void>
}

interface BenchFleetOptions {
  readonly workers: number
  /** Default 1. */
  readonly coordinators?: number
  /** Of all processes of Baton. */
  readonly settings?: Readonly<Record<string, string>>
  readonly context: BenchContext
}

/** Of workers there may be none. */
export async function startBenchFleet({ workers, coordinators = 1, settings: given, context }: BenchFleetOptions): Promise<BenchFleet> {
  const { signal, say, profileDir } = context
  // Only for the start: servers go on listening to their signal and would leave before the processes that use them.
  signal.throwIfAborted()
  // Profiling restarts Postgres, which every process would tell of.
  const watch = context.observed ? await watchOver() : undefined
  const settings: Record<string, string> = {
    ...(profileDir !== undefined && { NODE_OPTIONS: `--import=${profiler}`, BENCH_PROFILE_DIR: profileDir, LOG_LEVEL: 'fatal' }),
    ...watch?.settings,
    ...given,
  }
  const starting = new AbortController()
  const giveUp = () => starting.abort(signal.reason)
  signal.addEventListener('abort', giveUp, { once: true })
  const fleet = await startFleet({
    workers,
    agentsModule,
    env: cleanEnvironment(),
    settings,
    log: watch ? () => undefined : say, // at `info` it would be told every line
    signal: starting.signal,
  }).finally(() => signal.removeEventListener('abort', giveUp))
  watch?.scrape(fleet.url)
  const others: BatonProcess[] = []
  let writeStatements: ((dir: string) => Promise<void>) | undefined
  const stop = async () => {
    if (profileDir !== undefined) await writeStatements?.(profileDir)
    await Promise.all(others.map(other => other.stop()))
    await fleet.stop()
    await watch?.stop()
  }
  const { databaseUrl, redisUrl, natsUrl } = fleet.servers
  try {
    if (profileDir !== undefined && fleet.servers.postgres) writeStatements = await profileStatements(fleet.servers.postgres)
    while (others.length < coordinators - 1)
      others.push(
        await startBaton({
          args: ['up', '--host', '127.0.0.1', '--port', '0'],
          settings: { ...settings, DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, NATS_URL: natsUrl },
          cwd: process.cwd(),
          signal,
        }),
      )
  } catch (error) {
    await stop()
    throw error
  }
  const members = { ...named('coordinator', [fleet.coordinator, ...others]), ...named('worker', fleet.workers) }
  const servers = Object.fromEntries(
    [fleet.servers.postgres, fleet.servers.redis, fleet.servers.nats].flatMap(server => (server ? [[server.name, server.pid]] : [])),
  ) as Record<string, number> // names and pids
  return {
    urls: [fleet.url, ...others.map(({ url }) => url)],
    databaseUrl,
    redisUrl,
    natsUrl,
    postgres: fleet.servers.postgres,
    pids: { ...members, ...servers },
    megabytes: () => ({ ...megabytes(members, peakBytes), ...megabytes(servers, treeBytes) }),
    stop,
  }
}

/** Stops it when `work` is done, however it ended. */
export async function withBenchFleet<T>(options: BenchFleetOptions, work: (fleet: BenchFleet) => Promise<T>): Promise<T> {
  const fleet = await startBenchFleet(options)
  try {
    return await work(fleet)
  } finally {
    await fleet.stop()
  }
}

function named(name: string, processes: readonly { readonly pid: number | undefined }[]): Record<string, number> {
  return Object.fromEntries(processes.map((each, i) => [processes.length === 1 ? name : `${name} ${i + 1}`, pidOf(each)]))
}

function pidOf({ pid }: { pid: number | undefined }): number {
  if (pid === undefined) throw new Error('a process of the fleet has ended')
  return pid
}

function megabytes(pids: Readonly<Record<string, number>>, read: (pid: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, read(pid) / 1e6]))
}
