import { expect, test } from 'vitest'
import { testApp } from './testing/test-app.js'

const task = (task_id: string, title = 'A task') => ({ task_id, title, description: 'Do it' })

test('a task is created once, and its repeat is answered with what exists', async () => {
  const { post } = testApp()
  const first = await post('/orchestrate', task('t-1'))
  const second = await post('/orchestrate', task('t-1'))
  expect([first.statusCode, second.statusCode]).toEqual([201, 200])
  expect(first.headers.location).toBe('/tasks/t-1')
  expect(second.json()).toEqual(first.json())
})

test('a dry run is answered with the plan and stores nothing', async () => {
  const { api, post } = testApp()
  const response = await post('/orchestrate?dry_run=true', task('t-1'))
  expect([response.statusCode, response.json().status, response.headers.location]).toEqual([200, 'planned', undefined])
  expect(api.stored.size).toBe(0)
  expect((await post('/orchestrate?dry_run=yes', task('t-1'))).statusCode).toBe(400)
})

test('each task of a batch is answered for itself, in order, and the good ones are handed on together', async () => {
  const { api, post } = testApp()
  await post('/orchestrate', task('old', 'As it was'))
  api.calls.length = 0
  const response = await post('/tasks/batch', {
    tasks: [
      task('a'),
      { task_id: 'b' },
      5,
      task('old'),
      task('old', 'As it was'),
      { ...task('c'), subtasks: [{ name: 'x', depends_on: ['x'] }] },
      task('d'),
    ],
  })
  expect(response.statusCode).toBe(200)
  const { results } = response.json()
  expect(results).toMatchObject([
    { task_id: 'a', status_code: 201, task: { task_id: 'a' } },
    { task_id: 'b', status_code: 400, error: { code: 'invalid_request', fields: [{ path: 'title' }, { path: 'description' }] } },
    { task_id: null, status_code: 400, error: { code: 'invalid_request' } },
    { task_id: 'old', status_code: 409, error: { code: 'task_conflict' } },
    { task_id: 'old', status_code: 200, task: { title: 'As it was' } },
    { task_id: 'c', status_code: 400, error: { fields: [{ path: 'subtasks[0].depends_on[0]' }] } },
    { task_id: 'd', status_code: 201 },
  ])
  expect(api.calls).toHaveLength(1)
})

test('a batch may be answered without the tasks', async () => {
  const { api, post } = testApp()
  await post('/orchestrate', task('old'))
  const tasks = [task('a'), { task_id: 'b' }, task('old'), task('old', 'Another')]
  const { results } = (await post('/tasks/batch?minimal=true', { tasks })).json()
  expect(results).toMatchObject([
    { task_id: 'a', status_code: 201 },
    { task_id: 'b', status_code: 400, error: { code: 'invalid_request' } },
    { task_id: 'old', status_code: 200 },
    { task_id: 'old', status_code: 409, error: { code: 'task_conflict' } },
  ])
  expect(results.filter((result: object) => 'task' in result)).toEqual([])
  expect(api.calls.at(-1)).toMatchObject(['submit', expect.anything(), { unseen: true }])
  expect((await post('/tasks/batch?minimal=1', { tasks })).statusCode).toBe(400)
})

test('a batch of bad tasks only asks the coordinator for nothing', async () => {
  const { api, post } = testApp()
  expect((await post('/tasks/batch', { tasks: [{}, {}] })).json().results.map((r: { status_code: number }) => r.status_code)).toEqual([
    400, 400,
  ])
  expect(api.calls).toEqual([])
})

test.each([
  ['none', { tasks: [] }, 'tasks'],
  ['10,001', { tasks: Array.from({ length: 10_001 }, () => 1) }, 'tasks'],
  ['no list of', [], ''],
  ['unknown keys beside', { tasks: [task('a')], dry_run: true }, 'dry_run'],
])('a batch with %s tasks is refused as a whole', async (_, body, path) => {
  const { api, post } = testApp()
  const response = await post('/tasks/batch', body)
  expect(response.statusCode).toBe(400)
  expect(response.json().fields).toContainEqual({ path, issue: expect.any(String) })
  expect(api.calls).toEqual([])
})

