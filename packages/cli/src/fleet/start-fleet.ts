/**
 * A whole fleet on this machine: private servers, one coordinator and several workers, each a process of its own.
 * Nothing of it outlives `stop`, nor this process.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BatonError } from '@baton/shared'
import { childEnvironment, type EnvironmentSource, processEnvironment } from '../env.js'
import { nodeFlags } from '../node-flags.js'
import type { ProvidedServers } from '../servers/index.js'
import { Member } from './member.js'

export interface FleetOptions {
  /** Default 3. */
  readonly workers?: number
  /** The configuration file of all processes. */
  readonly config?: string
  /** What the workers host instead: a module that exports `agents`. Default without `config`: the built-in `echo`. */
  readonly agentsModule?: string
  /** Default: this process's. Baton's own settings in it are left out, but for `BATON_API_KEY` and the lease. */
  readonly env?: EnvironmentSource
  /** More settings for the children. */
  readonly settings?: Readonly<Record<string, string>>
  /** What relative paths are relative to; default: the working directory. */
  readonly cwd?: string
  /** Takes what the processes print. */
  readonly log?: (line: string) => void
  /** Gives up the start. */
  readonly signal?: AbortSignal
}

export interface Fleet {
  readonly url: string
  readonly coordinator: { readonly pid: number | undefined }
  /** As they are now: a restarted worker has another pid and id, a killed one has no pid. */
  readonly workers: readonly { readonly pid: number | undefined; readonly id: string }[]
  readonly servers: ProvidedServers
  /** As `kill -9` of the worker's process; from 0. */
  killWorker(index: number): Promise<void>
  /** Adds one more worker. */
  addWorker(): Promise<void>
  /** Workers first, so that they hand back what they hold. Idempotent. */
  stop(): Promise<void>
}

const inherited = ['BATON_API_KEY', 'BATON_LEASE_MS', 'BATON_HEARTBEAT_MS', 'BATON_WEBHOOK_NETWORKS'] as const

export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const { env = processEnvironment(), cwd = process.cwd(), log = () => undefined, signal } = options
  const main = mainFile()
  const { provideServers } = await import('../servers/index.js')
  const servers = await provideServers({ ...(signal && { signal }) })
  const members: Member[] = []
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= (async () => {
      const [coordinator, ...workers] = members
      await Promise.allSettled(workers.map(worker => worker.stop()))
      await coordinator?.stop()
      await servers.stop()
    })()
    return stopping
  }

  const settings = {
    LOG_LEVEL: env.LOG_LEVEL || 'warn',
    BATON_LOG_FILE: env.BATON_LOG_FILE || 'off', // a fleet of this command leaves nothing behind
    ...Object.fromEntries(inherited.map(name => [name, env[name] || undefined])),
    ...options.settings,
  }
  const stores = { REDIS_URL: servers.redisUrl, NATS_URL: servers.natsUrl }
  const start = (name: string, args: readonly string[], urls: Record<string, string>) =>
    Member.start({
      name,
      command: [process.execPath, ...nodeFlags, main, ...args, '--json'],
      cwd,
      log,
      env: childEnvironment(env, { ...settings, ...urls }),
      ...(signal && { signal }),
    })
  const config = options.config ? ['--config', options.config] : []
  const agentsModule = options.agentsModule ?? (options.config ? undefined : join(dirname(main), 'fleet', 'echo-agents.js'))
  const startOneWorker = (n: number) => start(`worker ${n}`, ['worker', ...(agentsModule ? ['--agents', agentsModule] : config)], stores)

  try {
    const coordinator = await start('coordinator', ['up', ...config, '--host', '127.0.0.1', '--port', '0'], {
      ...stores,
      DATABASE_URL: servers.databaseUrl,
    })
    members.push(coordinator)
    const started = await Promise.allSettled(Array.from({ length: options.workers ?? 3 }, (_, i) => startOneWorker(i + 1)))
    for (const result of started) if (result.status === 'fulfilled') members.push(result.value)
    const failed = started.find(result => result.status === 'rejected')
    if (failed) throw failed.reason
    const workers = () => members.slice(1)
    return {
      url: String(coordinator.ready.url),
      get coordinator() {
        return { pid: coordinator.pid }
      },
      get workers() {
        return workers().map(({ pid, ready }) => ({ pid, id: String(ready.id ?? '') }))
      },
      servers,
      async killWorker(index) {
        const worker = workers()[index]
        if (!worker) throw new RangeError(`there is no worker ${index}; there are ${workers().length}`)
        await worker.kill()
      },
      async addWorker() {
        members.push(await startOneWorker(members.length))
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The command itself, compiled: processes are started from it also when this code runs from its sources. */
function mainFile(): string {
  const url = new URL(import.meta.url.endsWith('.ts') ? '../../dist/main.js' : '../main.js', import.meta.url)
  const file = fileURLToPath(url)
  if (existsSync(file)) return file
  throw new BatonError('invalid_configuration', `${file} does not exist; run \`npm run build\` first`)
}
