/** A fleet that a bench may break: private servers, coordinators and workers that can be killed and frozen one by one. */
import { fileURLToPath } from 'node:url'
import { type Servers, startServers } from '@baton/cli/servers'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { type BatonProcess, startBaton } from './baton-process.js'
import type { BenchContext } from './workload.js'

const agentsModule = fileURLToPath(new URL('./recovery-agents.js', import.meta.url))

export interface RecoveryFleet {
  readonly coordinators: BatonProcess[]
  readonly workers: BatonProcess[]
  readonly servers: Servers
  addCoordinator(): Promise<BatonProcess>
  addWorker(): Promise<BatonProcess>
  rows<R>(text: string, params?: readonly unknown[]): Promise<R[]>
  stop(): Promise<void>
}

/** With the default lease and heartbeat. */
export async function startRecoveryFleet(
  { coordinators, workers }: { coordinators: number; workers: number },
  { signal }: BenchContext,
): Promise<RecoveryFleet> {
  signal.throwIfAborted()
  const servers = await startServers()
  const database = await openPostgres({ url: servers.databaseUrl, log: silentLogger(), max: 2, signal })
  const stores = { REDIS_URL: servers.redisUrl, NATS_URL: servers.natsUrl }
  const own = { cwd: process.cwd(), signal }
  const fleet: RecoveryFleet = {
    coordinators: [],
    workers: [],
    servers,
    async addCoordinator() {
      const args = ['up', '--host', '127.0.0.1', '--port', '0']
      const member = await startBaton({ ...own, args, settings: { ...stores, DATABASE_URL: servers.databaseUrl } })
      fleet.coordinators.push(member)
      return member
    },
    async addWorker() {
      const member = await startBaton({ ...own, args: ['worker', '--agents', agentsModule], settings: stores })
      fleet.workers.push(member)
      return member
    },
    rows: async <R>(text: string, params: readonly unknown[] = []) => (await database.query<R>({ text }, params)).rows,
    async stop() {
      await Promise.all([...fleet.workers, ...fleet.coordinators].map(member => member.kill()))
      await database.close()
      await servers.stop()
    },
  }
  try {
    for (let n = 0; n < coordinators; n++) await fleet.addCoordinator()
    for (let n = 0; n < workers; n++) await fleet.addWorker()
    return fleet
  } catch (error) {
    await fleet.stop()
    throw error
  }
}
