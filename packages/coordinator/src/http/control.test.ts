import { type ReviewView, type TaskStatus, taskStatuses } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { taskOf } from './testing/fake-api.js'
import { problemOf, testApp } from './testing/test-app.js'

const task = (status: TaskStatus) => taskOf({ task_id: 't-1', title: 'A task', subtasks: [{ name: 'a', capability: 'c' }] }, { status })

const review = (changes: Partial<ReviewView> = {}): ReviewView => ({
  id: '7',
  kind: 'exhausted',
  status: 'open',
  task_id: 't-1',
  subtask_id: 'c::t-1::1',
  subtask: 'a',
  subtask_state: 'needs_review',
  assignee: null,
  due_at: null,
  escalate_to: null,
  escalated_at: null,
  digest: null,
  detail: '{"code":"agent_error","message":"it failed"}',
  decision: null,
  reason: null,
  decided_by: null,
  created_at: '2026-01-01T00:00:00Z',
  decided_at: null,
  ...changes,
})

function appWith(status: TaskStatus = 'running') {
  const app = testApp()
  app.api.put(task(status))
  app.api.reviewList = [review()]
  app.api.workerList = [
    {
      id: 'w-1',
      host: 'box',
      pid: 1,
      version: '0',
      agents: [],
      concurrency: 1,
      active: 0,
      state: 'ready',
      started_at: '2026-01-01T00:00:00Z',
      last_heartbeat_at: '2026-01-01T00:00:00Z',
    },
  ]
  return app
}

