/** What commands run on: a session of the database, and the little that production keeps beside it. */

import type { WorkerInfo } from '@baton/shared'
import { SpawnPlanner } from '../../packages/coordinator/src/collect/spawn.js'
import type { Database, Queryable } from '../../packages/coordinator/src/store/database.js'
import type { EffectsRow, QueuedRow } from '../../packages/coordinator/src/store/fragments.js'
import { IdSource } from '../../packages/coordinator/src/store/ids.js'
import { Routes } from '../../packages/coordinator/src/store/routes.js'
import { registerWorker } from '../../packages/coordinator/src/store/workers.js'
import { agents, pool, routeNames, routes, type WorkerName, workerNames, workers } from './fleet.js'
import { defaultAttemptLimit } from './rules/submission.js'
import type { Effects, Job } from './step.js'

export interface Store {
  readonly database: Database
  readonly ids: GivenIds
  readonly spawner: SpawnPlanner
}

/** Longer than any history takes: a clock runs out when a command says so. */
export const long = 3_600_000
export const now = (): string => new Date().toISOString()

/** Ids as the command says, so that rows have the same in the model. */
export class GivenIds extends IdSource {
  private given = 0

  startAt(id: number): void {
    this.given = id
  }

  override draw(count: number): Promise<() => string> {
    let id = this.given
    this.given += count
    return Promise.resolve(() => String(id++))
  }
}

export async function openStore(database: Database): Promise<Store> {
  const interned = new Routes(database)
  const ids = new GivenIds(database)
  await interned.intern(Object.values(routes))
  return {
    database,
    ids,
    spawner: new SpawnPlanner({
      ids,
      routes: interned,
      pool,
      attemptLimit: defaultAttemptLimit,
      queueWaitMs: long,
      deadlineMs: long,
      minLeaseMs: 1,
      fallbackCapability: 'alpha',
      limits: { subtasks: 100_000, depth: 100 },
    }),
  }
}

/** A migrated, empty database gets the fleet. */
export async function prepare(database: Database): Promise<void> {
  const interned = new Routes(database)
  for (const [i, name] of routeNames.entries()) {
    const [id] = await interned.intern([routes[name]])
    if (id !== i + 1) throw new Error(`route ${name} has id ${id}: the database was not empty`)
  }
  await database.query({ text: `insert into orchestrators (tenant_id, id, name, status) values (1, 'other', 'other', 'running')` })
  for (const name of workerNames) await registerWorker(database, workerInfo(name))
}

export function workerInfo(id: WorkerName): WorkerInfo {
  const hosted = workers[id].map(name => ({
    name,
    description: '',
    domain: null,
    capabilities: [...agents[name].capabilities],
    skills: [],
    concurrency: 4,
    sla_ms: null,
    kind: 'module',
  }))
  return { id, pool, host: 'test', pid: 1, version: '0', concurrency: 4, agents: hosted }
}

/** The same store, all within the given transaction: one inside it is a savepoint. */
export function within(store: Store, tx: Queryable): Store {
  return {
    ...store,
    database: {
      script: text => store.database.script(text),
      listen: (channel, onNotify) => store.database.listen(channel, onNotify),
      close: () => store.database.close(),
      query: (statement, params) => tx.query(statement, params),
      transaction: async work => {
        await tx.query({ text: 'savepoint command' })
        try {
          return await work(tx)
        } catch (error) {
          await tx.query({ text: 'rollback to savepoint command' })
          throw error
        }
      },
    },
  }
}

export const claimUuid = (claim: number): string => `00000000-0000-4000-8000-${String(claim).padStart(12, '0')}`
export const claimNumber = (uuid: string): number => Number(uuid.slice(-12))

const jobOf = ({ id, attempt, dispatch, queue }: QueuedRow): Job => ({ subtask: Number(id), attempt, dispatch, queue })
export const jobsOf = (rows: readonly QueuedRow[]): Job[] => rows.map(jobOf).sort((a, b) => a.subtask - b.subtask)

/** A statement's effects in the model's terms. */
export function effectsOf(row: Pick<EffectsRow, 'jobs' | 'tasks' | 'ready'>): Effects {
  return { jobs: jobsOf(row.jobs), tasks: changesOf(row.tasks), ready: [...row.ready].sort() }
}

export const changesOf = (tasks: EffectsRow['tasks']): Effects['tasks'] =>
  tasks.map(({ id, status, from }) => ({ task: Number(id), from, status })).sort((a, b) => a.task - b.task)
