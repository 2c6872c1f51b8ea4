import { expect, test } from 'vitest'
import { problemOf, testApp } from './testing/test-app.js'

const a = { name: 'a', capability: 'c' }
const task = { task_id: 't-1', title: 'A task' }
const withSubtasks = (...subtasks: unknown[]) => ({ ...task, subtasks })
const capability = (name: string) => withSubtasks({ ...a, capability: name })
const deep = (depth: number): unknown => (depth === 0 ? 1 : { a: deep(depth - 1) })
const ring = (n: number) => Array.from({ length: n }, (_, i) => ({ name: `s${i}`, depends_on: [`s${(i + 1) % n}`] }))

/** What is wrong, the body, and every field that the answer must name with a part of its issue. */
const cases: [string, unknown, Record<string, RegExp>][] = [
  ['nothing in it', {}, { task_id: /is required/, title: /is required/, description: /unless `subtasks`/ }],
  [
    'nothing right in it',
    { task_id: 5, title: '', metadata: 'x', priority: 'urgent', color: 1 },
    {
      task_id: /must be a string, not a number/,
      title: /empty/,
      metadata: /object/,
      priority: /critical, high, medium, low/,
      color: /known are: task_id, title/,
      description: /required/,
    },
  ],
  ['a list', [], { '': /must be an object, not a list/ }],
  ['null', null, { '': /must be an object, not null/ }],
  ['no description and no subtasks', task, { description: /required unless `subtasks` is given/ }],
  ['no subtasks in the list', { ...task, subtasks: [] }, { subtasks: /at least one/ }],
  ['a task_id with a colon', { ...task, task_id: 'a::b', description: 'x' }, { task_id: /letters, digits/ }],
  ['a task_id that is a path', { ...task, task_id: '../x', description: 'x' }, { task_id: /letters, digits/ }],
  ['a task_id of 129 characters', { ...task, task_id: 'a'.repeat(129), description: 'x' }, { task_id: /1 to 128/ }],
  [
    'an unknown key in a subtask',
    withSubtasks({ ...a, colour: 1, depend_on: [] }),
    { 'subtasks[0].colour': /known are: name, title, capability/, 'subtasks[0].depend_on': /known are/ },
  ],
  ['an unknown priority', { ...task, description: 'x', priority: 'urgent' }, { priority: /one of critical, high, medium, low/ }],
  ['a subtask that depends on itself', withSubtasks({ ...a, depends_on: ['a'] }), { 'subtasks[0].depends_on[0]': /itself/ }],
  [
    'a cycle of 2',
    withSubtasks({ ...a, depends_on: ['b'] }, { ...a, name: 'b', depends_on: ['a'] }),
    { 'subtasks[0].depends_on': /cycle/ },
  ],
  ['a cycle of 1,000', { ...task, subtasks: ring(1_000) }, { 'subtasks[0].depends_on': /cycle.*more/ }],
  ['an unknown dependency', withSubtasks({ ...a, depends_on: ['build'] }), { 'subtasks[0].depends_on[0]': /no subtask "build"/ }],
  ['two subtasks of one name', withSubtasks(a, a), { 'subtasks[1].name': /subtasks\[0\]/ }],
  [
    'a wrong name, a wrong number and a cycle at once',
    withSubtasks({ ...a, depends_on: ['b'], max_attempts: 0 }, { name: 'b', capability: 'X', depends_on: ['a'] }),
    { 'subtasks[0].max_attempts': /at least 1/, 'subtasks[1].capability': /lower-case/, 'subtasks[0].depends_on': /cycle/ },
  ],
  [
    '100,001 subtasks',
    { ...task, subtasks: Array.from({ length: 100_001 }, (_, i) => ({ name: `s${i}` })) },
    { subtasks: /at most 100000/ },
  ],
  ['an SLA of 0', withSubtasks({ ...a, sla_seconds: 0 }), { 'subtasks[0].sla_seconds': /more than 0/ }],
  ['a negative SLA', withSubtasks({ ...a, sla_seconds: -1 }), { 'subtasks[0].sla_seconds': /more than 0/ }],
  ['an SLA of more than a year', withSubtasks({ ...a, sla_seconds: 40_000_000 }), { 'subtasks[0].sla_seconds': /a year/ }],
  [
    'waits and deadlines beyond a year',
    withSubtasks({ ...a, queue_wait_seconds: 4e7, deadline_seconds: 4e7 }),
    { 'subtasks[0].queue_wait_seconds': /a year/, 'subtasks[0].deadline_seconds': /a year/ },
  ],
  [
    'waits and deadlines of 0 and less',
    withSubtasks({ ...a, queue_wait_seconds: 0, deadline_seconds: -5, lease_seconds: -1 }),
    {
      'subtasks[0].queue_wait_seconds': /more than 0/,
      'subtasks[0].deadline_seconds': /more than 0/,
      'subtasks[0].lease_seconds': /more than 0/,
    },
  ],
  [
    'what alone takes longer than its deadline',
    withSubtasks({ ...a, deadline_seconds: 60, sla_seconds: 61, queue_wait_seconds: 3_600, lease_seconds: 120 }),
    {
      'subtasks[0].sla_seconds': /not be more than deadline_seconds \(60\)/,
      'subtasks[0].queue_wait_seconds': /not be more than deadline_seconds/,
      'subtasks[0].lease_seconds': /not be more than deadline_seconds/,
    },
  ],
  [
    'a deadline that is no number',
    withSubtasks({ ...a, deadline_seconds: '1h', backoff: 5 }),
    { 'subtasks[0].deadline_seconds': /must be a number, not a string/, 'subtasks[0].backoff': /must be an object/ },
  ],
  [
    'a first backoff that is longer than the longest',
    withSubtasks({ ...a, backoff: { initial_seconds: 10, max_seconds: 5 } }),
    { 'subtasks[0].backoff.initial_seconds': /not be more than max_seconds/ },
  ],
  [
    'a backoff of 0, beyond a year, and with a key of its own',
    withSubtasks({ ...a, backoff: { initial_seconds: 0, max_seconds: 4e7, factor: 3 } }),
    {
      'subtasks[0].backoff.initial_seconds': /more than 0/,
      'subtasks[0].backoff.max_seconds': /a year/,
      'subtasks[0].backoff.factor': /known are: initial_seconds, max_seconds/,
    },
  ],
  ['a capability with a colon', capability('a:b'), { 'subtasks[0].capability': /lower-case/ }],
  ['a capability with braces', capability('{x}'), { 'subtasks[0].capability': /lower-case/ }],
  ['a capability that is a path', capability('../x'), { 'subtasks[0].capability': /lower-case/ }],
  ['a capability of 10,000 characters', capability('a'.repeat(10_000)), { 'subtasks[0].capability': /1 to 64/ }],
  ['a capability in look-alike letters', capability('со\u0501е'), { 'subtasks[0].capability': /lower-case/ }],
  ['an agent in capitals', withSubtasks({ name: 'a', agent: 'Dev' }), { 'subtasks[0].agent': /lower-case/ }],
  ['metadata over 64 KiB', { ...task, description: 'x', metadata: { a: 'x'.repeat(65_536) } }, { metadata: /64 KiB/ }],
  [
    'metadata of a million items',
    { ...task, description: 'x', metadata: { a: Array.from({ length: 1_000_000 }, () => 0) } },
    { metadata: /64 KiB/ },
  ],
  ['metadata deeper than 8', { ...task, description: 'x', metadata: deep(9) }, { metadata: /deeper than 8/ }],
  ['context that is a list', { ...task, description: 'x', context: [] }, { context: /object/ }],
  ['a callback that is no web address', { ...task, description: 'x', callback_url: 'file:///etc/passwd' }, { callback_url: /http/ }],
]