describe('verbs', () => {
  test.each([
    ['cancel', 'cancelled'],
    ['pause', 'paused'],
    ['resume', 'running'],
  ])('POST /tasks/:task_id/%s takes a reason or none, and answers the status', async (verb, status) => {
    const { api, post } = appWith()
    expect((await post(`/tasks/t-1/${verb}`, { reason: 'because\nof this' })).json()).toEqual({ task_id: 't-1', status })
    expect(api.calls).toEqual([['controlTask', 't-1', verb, 'because\nof this']])
    for (const body of [undefined, {}]) {
      api.put(task('running'))
      expect((await post(`/tasks/t-1/${verb}`, body)).statusCode).toBe(200)
      expect(api.calls.at(-1)?.[3]).toMatch(/asked/)
    }
  })

  test.each(taskStatuses)('what the coordinator refuses of a %s task is a conflict that names the status', async status => {
    const { post } = appWith(status)
    const response = await post('/tasks/t-1/cancel')
    if (['completed', 'failed', 'cancelled'].includes(status))
      expect(problemOf(response)).toMatchObject({ status: 409, code: 'state_conflict', task_status: status })
    else expect(response.statusCode).toBe(200)
  })

  test('a release takes the id of the subtask, and no body', async () => {
    const { api, post } = appWith()
    const path = `/tasks/t-1/subtasks/${encodeURIComponent('c::t-1::1')}/release`
    expect((await post(path)).json()).toEqual({ subtask_id: 'c::t-1::1', state: 'ready' })
    expect((await post(path, {})).statusCode).toBe(200)
    expect(api.calls).toEqual(Array.from({ length: 2 }, () => ['releaseSubtask', 't-1', 'c::t-1::1']))
    expect(problemOf(await post('/tasks/t-1/subtasks/none/release'))).toMatchObject({ status: 404, code: 'subtask_not_found' })
  })

  test.each([
    ['cancel', 'cancelSubtask', 'cancelled'],
    ['retry', 'retrySubtask', 'ready'],
  ])('%s of a subtask takes a reason or none, and answers the state', async (verb, method, state) => {
    const { api, post } = appWith()
    const path = `/tasks/t-1/subtasks/${encodeURIComponent('c::t-1::1')}/${verb}`
    expect((await post(path, { reason: 'because' })).json()).toEqual({ subtask_id: 'c::t-1::1', state })
    for (const body of [undefined, {}]) expect((await post(path, body)).statusCode).toBe(200)
    expect(api.calls).toEqual([
      [method, 't-1', 'c::t-1::1', 'because'],
      ...Array.from({ length: 2 }, () => [method, 't-1', 'c::t-1::1', expect.stringMatching(/asked/)]),
    ])
    expect(problemOf(await post(`/tasks/t-1/subtasks/none/${verb}`))).toMatchObject({ status: 404, code: 'subtask_not_found' })
  })

  test('a reassignment names the agent', async () => {
    const { api, post } = appWith()
    const path = `/tasks/t-1/subtasks/${encodeURIComponent('c::t-1::1')}/reassign`
    expect((await post(path, { agent: 'dev', reason: 'knows better' })).json()).toEqual({ subtask_id: 'c::t-1::1', state: 'ready' })
    expect((await post(path, { agent: 'dev' })).statusCode).toBe(200)
    expect(api.calls).toEqual([
      ['reassignSubtask', 't-1', 'c::t-1::1', { agent: 'dev', reason: 'knows better' }],
      ['reassignSubtask', 't-1', 'c::t-1::1', { agent: 'dev', reason: expect.stringMatching(/asked/) }],
    ])
  })

  test('a rerun names subtasks, and keeps an edited input byte for byte', async () => {
    const { api, post } = appWith('completed')
    const input = '{"b": 1.0, "a": 1e2,\n "c":"\\u00e9", "from": 2.0}'
    const response = await post('/tasks/t-1/rerun', `{"from":["a"],"input":${input},"reason":"wrong"}`)
    expect(response.json()).toEqual({ task_id: 't-1', status: 'running', subtasks: 1 })
    expect((await post('/tasks/t-1/rerun', { from: ['a', 'b'] })).statusCode).toBe(200)
    expect((await post('/tasks/t-1/rerun', '{"from":["a"],"input":null}')).statusCode).toBe(200)
    expect(api.calls).toMatchObject([
      ['rerunTask', 't-1', { from: ['a'], input: { text: input }, reason: 'wrong' }],
      ['rerunTask', 't-1', { from: ['a', 'b'], reason: expect.stringMatching(/asked/) }],
      ['rerunTask', 't-1', { from: ['a'], input: { text: 'null' } }],
    ])
    expect(api.calls[1]?.[2]).not.toHaveProperty('input')
    expect(problemOf(await post('/tasks/none/rerun', { from: ['a'] }))).toMatchObject({ status: 404, code: 'task_not_found' })
  })

  test('why is a page of what waits', async () => {
    const { api, get } = appWith('blocked')
    const waiting = { ...task('blocked'), subtasks: task('blocked').subtasks.map(one => ({ ...one, why: 'no live worker offers `c`' })) }
    api.put(waiting)
    expect((await get('/tasks/t-1/why')).json()).toEqual({
      task_id: 't-1',
      status: 'blocked',
      subtasks: [{ subtask_id: 'c::t-1::1', name: 'a', state: 'pending', why: 'no live worker offers `c`' }],
      next_cursor: null,
    })
    expect((await get('/tasks/t-1/why?limit=5&cursor=9')).statusCode).toBe(200)
    expect(api.calls).toEqual([
      ['why', 't-1', { limit: 1_000 }],
      ['why', 't-1', { limit: 5, cursor: '9' }],
    ])
    expect(problemOf(await get('/tasks/none/why'))).toMatchObject({ status: 404, code: 'task_not_found' })
  })

  test('a drain answers the state of the worker', async () => {
    const { api, post } = appWith()
    expect((await post('/workers/w-1/drain')).json()).toEqual({ id: 'w-1', state: 'draining' })
    expect(api.calls).toEqual([['drainWorker', 'w-1']])
    expect(problemOf(await post('/workers/none/drain'))).toMatchObject({ status: 404, code: 'worker_not_found' })
  })

  test('GET is not a verb', async () => {
    const { get } = appWith()
    for (const path of [
      '/tasks/t-1/cancel',
      '/tasks/t-1/rerun',
      '/tasks/t-1/subtasks/a/retry',
      '/workers/w-1/drain',
      '/reviews/7/decide',
    ]) {
      const response = await get(path)
      expect([response.statusCode, response.headers.allow]).toEqual([405, 'POST'])
    }
  })
})

