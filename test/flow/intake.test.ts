/** Tasks that producers leave in the queue `baton-tasks`, with a real fleet. */
import { createClient } from '@baton/client'
import { createEnqueuer, type Enqueuer } from '@baton/client/enqueue'
import { startCoordinator } from '@baton/coordinator'
import { BatonError, intakeQueue } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { defineAgent, startWorker } from '@baton/worker'
import { expect, test } from 'vitest'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js'
import { start } from '../cli/baton.js'
import { cleanUp } from '../harness/clean-up.js'
import { eventually, freshDatabase, freshNamespace, redisCommand, servers } from '../harness/index.js'

async function place() {
  const { redisUrl, natsUrl } = await servers()
  const namespace = await freshNamespace()
  const databaseUrl = await freshDatabase()
  const enqueuer = createEnqueuer({ redisUrl, namespace })
  cleanUp(() => enqueuer.close())
  return { redisUrl, natsUrl, namespace, databaseUrl, enqueuer, log: silentLogger() }
}

async function coordinate({ redisUrl, natsUrl, databaseUrl, namespace, log }: Awaited<ReturnType<typeof place>>) {
  const coordinator = await startCoordinator({
    mode: { kind: 'fleet', databaseUrl, redisUrl, natsUrl },
    host: '127.0.0.1',
    port: 0,
    namespace,
    leaseMs: 2_000,
    heartbeatMs: 500,
    log,
  })
  cleanUp(() => coordinator.stop())
  return coordinator
}

const settled = async (enqueuer: Enqueuer, id: string) => {
  await eventually(async () => (await enqueuer.outcome(id)).kind !== 'waiting', { timeoutMs: 15_000 })
  return enqueuer.outcome(id)
}

const task = (task_id: string, title = 'T') => ({ task_id, title, subtasks: [{ name: 'a', capability: 'echo', input: { n: 1 } }] })

test('what was enqueued is taken in, runs when it says so, and is refused with the words of the API', async () => {
  const where = await place()
  const { enqueuer, redisUrl, natsUrl, namespace, databaseUrl, log } = where
  // Before any coordinator is there. The last two as other languages might write them.
  const [first = '', second = '', strange = '', precise = ''] = await enqueuer.enqueueMany([
    { ...task('i-1'), execute: true },
    { ...task('i-1'), execute: true }, // whichever comes first is stored
    task('i-2'),
    task('i-3'),
  ])
  expect(await enqueuer.outcome(first)).toEqual({ kind: 'waiting' })
  const write = (id: string, text: string) => redisCommand(redisUrl, 'HSET', `${namespace}:${intakeQueue}:${id}`, 'data', text)
  await write(strange, '{"task_id": "i-2", "title": NaN}')
  await write(precise, '{"task_id":"i-3","title":"T","subtasks":[{"name":"a","capability":"echo","input":{"z":1.50,"a":1e2}}]}')

  const { url } = await coordinate(where)
  const worker = await startWorker({
    agents: [defineAgent({ name: 'echo', run: input => input })],
    redisUrl,
    natsUrl,
    namespace,
    log,
    handleSignals: false,
  })
  cleanUp(() => worker.stop())
  const client = createClient({ url })
  const kinds = [await settled(enqueuer, first), await settled(enqueuer, second)]
  expect(kinds.map(each => each.kind === 'taken' && each.outcome).sort()).toEqual(['created', 'existing'])
  // It may have been blocked until the worker came.
  expect((await client.tasks.wait('i-1', { until: 'terminal' })).status).toBe('completed')

  expect(await settled(enqueuer, strange)).toMatchObject({ kind: 'refused', error: { code: 'invalid_json' } })
  expect(await settled(enqueuer, precise)).toMatchObject({ kind: 'taken', taskId: 'i-3' })
  const database = await openPostgres({ url: databaseUrl, log, max: 1 })
  cleanUp(() => database.close())
  const { rows } = await database.query({ text: `select input from subtasks d join tasks k on k.id = d.task_pk where k.task_id = 'i-3'` })
  expect(rows).toEqual([{ input: '{"z":1.50,"a":1e2}' }]) // I16

  const wrong = { task_id: 'i 4', title: '', subtasks: [{ name: 'a', capability: 'A:b', depends_on: ['b'] }] }
  const overHttp = await client.tasks.submit(wrong).catch((error: unknown) => error)
  if (!(overHttp instanceof BatonError)) throw new Error('the API takes what it should refuse')
  const byQueue = await settled(enqueuer, await enqueuer.enqueue(wrong))
  if (byQueue.kind !== 'refused') throw new Error('the queue takes what it should refuse')
  expect([byQueue.error.code, byQueue.error.fields]).toEqual([overHttp.code, overHttp.fields])
  expect(await settled(enqueuer, await enqueuer.enqueue(task('i-1', 'another')))).toMatchObject({
    kind: 'refused',
    error: { code: 'task_conflict', fields: [{ path: 'title' }] },
  })
  expect(await enqueuer.outcome('999999')).toEqual({ kind: 'forgotten' })
})

test('a coordinator that dies with a job in hand leaves it to another one', async () => {
  const where = await place()
  const { enqueuer, databaseUrl, redisUrl, natsUrl, namespace } = where
  const id = await enqueuer.enqueue(task('k-1'))
  const doomed = start(['up', '--json', '--port', '0'], {
    env: {
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      NATS_URL: natsUrl,
      BATON_NAMESPACE: namespace,
      BATON_LEASE_MS: '1000',
      BATON_HEARTBEAT_MS: '300',
      BATON_FAILPOINT: 'submit.before-commit:kill',
    },
  })
  await doomed.ended
  expect(await enqueuer.outcome(id)).toEqual({ kind: 'waiting' })
  const { url } = await coordinate(where)
  expect(await settled(enqueuer, id)).toEqual({ kind: 'taken', taskId: 'k-1', outcome: 'created' })
  expect((await createClient({ url }).tasks.list()).tasks.map(each => each.task_id)).toEqual(['k-1'])
})
