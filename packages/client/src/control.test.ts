import { RawJson } from '@baton/shared'
import { afterEach, expect, test } from 'vitest'
import { createClient } from './client.js'
import type { Tasks } from './tasks.js'
import { type FakeServer, problem, startFakeServer } from './testing/index.js'

let server: FakeServer | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

const retry = { initialMs: 1, maxMs: 2 }

test('verbs post to the thing that they are for', async () => {
  const started = await startFakeServer(() => ({ body: {} }))
  server = started
  const { tasks, workers, reviews, agents } = createClient({ url: started.url })
  await tasks.cancel('t-1', { reason: 'enough' })
  await tasks.pause('t-1')
  await tasks.resume('t-1')
  await tasks.release('t-1', 'build::t-1::1')
  await tasks.cancelSubtask('t-1', 'build::t-1::1', { reason: 'enough' })
  await tasks.retrySubtask('t-1', 'build::t-1::1')
  await tasks.reassignSubtask('t-1', 'build::t-1::1', { agent: 'dev' })
  await tasks.rerun('t-1', { from: ['build'], input: new RawJson('{ "n": 1.0 }', { n: 1 }), reason: 'wrong branch' })
  await tasks.replan('t-1')
  await tasks.replan('t-1', { description: 'otherwise', running: 'cancel' }, { dryRun: true })
  await tasks.why('t-1')
  await tasks.why('t-1', { limit: 5, cursor: '9' })
  await workers.drain('w 1')
  await reviews.assign('7', { assignee: null })
  await reviews.get('7')
  await agents.match({ capability: 'build', sla_seconds: 5 })
  expect(started.requests.map(({ method, path, body }) => [method, path, body])).toEqual([
    ['POST', '/tasks/t-1/cancel', '{"reason":"enough"}'],
    ['POST', '/tasks/t-1/pause', '{}'],
    ['POST', '/tasks/t-1/resume', '{}'],
    ['POST', '/tasks/t-1/subtasks/build%3A%3At-1%3A%3A1/release', ''],
    ['POST', '/tasks/t-1/subtasks/build%3A%3At-1%3A%3A1/cancel', '{"reason":"enough"}'],
    ['POST', '/tasks/t-1/subtasks/build%3A%3At-1%3A%3A1/retry', '{}'],
    ['POST', '/tasks/t-1/subtasks/build%3A%3At-1%3A%3A1/reassign', '{"agent":"dev"}'],
    ['POST', '/tasks/t-1/rerun', '{"from":["build"],"input":{ "n": 1.0 },"reason":"wrong branch"}'],
    ['POST', '/tasks/t-1/replan', '{}'],
    ['POST', '/tasks/t-1/replan', '{"description":"otherwise","running":"cancel"}'],
    ['GET', '/tasks/t-1/why', ''],
    ['GET', '/tasks/t-1/why', ''],
    ['POST', '/workers/w%201/drain', ''],
    ['POST', '/reviews/7/assign', '{"assignee":null}'],
    ['GET', '/reviews/7', ''],
    ['POST', '/agents/match', '{"capability":"build","sla_seconds":5}'],
  ])
  expect(started.requests.filter(({ path }) => path.endsWith('/replan')).map(({ query }) => query)).toEqual([{}, { dry_run: 'true' }])
  expect(started.requests.filter(({ path }) => path.endsWith('/why')).map(({ query }) => query)).toEqual([{}, { limit: '5', cursor: '9' }])
})

