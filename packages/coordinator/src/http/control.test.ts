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

  test('a drain answers the state of the worker', async () => {
    const { api, post } = appWith()
    expect((await post('/workers/w-1/drain')).json()).toEqual({ id: 'w-1', state: 'draining' })
    expect(api.calls).toEqual([['drainWorker', 'w-1']])
    expect(problemOf(await post('/workers/none/drain'))).toMatchObject({ status: 404, code: 'worker_not_found' })
  })

  test('GET is not a verb', async () => {
    const { get } = appWith()
    for (const path of ['/tasks/t-1/cancel', '/workers/w-1/drain', '/reviews/7/decide']) {
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
    expect(api.calls).toEqual([
      ['assignReview', '7', { assignee: 'ann', dueAt: new Date(due) }],
      ['assignReview', '7', { assignee: null }],
    ])
  })

  test('are decided, with an output byte for byte', async () => {
    const { api, post } = appWith()
    const output = '{"b": 1.0, "a": 1e2,\n "c":"\\u00e9", "output": 2.0}'
    const response = await post('/reviews/7/decide', `{"decision":"supply","reason":"by hand","output":${output}}`)
    expect(response.json()).toMatchObject({ status: 'decided', decision: 'supply', decided_by: 'local' })
    expect(api.calls).toMatchObject([['decideReview', '7', { decision: 'supply', reason: 'by hand', output: { text: output } }]])
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
  for (const path of ['/tasks/t-1/cancel', '/tasks/t-1/subtasks/a/release', '/reviews/7/decide', '/reviews/7/assign', '/workers/w/drain'])
    expect((await post(path, {})).statusCode).toBe(401)
  expect((await get('/reviews')).statusCode).toBe(401)
  expect(api.calls).toEqual([])
})
