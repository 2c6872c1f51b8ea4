/** Whoever changes a part of a task locks its subtasks before the task, as reports do: neither waits for the other. */
import { silentLogger } from '@baton/shared/node'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js'
import { recordHeartbeats } from '../../packages/coordinator/src/store/workers.js'
import { eventually, freshDatabase } from '../harness/index.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'

let database: Database
let local: OpenLocal
beforeAll(async () => {
  database = await openPostgres({ url: await freshDatabase(), log: silentLogger() })
  local = await startOpenLocal(database)
  await local.host([
    defineAgent({
      name: 'slow',
      run: (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    }),
  ])
})
afterAll(() => local?.stop())

const subtasks = [
  { name: 'first', capability: 'slow' },
  { name: 'second', capability: 'slow', depends_on: ['first'] },
]
const changes: Readonly<Record<string, (taskId: string) => Promise<unknown>>> = {
  rerun: taskId => local.client.tasks.rerun(taskId, { from: ['first'] }),
  replan: taskId => local.client.tasks.replan(taskId, { subtasks: [{ name: 'third', capability: 'slow' }], running: 'cancel' }),
}

for (const [name, change] of Object.entries(changes))
  test(`a ${name} waits for the subtasks that somebody holds, and holds the task from nobody meanwhile`, async () => {
    const taskId = `locked-${name}`
    await local.client.tasks.submit({ task_id: taskId, title: taskId, subtasks, execute: true })
    await eventually(async () => expect(await stateOf(taskId, 'first')).toBe('running'))
    let changed: Promise<unknown> = Promise.resolve()
    await database.transaction(async tx => {
      const named = `select d.id from subtasks d join tasks k on k.id = d.task_pk where k.task_id = $1 and d.name = 'first'`
      await tx.query({ text: `select id from subtask_states where id = (${named}) for update` }, [taskId])
      changed = change(taskId)
      changed.catch(() => undefined) // awaited below
      await eventually(async () => expect(await lockWaits('%order by s.id for update of s')).toBe(1))
      await tx.query({ text: `set local lock_timeout = '500ms'` })
      await tx.query({ text: 'select id from tasks where task_id = $1 for update' }, [taskId])
    })
    await changed
    expect(await stateOf(taskId, name === 'rerun' ? 'first' : 'third')).toMatch(/ready|queued|running/)
    await local.client.tasks.cancel(taskId)
  })

test('a heartbeat does not wait for a subtask that somebody holds, and says that it is still its', async () => {
  await local.client.tasks.submit({ task_id: 'held', title: 'held', subtasks, execute: true })
  await eventually(async () => expect(await stateOf('held', 'first')).toBe('running'))
  const running = `select s.id::text as subtask, s.claim_id, s.worker_id, s.lease_until from subtask_states s join tasks k on k.id = s.task_pk
    where k.task_id = 'held' and s.state = 'running'`
  const [lease] = (await database.query<Lease>({ text: running })).rows as [Lease]
  const beat = (progress?: string) =>
    recordHeartbeats(
      database,
      [
        {
          worker_id: lease.worker_id,
          ...{ state: 'ready', load: {}, loop_lag_ms: 0 },
          active: [{ subtask: lease.subtask, claim_id: lease.claim_id, ...(progress !== undefined && { progress }) }],
        },
      ],
      60_000,
    )
  let telling: Promise<unknown> = Promise.resolve()
  await database.transaction(async tx => {
    await tx.query({ text: 'select id from subtask_states where id = $1 for update' }, [lease.subtask])
    expect((await beat())[0]).toMatchObject({ known: true, held: [lease.claim_id] })
    telling = beat('half') // progress is told once: this one waits
    await eventually(async () => expect(await lockWaits('%loop_lag_ms real%')).toBe(1))
  })
  await telling
  const [renewed] = (
    await database.query<Lease & { progress: string }>({ text: running.replace('s.lease_until', 's.lease_until, s.progress') })
  ).rows
  expect(renewed?.progress).toBe('half')
  expect(renewed?.lease_until.getTime()).toBeGreaterThan(lease.lease_until.getTime())
  await local.client.tasks.cancel('held')
})

interface Lease {
  readonly subtask: string
  readonly claim_id: string
  readonly worker_id: string
  readonly lease_until: Date
}

async function lockWaits(query: string): Promise<number | undefined> {
  const waiting = `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like $1`
  return (await database.query<{ n: number }>({ text: waiting }, [query])).rows[0]?.n
}

async function stateOf(taskId: string, name: string): Promise<string | undefined> {
  return (await local.client.tasks.get(taskId)).subtasks.find(subtask => subtask.name === name)?.state
}
