import { expect, test, vi } from 'vitest'
import { taskOf } from './testing/fake-api.js'
import { problemOf, testApp } from './testing/test-app.js'

const task = taskOf({ task_id: 't-1', title: 'A task', subtasks: [{ name: 'a' }] }, { status: 'running' })

function appWithTask(options = {}) {
  const app = testApp(options)
  app.api.put(task)
  return app
}

test('a task carries the tag of its version, and 304 answers whoever has it', async () => {
  const { api, get } = appWithTask()
  const first = await get('/tasks/t-1')
  expect(first.headers).toMatchObject({
    etag: 'W/"v1"',
    'cache-control': 'private, no-cache',
    'content-type': 'application/json; charset=utf-8',
  })
  for (const tag of ['W/"v1"', '"v1"', '"v0", W/"v1"', '*'])
    expect((await get('/tasks/t-1', { 'if-none-match': tag })).statusCode).toBe(304)
  api.put(task)
  const second = await get('/tasks/t-1', { 'if-none-match': 'W/"v1"' })
  expect([second.statusCode, second.headers.etag]).toEqual([200, 'W/"v2"'])
})

test('?wait answers as soon as something changes', async () => {
  const { api, get } = appWithTask()
  const answer = get('/tasks/t-1?wait=60')
  await vi.waitUntil(() => api.waiting === 1)
  api.put({ ...task, status: 'completed' })
  expect((await answer).json()).toMatchObject({ status: 'completed' })
})

test('?wait answers at once when the version that the client has is old', async () => {
  const { api, get } = appWithTask()
  expect((await get('/tasks/t-1?wait=60', { 'if-none-match': '"v0"' })).statusCode).toBe(200)
  expect(api.calls.map(([name]) => name)).not.toContain('changedTask')
})

test('?wait does not wait for a task that has ended, unless its version is named', async () => {
  const { api, get } = appWithTask()
  for (const status of ['completed', 'failed', 'cancelled'] as const) {
    api.put({ ...task, status })
    expect((await get('/tasks/t-1?wait=60')).json()).toMatchObject({ status })
  }
  expect(api.calls.map(([name]) => name)).not.toContain('changedTask')
  const answer = get('/tasks/t-1?wait=60', { 'if-none-match': '"v4"' })
  await vi.waitUntil(() => api.waiting === 1)
  api.put(task) // it runs again
  expect((await answer).json()).toMatchObject({ status: 'running' })
})

test('?wait that ends without a change answers 304, or the task to whoever named no version', async () => {
  const { get } = appWithTask()
  const [tagged, plain] = await Promise.all([get('/tasks/t-1?wait=1', { 'if-none-match': '"v1"' }), get('/tasks/t-1?wait=1')])
  expect([tagged.statusCode, plain.statusCode]).toEqual([304, 200])
})

test('waits are counted, and let go when the server stops', async () => {
  const { api, get, refuseRequests } = appWithTask({ limits: { maxWaits: 1 } })
  const answer = get('/tasks/t-1?wait=60')
  await vi.waitUntil(() => api.waiting === 1)
  const second = await get('/tasks/t-1?wait=60')
  expect(problemOf(second)).toMatchObject({ status: 429, code: 'too_many_requests' })
  expect(second.headers['retry-after']).toBe('1')
  refuseRequests()
  expect((await answer).statusCode).toBe(200)
  expect(problemOf(await get('/tasks/t-1'))).toMatchObject({ status: 503, code: 'unavailable' })
})

test('Retry-After grows with the age of an unfinished task, and is absent from a finished one', async () => {
  const { api, get } = testApp()
  const hint = async (elapsed: number, status: 'running' | 'completed' = 'running') => {
    api.put({ ...task, status, metrics: { ...task.metrics, elapsed_seconds: elapsed } })
    return (await get('/tasks/t-1')).headers['retry-after']
  }
  expect([await hint(0), await hint(8), await hint(100), await hint(1e6), await hint(100, 'completed')]).toEqual([
    '1',
    '2',
    '16',
    '60',
    undefined,
  ])
})

test('pages of a task are handed on, at most 1,000 of each list', async () => {
  const { api, get } = appWithTask()
  await get('/tasks/t-1')
  await get('/tasks/t-1?subtasks_cursor=a&dependencies_cursor=b&artifacts_cursor=c&limit=5')
  expect(api.calls.filter(([name]) => name === 'task').map(call => call[2])).toEqual([
    { limit: 1_000 },
    { subtasksCursor: 'a', dependenciesCursor: 'b', artifactsCursor: 'c', limit: 5 },
  ])
})