describe('reviews', () => {
  test('are listed, the open ones unless another status is asked for', async () => {
    const { api, get } = appWith()
    expect((await get('/reviews')).json()).toEqual({ reviews: [review()], next_cursor: null })
    expect((await get('/reviews?status=closed&task_id=t-1&assignee=ann&limit=5&cursor=9')).json()).toEqual({
      reviews: [],
      next_cursor: null,
    })
    expect(api.calls).toEqual([
      ['reviews', { status: 'open', limit: 50 }],
      ['reviews', { status: 'closed', taskId: 't-1', assignee: 'ann', limit: 5, cursor: '9' }],
    ])
  })

  test('are shown one by one', async () => {
    const { get } = appWith()
    expect((await get('/reviews/7')).json()).toEqual(review())
    for (const id of ['8', 'x', '-1'])
      expect(problemOf(await get(`/reviews/${id}`))).toMatchObject({ status: 404, code: 'review_not_found' })
  })

  test('are assigned to somebody, or to nobody any more', async () => {
    const { api, post } = appWith()
    const due = '2026-12-01T12:00:00+02:00'
    expect((await post('/reviews/7/assign', { assignee: 'ann', due_at: due })).json()).toMatchObject({ assignee: 'ann' })
    expect((await post('/reviews/7/assign', { assignee: null })).json()).toMatchObject({ assignee: null })
    expect((await post('/reviews/7/assign', { assignee: 'ann', escalate_to: 'bob' })).json()).toMatchObject({ escalate_to: 'bob' })
    expect((await post('/reviews/7/assign', { assignee: 'ann', escalate_to: null })).statusCode).toBe(200)
    expect(api.calls).toEqual([
      ['assignReview', '7', { assignee: 'ann', dueAt: new Date(due) }],
      ['assignReview', '7', { assignee: null }],
      ['assignReview', '7', { assignee: 'ann', escalateTo: 'bob' }],
      ['assignReview', '7', { assignee: 'ann', escalateTo: null }],
    ])
  })

  test('are decided, with an output byte for byte', async () => {
    const { api, post } = appWith()
    const output = '{"b": 1.0, "a": 1e2,\n "c":"\\u00e9", "output": 2.0}'
    const response = await post('/reviews/7/decide', `{"decision":"supply","reason":"by hand","output":${output}}`)
    expect(response.json()).toMatchObject({ status: 'decided', decision: 'supply', decided_by: 'local' })
    expect(api.calls).toMatchObject([['decideReview', '7', { decision: 'supply', reason: 'by hand', output: { text: output } }]])
  })

  test('are decided by the digest that was shown', async () => {
    const { api, post } = appWith()
    const digest = 'ab'.repeat(32)
    expect((await post('/reviews/7/decide', { decision: 'approve', reason: 'x', digest })).statusCode).toBe(200)
    expect(api.calls).toMatchObject([['decideReview', '7', { decision: 'approve', digest }]])
  })

  test('take one decision; a second is told who decided', async () => {
    const { post } = appWith()
    await post('/reviews/7/decide', { decision: 'retry', reason: 'x' })
    const late = problemOf(await post('/reviews/7/decide', { decision: 'fail', reason: 'y' }))
    expect(late).toMatchObject({ status: 409, code: 'state_conflict', detail: expect.stringContaining('(retry) by local') })
    expect(problemOf(await post('/reviews/8/decide', { decision: 'fail', reason: 'y' }))).toMatchObject({ code: 'review_not_found' })
  })

  test('keep null apart from no output', async () => {
    const { api, post } = appWith()
    expect((await post('/reviews/7/decide', '{"decision":"supply","reason":"x","output":null}')).statusCode).toBe(200)
    expect(api.calls[0]?.[2]).toMatchObject({ output: { text: 'null' } })
  })
})