test.each(cases)('POST /orchestrate refuses %s, and names every place', async (_, body, fields) => {
  const { api, post } = testApp()
  const response = await post('/orchestrate', JSON.stringify(body))
  const problem = problemOf(response)
  expect(problem).toMatchObject({ status: 400, code: 'invalid_request' })
  expect(response.statusCode).toBe(400)
  for (const [path, issue] of Object.entries(fields)) expect(problem.fields).toContainEqual({ path, issue: expect.stringMatching(issue) })
  expect(problem.fields?.map(field => field.path).sort()).toEqual(Object.keys(fields).sort())
  expect(api.calls).toEqual([])
})

test('metadata of 8 levels and SLAs of a year are taken', async () => {
  const { post } = testApp()
  expect((await post('/orchestrate', { ...withSubtasks({ ...a, sla_seconds: 31_536_000 }), metadata: deep(8) })).statusCode).toBe(201)
})

test('millions of mistakes get a short answer within two seconds', async () => {
  const { post } = testApp()
  const subtasks = Array.from({ length: 90_000 }, () => ({
    name: 1,
    title: 1,
    capability: 1,
    agent: 1,
    requires: 1,
    depends_on: Array.from({ length: 50 }, () => 1),
  }))
  const body = JSON.stringify({ ...task, subtasks })
  const begin = process.cpuUsage() // of this process only, whatever else the machine does
  const response = await post('/orchestrate', body)
  expect(process.cpuUsage(begin).user / 1_000).toBeLessThan(2_000)
  expect(response.statusCode).toBe(400)
  expect(problemOf(response).fields?.at(-1)?.issue ?? '').toMatch(/more problems|must be/)
  expect(response.body.length).toBeLessThan(200_000)
})