test('a batch with a hundred thousand problems is refused as a whole, and soon', async () => {
  const { api, post } = testApp()
  const bad = { task_id: 't', title: 't', subtasks: [{ name: 'a', depends_on: Array.from({ length: 1_000 }, () => 1) }] }
  const begin = process.cpuUsage() // of this process only, whatever else the machine does
  const response = await post('/tasks/batch', { tasks: Array.from({ length: 5_000 }, () => bad) })
  expect(process.cpuUsage(begin).user / 1_000).toBeLessThan(2_000)
  expect(response.json()).toMatchObject({ status: 400, fields: [{ path: expect.stringMatching(/^tasks\[\d+\]$/) }] })
  expect(api.calls).toEqual([])
})

test('a batch of 10,000 tasks is taken', async () => {
  const { post } = testApp()
  const response = await post('/tasks/batch', { tasks: Array.from({ length: 10_000 }, (_, i) => task(`t-${i}`)) })
  expect(response.json().results).toHaveLength(10_000)
})

test('execute hands its body on and answers the present status', async () => {
  const { api, post } = testApp()
  await post('/orchestrate', task('t-1'))
  const response = await post('/execute/t-1', { execution_mode: 'manual', checkpoints: ['a'] })
  expect(response.json()).toEqual({ task_id: 't-1', status: 'planned' })
  expect(api.calls.at(-1)).toEqual(['execute', 't-1', { execution_mode: 'manual', checkpoints: ['a'] }])
  expect((await post('/execute/none')).json()).toMatchObject({ status: 404, code: 'task_not_found' })
})

test('a task of a batch that can be read and not taken is refused alone, by its name', async () => {
  const { api, post } = testApp()
  const good = (id: string) => JSON.stringify(task(id))
  const bad = {
    half: '{"task_id":"half","title":"\\ud800"}',
    nul: '{"task_id":"nul","title":"a\\u0000b"}',
    proto: '{"task_id":"proto","title":"t","metadata":{"__proto__":{"polluted":true}}}',
    twice: '{"task_id":"twice","title":"t","title":"u"}',
    large: '{"task_id":"large","title":"t","metadata":{"n":9007199254740993}}',
    endless: '{"task_id":"endless","title":"t","metadata":{"n":1e999}}',
  }
  const body = `{"tasks":[${[good('t-1'), ...Object.values(bad), good('t-2')].join(',')}]}`
  const { results } = (await post('/tasks/batch', body)).json()
  expect(results.map((r: { task_id: string; status_code: number }) => [r.task_id, r.status_code])).toEqual([
    ['t-1', 201],
    ...Object.keys(bad).map(id => [id, 400]),
    ['t-2', 201],
  ])
  for (const { error } of results.slice(1, -1))
    expect(error).toMatchObject({ code: 'invalid_json', detail: expect.stringMatching(/line 1, column \d+/) })
  expect(api.calls).toHaveLength(1)
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})

test('what cannot be read refuses the whole batch', async () => {
  const { api, post } = testApp()
  for (const body of [
    '{"tasks":[{"task_id":"a"},{"task_id":"b"]}',
    `{"tasks":[${'['.repeat(100)}${']'.repeat(100)}]}`,
    '{"tasks":[],"tasks":[]}',
  ])
    expect((await post('/tasks/batch', body)).statusCode).toBe(400)
  expect(api.calls).toEqual([])
})

test.each(['\n', ''])('many refusals in one batch cost no more than reading it (%j between them)', async between => {
  const { post } = testApp()
  const values = Array.from({ length: 200_000 }, () => '1e999').join(`,${between}`)
  const tasks = Array.from({ length: 5_000 }, (_, n) => `{"task_id":"t-${n}","title":"\\ud800"}`).join(`,${between}`)
  const { results } = (await post('/tasks/batch', `{"tasks":[{"task_id":"t","context":[${values}]},${between}${tasks}]}`)).json()
  expect(results).toHaveLength(5_001)
  const at = between === '' ? /line 1, column \d{7}/ : /line 205000, column/
  expect(results.at(-1)).toMatchObject({ status_code: 400, error: { detail: expect.stringMatching(at) } })
})