test('orchestrators and everything have paths and methods of their own', async () => {
  const started = await startFakeServer(() => ({ body: {} }))
  server = started
  const client = createClient({ url: started.url })
  const { orchestrators } = client
  await orchestrators.list({ status: 'idle', limit: 5, cursor: 'o' })
  await orchestrators.get('o')
  await orchestrators.create({ name: 'x' })
  await orchestrators.update('o', { metadata: { team: null } })
  await orchestrators.settings('o')
  await orchestrators.updateSettings('o', { default_worker_agent_id: 'echo' })
  await orchestrators.setStatus('o', 'paused', { reason: 'lunch' })
  await orchestrators.delete('o')
  await client.pause({ reason: 'deploy' })
  await client.resume()
  expect(started.requests[0]?.query).toEqual({ status: 'idle', limit: '5', cursor: 'o' })
  expect(started.requests.map(({ method, path, body }) => [method, path, body])).toEqual([
    ['GET', '/orchestrators', ''],
    ['GET', '/orchestrators/o', ''],
    ['POST', '/orchestrators', '{"name":"x"}'],
    ['PATCH', '/orchestrators/o', '{"metadata":{"team":null}}'],
    ['GET', '/orchestrators/o/settings', ''],
    ['PATCH', '/orchestrators/o/settings', '{"default_worker_agent_id":"echo"}'],
    ['PUT', '/orchestrators/o/status', '{"status":"paused","reason":"lunch"}'],
    ['DELETE', '/orchestrators/o', ''],
    ['POST', '/pause', '{"reason":"deploy"}'],
    ['POST', '/resume', '{}'],
  ])
})

test('what would meet its own success is not repeated: creating and deleting an orchestrator', async () => {
  const started = await startFakeServer((_, n) => (n % 2 === 1 ? 'break' : { body: {} }))
  server = started
  const { orchestrators } = createClient({ url: started.url, retry })
  await expect(orchestrators.create({ name: 'x' })).rejects.toMatchObject({ code: 'unreachable' })
  await orchestrators.get('o')
  await expect(orchestrators.delete('o')).rejects.toMatchObject({ code: 'unreachable' })
  expect(started.requests.map(r => r.method)).toEqual(['POST', 'GET', 'DELETE'])
})

test('filters of reviews become their query', async () => {
  const started = await startFakeServer(() => ({ body: { reviews: [], next_cursor: null } }))
  server = started
  const { reviews } = createClient({ url: started.url })
  await reviews.list()
  await reviews.list({ status: 'decided', taskId: 't-1', assignee: 'ann', limit: 5, cursor: '9' })
  expect(started.requests.map(r => r.query)).toEqual([{}, { status: 'decided', task_id: 't-1', assignee: 'ann', limit: '5', cursor: '9' }])
})

test('an output that is known by its text leaves byte for byte', async () => {
  const started = await startFakeServer(() => ({ body: {} }))
  server = started
  await createClient({ url: started.url }).reviews.decide('7', {
    decision: 'supply',
    reason: 'by hand',
    output: new RawJson('{ "n": 1.0 }', { n: 1 }),
  })
  expect(started.requests[0]?.body).toBe('{"decision":"supply","reason":"by hand","output":{ "n": 1.0 }}')
})

test.each<[string, (tasks: Tasks) => Promise<unknown>]>([
  ['rerun', tasks => tasks.rerun('t', { from: ['a'] })],
  ['retry', tasks => tasks.retrySubtask('t', 's')],
])('a %s that met no answer is not repeated by itself: it may have been done', async (_, verb) => {
  const started = await startFakeServer(() => 'break')
  server = started
  await expect(verb(createClient({ url: started.url, retry }).tasks)).rejects.toMatchObject({ code: 'unreachable' })
  expect(started.requests).toHaveLength(1)
})

test('a decision is never repeated by itself, other verbs are', async () => {
  const started = await startFakeServer((_, n) => (n % 2 === 1 ? 'break' : { body: { task_id: 't', status: 'cancelled' } }))
  server = started
  const { reviews, tasks } = createClient({ url: started.url, retry })
  await expect(reviews.decide('7', { decision: 'retry', reason: 'x' })).rejects.toMatchObject({ code: 'unreachable' })
  expect(started.requests).toHaveLength(1)
  await tasks.get('t')
  await expect(tasks.cancel('t')).resolves.toEqual({ task_id: 't', status: 'cancelled' })
  expect(started.requests.map(r => r.path)).toEqual(['/reviews/7/decide', '/tasks/t', '/tasks/t/cancel', '/tasks/t/cancel'])
})

test('a conflict says who decided', async () => {
  const started = await startFakeServer(() =>
    problem('state_conflict', 'review 7 was decided (retry) by ann', { decision: 'retry', decided_by: 'ann' }),
  )
  server = started
  await expect(createClient({ url: started.url }).reviews.decide('7', { decision: 'fail', reason: 'x' })).rejects.toMatchObject({
    code: 'state_conflict',
    extra: { decision: 'retry', decided_by: 'ann' },
  })
})