test('a chain of 100,000 subtasks is taken', async () => {
  const { post } = testApp()
  const subtasks = Array.from({ length: 100_000 }, (_, i) => ({ name: `s${i}`, ...(i > 0 && { depends_on: [`s${i - 1}`] }) }))
  expect((await post('/orchestrate', JSON.stringify({ ...task, subtasks }))).statusCode).toBe(201)
})

test('the same task_id with another body is a conflict that names the fields', async () => {
  const { post } = testApp()
  await post('/orchestrate', withSubtasks(a))
  const response = await post('/orchestrate', { ...withSubtasks(a), title: 'Another' })
  expect(response.statusCode).toBe(409)
  expect(problemOf(response)).toMatchObject({ code: 'task_conflict', fields: [{ path: 'title', issue: 'differs' }] })
})

test.each([
  ['an unknown mode', { execution_mode: 'fast' }, 'execution_mode', /one of auto, manual/],
  ['an unknown key', { mode: 'auto' }, 'mode', /known are: execution_mode, checkpoints/],
  ['checkpoints that are no names', { checkpoints: ['a', 5] }, 'checkpoints[1]', /must be a string/],
])('POST /execute refuses %s', async (_, body, path, issue) => {
  const { api, post } = testApp()
  const response = await post('/execute/t-1', body)
  expect(problemOf(response)).toMatchObject({
    status: 400,
    code: 'invalid_request',
    fields: [{ path, issue: expect.stringMatching(issue) }],
  })
  expect(api.calls).toEqual([])
})

test.each([
  ['/tasks?color=red', 'color', /known are: status, agent/],
  ['/tasks?status=done', 'status[0]', /one of planned, running/],
  ['/tasks?status=running,', 'status[1]', /one of planned/],
  ['/tasks?limit=0', 'limit', /from 1 to 1000/],
  ['/tasks?limit=1001', 'limit', /from 1 to 1000/],
  ['/tasks?limit=1e2', 'limit', /from 1 to 1000/],
  ['/tasks?limit=5&limit=6', 'limit', /twice/],
  ['/tasks?created_after=yesterday', 'created_after', /date/],
  ['/tasks?created_after=2026-02-30', 'created_after', /date/],
  ['/tasks?cursor=%00', 'cursor', /next_cursor/],
  ['/tasks?agent=A', 'agent', /lower-case/],
  ['/tasks?metadata.a=%00', 'metadata.a', /control characters/],
  ['/tasks/t-1?wait=61', 'wait', /from 0 to 60/],
  ['/tasks/t-1?wait=-1', 'wait', /from 0 to 60/],
  ['/tasks/t-1?metadata.a=1', 'metadata.a', /is not known/],
  ['/tasks/a%20b', 'task_id', /letters, digits/],
  [`/tasks/${'a'.repeat(5_000)}`, 'task_id', /1 to 128/],
  ['/tasks/t-1/artifacts/s/..%2f..%2fetc', 'name', /must match/],
  ['/agents?health=ill', 'health', /healthy, degraded, offline/],
  ['/agents?api_key=x', 'api_key', /known are: domain/],
  ['/workers?limit=5', 'limit', /is not known/],
  ['/healthz?x=1', 'x', /is not known/],
])('GET %s is refused', async (url, path, issue) => {
  const { api, get } = testApp()
  const response = await get(url)
  expect(problemOf(response)).toMatchObject({
    status: 400,
    code: 'invalid_request',
    fields: [{ path, issue: expect.stringMatching(issue) }],
  })
  expect(api.calls).toEqual([])
})