test('filters of the list are handed on', async () => {
  const { api, get } = testApp()
  await get(
    '/tasks?status=running,failed&agent=dev&orchestrator_id=default&metadata.team=a%20b&metadata.x.y=1&created_after=2026-01-01&created_before=2026-01-02T00:00:00%2B01:00&limit=7&cursor=abc',
  )
  await get('/tasks')
  expect(api.calls).toEqual([
    [
      'tasks',
      {
        status: ['running', 'failed'],
        agent: 'dev',
        orchestratorId: 'default',
        metadata: { team: 'a b', 'x.y': '1' },
        createdAfter: new Date('2026-01-01'),
        createdBefore: new Date('2026-01-01T23:00:00Z'),
        limit: 7,
        cursor: 'abc',
      },
    ],
    ['tasks', { limit: 50 }],
  ])
})

test('an artifact is downloaded with its own type, and never sniffed', async () => {
  const { api, get } = appWithTask()
  api.putFile('out/report.html', 'text/html', Buffer.from('<script>alert(1)</script>'))
  api.putFile('odd', 'text/html\r\nx: y', Buffer.from([0, 255]))
  const response = await get('/tasks/t-1/artifacts/c::t-1::1/out%2Freport.html')
  expect(api.calls.at(-1)).toEqual(['artifact', 't-1', 'c::t-1::1', 'out/report.html'])
  expect(response.headers).toMatchObject({
    'content-type': 'text/html',
    'content-disposition': 'attachment; filename="report.html"',
    'x-content-type-options': 'nosniff',
    etag: `"${api.files.get('out/report.html')?.sha256}"`,
  })
  expect(response.headers['content-security-policy']).toContain('sandbox')
  expect(
    (await get('/tasks/t-1/artifacts/c::t-1::1/out%2Freport.html', { 'if-none-match': String(response.headers.etag) })).statusCode,
  ).toBe(304)
  const odd = await get('/tasks/t-1/artifacts/c::t-1::1/odd')
  const part = (range: string, more = {}) => get('/tasks/t-1/artifacts/c::t-1::1/out%2Freport.html', { range, ...more })
  const some = await part('bytes=1-6')
  expect([some.statusCode, some.headers['content-range'], some.payload]).toEqual([206, 'bytes 1-6/25', 'script'])
  expect((await part('bytes=1-6', { 'if-range': '"another"' })).statusCode).toBe(200)
  expect((await part('bytes=1-6', { 'if-range': String(response.headers.etag) })).statusCode).toBe(206)
  const beyond = await part('bytes=25-')
  expect(problemOf(beyond)).toMatchObject({ status: 416, code: 'range_not_satisfiable', bytes: 25 })
  expect(beyond.headers['content-range']).toBe('bytes */25')
  expect([odd.headers['content-type'], [...odd.rawPayload]]).toEqual(['application/octet-stream', [0, 255]])
  expect(problemOf(await get('/tasks/t-1/artifacts/c::t-1::1/none'))).toMatchObject({ status: 404, code: 'artifact_not_found' })
})

test('what does not exist is 404, and a fault says nothing but its request id', async () => {
  const { api, get } = testApp()
  expect(problemOf(await get('/tasks/none'))).toMatchObject({ status: 404, code: 'task_not_found' })
  expect(problemOf(await get('/workers/none'))).toMatchObject({ status: 404, code: 'worker_not_found' })
  api.fault = new Error('relation "secrets" does not exist')
  const response = await get('/tasks')
  expect(problemOf(response)).toMatchObject({
    status: 500,
    code: 'internal',
    detail: expect.stringContaining(String(response.headers['x-request-id'])),
  })
  expect(response.body).not.toContain('secrets')
})

test('agents and workers are lists with a cursor', async () => {
  const { api, get } = testApp()
  expect((await get('/agents?domain=code&capability=build&health=healthy')).json()).toEqual({ agents: [], next_cursor: null })
  expect((await get('/workers')).json()).toEqual({ workers: [], next_cursor: null })
  expect(api.calls[0]).toEqual(['agents', { domain: 'code', capability: 'build', health: 'healthy' }])
})