const decide = '/reviews/7/decide'
const badBodies: [string, string, unknown, Record<string, RegExp>][] = [
  ['a decision without anything', decide, {}, { decision: /required/, reason: /required/ }],
  ['a decision that is none', decide, { decision: 'maybe', reason: 'x', agent: 'a' }, { decision: /one of approve, reject/ }],
  ['an empty reason', decide, { decision: 'retry', reason: '' }, { reason: /empty/ }],
  ['a reason of blanks', decide, { decision: 'retry', reason: ' \n' }, { reason: /empty/ }],
  ['a reason that is no text', decide, { decision: 'retry', reason: 5 }, { reason: /must be a string, not a number/ }],
  ['a reason without end', decide, { decision: 'retry', reason: 'x'.repeat(2_001) }, { reason: /at most 2000/ }],
  ['a supply without output and reason', decide, { decision: 'supply' }, { reason: /required/, output: /required for `supply`/ }],
  ['a reassignment to nobody', decide, { decision: 'reassign', reason: 'x' }, { agent: /required for `reassign`/ }],
  ['a reassignment to no name', decide, { decision: 'reassign', reason: 'x', agent: 'A b' }, { agent: /lower-case/ }],
  [
    'what belongs to other decisions',
    decide,
    { decision: 'approve', reason: 'x', output: 1, agent: 'dev' },
    { output: /`supply` only/, agent: /`reassign` only/ },
  ],
  [
    'unknown keys',
    decide,
    { decision: 'retry', reason: 'x', force: true, metadata: {} },
    { force: /known are: decision/, metadata: /not known/ },
  ],
  ['a list for a decision', decide, [], { '': /must be an object/ }],
  ['an assignment to nothing', '/reviews/7/assign', {}, { assignee: /required/ }],
  ['an assignment to blanks', '/reviews/7/assign', { assignee: ' ', due_at: 'soon' }, { assignee: /empty/, due_at: /date-time/ }],
  ['a date without a zone', '/reviews/7/assign', { assignee: 'ann', due_at: '2026-12-01T12:00:00' }, { due_at: /date-time/ }],
  ['the year 0', '/reviews/7/assign', { assignee: 'ann', due_at: '0000-01-01T00:00:00Z' }, { due_at: /year 0/ }],
  [
    'an unknown key of an assignment',
    '/reviews/7/assign',
    { assignee: 'ann', until: 1 },
    { until: /known are: assignee, escalate_to, due_at/ },
  ],
  ['a digest that is none', decide, { decision: 'approve', reason: 'x', digest: 'AB' }, { digest: /digest of a review/ }],
  ['an escalation to blanks', '/reviews/7/assign', { assignee: 'ann', escalate_to: '' }, { escalate_to: /empty/ }],
  ['a rerun of nothing', '/tasks/t-1/rerun', { from: [] }, { from: /at least one subtask/ }],
  ['a rerun that names nothing', '/tasks/t-1/rerun', { reason: ' ' }, { from: /required/, reason: /empty/ }],
  ['a rerun of a name alone', '/tasks/t-1/rerun', { from: 'a' }, { from: /must be a list, not a string/ }],
  ['a rerun of what is no name', '/tasks/t-1/rerun', { from: ['a', '', 5] }, { 'from[1]': /at least 1/, 'from[2]': /string/ }],
  [
    'a rerun of more than a thousand',
    '/tasks/t-1/rerun',
    { from: Array.from({ length: 1_001 }, (_, i) => `s${i}`) },
    { from: /at most 1000/ },
  ],
  ['an unknown key of a rerun', '/tasks/t-1/rerun', { from: ['a'], to: ['b'] }, { to: /known are: from, input, reason/ }],
  ['a reassignment without an agent', '/tasks/t-1/subtasks/a/reassign', {}, { agent: /required/ }],
  [
    'a reassignment to what is no agent',
    '/tasks/t-1/subtasks/a/reassign',
    { agent: '../x', reason: 5 },
    { agent: /lower-case/, reason: /string/ },
  ],
  ['an empty reason to retry', '/tasks/t-1/subtasks/a/retry', { reason: '' }, { reason: /empty/ }],
  ['an unknown key of a subtask to cancel', '/tasks/t-1/subtasks/a/cancel', { force: true }, { force: /known are: reason/ }],
  ['an empty reason to cancel', '/tasks/t-1/cancel', { reason: '' }, { reason: /empty/ }],
  ['an unknown key of a pause', '/tasks/t-1/pause', { force: true }, { force: /known are: reason/ }],
  ['a body of a release', '/tasks/t-1/subtasks/a/release', { reason: 'x' }, { reason: /not known/ }],
  ['a body of a drain', '/workers/w-1/drain', { restart: true }, { restart: /not known/ }],
  ['an id of a task that is none', '/tasks/a%20b/cancel', {}, { task_id: /letters/ }],
]

test.each(badBodies)('%s is refused at every place, and nothing is asked', async (_, url, body, fields) => {
  const { api, post } = appWith()
  const response = await post(url, JSON.stringify(body))
  const problem = problemOf(response)
  expect(problem).toMatchObject({ status: 400, code: 'invalid_request' })
  for (const [path, issue] of Object.entries(fields)) expect(problem.fields).toContainEqual({ path, issue: expect.stringMatching(issue) })
  expect(problem.fields?.map(field => field.path).sort()).toEqual(Object.keys(fields).sort())
  expect(api.calls).toEqual([])
})

test.each([
  ['no body', undefined, /empty/],
  ['an input that is no JSON', '{"from":["a"],"input":{]}', /key in double quotes/],
  ['a NUL in an input', '{"from":["a"],"input":"\\u0000"}', /NUL/],
  ['two inputs', '{"from":["a"],"input":1,"input":2}', /twice/],
  ['__proto__ in an input', '{"from":["a"],"input":{"__proto__":1}}', /__proto__/],
])('a rerun with %s is refused', async (_, body, detail) => {
  const { api, post } = appWith()
  expect(problemOf(await post('/tasks/t-1/rerun', body))).toMatchObject({
    status: 400,
    code: 'invalid_json',
    detail: expect.stringMatching(detail),
  })
  expect(api.calls).toEqual([])
})

test.each([
  ['an output that is no JSON', '{"decision":"supply","reason":"x","output":NaN}', /not expected/],
  ['a NUL in an output', '{"decision":"supply","reason":"x","output":"\\u0000"}', /NUL/],
  ['__proto__ in an output', '{"decision":"supply","reason":"x","output":{"__proto__":1}}', /__proto__/],
  ['two outputs', '{"decision":"supply","reason":"x","output":1,"output":2}', /twice/],
  ['an output that is too deep', `{"decision":"supply","reason":"x","output":${'['.repeat(64)}${']'.repeat(64)}}`, /deeper/],
  ['no body', undefined, /empty/],
])('a decision with %s is refused', async (_, body, detail) => {
  const { api, post } = appWith()
  const response = await post(decide, body)
  expect(problemOf(response)).toMatchObject({ status: 400, code: 'invalid_json', detail: expect.stringMatching(detail) })
  expect(api.calls).toEqual([])
})

test.each([
  ['/reviews?status=done', 'status', /one of open, decided, closed/],
  ['/reviews?limit=0', 'limit', /from 1 to 1000/],
  ['/reviews?task_id=a%20b', 'task_id', /letters/],
  ['/reviews?assignee=', 'assignee', /empty/],
  ['/reviews?open=true', 'open', /known are: status, task_id/],
  ['/reviews/7?x=1', 'x', /not known/],
  ['/tasks/t-1/why?limit=1001', 'limit', /from 1 to 1000/],
  ['/tasks/t-1/why?state=pending', 'state', /known are: limit, cursor/],
])('GET %s is refused', async (url, path, issue) => {
  const { api, get } = appWith()
  expect(problemOf(await get(url))).toMatchObject({
    status: 400,
    code: 'invalid_request',
    fields: [{ path, issue: expect.stringMatching(issue) }],
  })
  expect(api.calls).toEqual([])
})

test('an output of more than a megabyte is too large', async () => {
  const { api, post } = appWith()
  const response = await post(decide, { decision: 'supply', reason: 'x', output: 'x'.repeat(1024 * 1024) })
  expect(problemOf(response)).toMatchObject({ status: 413, code: 'body_too_large' })
  expect(api.calls).toEqual([])
})

test('with a key, none of it is open', async () => {
  const { api, get, post } = testApp({ apiKey: 'a-key-of-16-chars' })
  for (const path of [
    '/tasks/t-1/cancel',
    '/tasks/t-1/rerun',
    '/tasks/t-1/subtasks/a/release',
    '/tasks/t-1/subtasks/a/retry',
    '/reviews/7/decide',
    '/reviews/7/assign',
    '/workers/w/drain',
  ])
    expect((await post(path, {})).statusCode).toBe(401)
  expect((await get('/reviews')).statusCode).toBe(401)
  expect((await get('/tasks/t-1/why')).statusCode).toBe(401)
  expect(api.calls).toEqual([])
})
