import { describe, expect, test } from 'vitest'
import { check, type invariants } from './check.js'
import type { AttemptRow, EventRow, History, JournalLine, Operation, SubtaskRow } from './history.js'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Draft = { -readonly [K in keyof History]: History[K] extends readonly (infer R)[] ? Mutable<R>[] : History[K] }

let seq = 0
const event = (name: EventRow['name'], rest: Partial<EventRow>): EventRow => ({
  xid: '1',
  seq: ++seq,
  at: '2026-01-01 00:00:00+00',
  name,
  task_pk: '1',
  subtask_pk: null,
  attempt: null,
  worker_id: null,
  data: null,
  ...rest,
})
const taskEvent = (name: EventRow['name'], from: string | null, to: string) => event(name, { data: { from, to } })
const subtask = (id: string, name: string, rest: Partial<SubtaskRow> = {}): SubtaskRow => ({
  id,
  uuid: `uuid-${id}`,
  task_pk: '1',
  name,
  generation: 0,
  on_failure: 'review',
  input_sha256: 'in',
  state: 'completed',
  unmet: 0,
  attempt: 1,
  charged: 0,
  attempt_limit: 3,
  dispatch: 1,
  ...rest,
})
const attempt = (subtask_pk: string, n: number, rest: Partial<AttemptRow> = {}): AttemptRow => ({
  subtask_pk,
  attempt: n,
  claim_id: `claim-${subtask_pk}-${n}`,
  worker_id: 'w1',
  outcome: 'completed',
  charged: true,
  output_sha256: 'out',
  ...rest,
})
const line = (key: string, n: number, rest: Partial<JournalLine>): JournalLine => ({
  pid: 11,
  at: 0,
  event: 'start',
  subtask: 'x',
  key,
  attempt: n,
  ...rest,
})
const operation = (rest: Partial<Operation>): Operation => ({
  n: 1,
  kind: 'submit_and_execute',
  taskId: 't1',
  at: 0,
  tookMs: 10,
  fate: 'ok',
  status: 201,
  ...rest,
})

/** Task t1: `a` loses its first attempt with a killed worker and completes on the second, then `b` completes. */
function correct(): Draft {
  seq = 0
  const a = (name: EventRow['name'], n: number | null, rest: Partial<EventRow> = {}) =>
    event(name, { subtask_pk: '2', attempt: n, ...rest })
  const b = (name: EventRow['name'], n: number | null) => event(name, { subtask_pk: '3', attempt: n, worker_id: 'w2' })
  return {
    events: [
      taskEvent('task.planned', null, 'planned'),
      taskEvent('task.started', 'planned', 'running'),
      a('subtask.queued', 1),
      a('subtask.started', 1, { worker_id: 'w1' }),
      a('subtask.retrying', 1, { data: { outcome: 'lost', failure: { code: 'worker_lost', retryable: true } } }),
      a('subtask.queued', 2), // its backoff ended without a word
      a('subtask.started', 2, { worker_id: 'w2' }),
      a('subtask.completed', 2, { worker_id: 'w2' }),
      b('subtask.ready', null),
      b('subtask.queued', 1),
      b('subtask.started', 1),
      b('subtask.completed', 1),
      taskEvent('task.completed', 'running', 'completed'),
    ],
    tasks: [{ id: '1', tenant_id: 1, task_id: 't1', status: 'completed' }],
    subtasks: [subtask('2', 'a', { attempt: 2, charged: 1, dispatch: 2 }), subtask('3', 'b')],
    dependencies: [{ from_id: '2', to_id: '3' }],
    attempts: [
      attempt('2', 1, { outcome: 'lost', output_sha256: null }),
      attempt('2', 2, { worker_id: 'w2' }),
      attempt('3', 1, { worker_id: 'w2' }),
    ],
    reviews: [],
    workers: [
      { id: 'w1', pid: 11 },
      { id: 'w2', pid: 12 },
    ],
    journal: [
      line('uuid-2', 1, {}),
      line('uuid-2', 2, { pid: 12 }),
      line('uuid-2', 2, { pid: 12, event: 'end', outcome: 'completed', sha256: 'out' }),
      line('uuid-3', 1, { pid: 12 }),
      line('uuid-3', 1, { pid: 12, event: 'end', outcome: 'completed', sha256: 'out' }),
    ],
    operations: [
      operation({ fate: 'unknown', inputs: { a: 'in', b: 'in' } }),
      operation({ n: 2, status: 200, inputs: { a: 'in', b: 'in' } }),
      operation({ n: 3, taskId: 'refused', fate: 'failed', status: 400, code: 'invalid_request', bad: true }),
    ],
    disturbances: [{ member: 'worker0', pid: 11, what: 'killed' }],
    jobs: [],
    open: {},
  }
}

function at<T>(list: readonly T[], n: number): T {
  const item = list[n]
  if (item === undefined) throw new RangeError(`there is no item ${n}`)
  return item
}
const eventNamed = (h: Draft, name: EventRow['name'], subtaskPk: string | null) => {
  const found = h.events.find(e => e.name === name && e.subtask_pk === subtaskPk)
  if (!found) throw new RangeError(`there is no ${name}`)
  return found
}

/** For each invariant the least that breaks it, and nothing else. */
const broken: Record<keyof typeof invariants, Record<string, (h: Draft) => void>> = {
  I1: {
    'two accepted results': h => {
      at(h.attempts, 0).outcome = 'completed'
    },
    'a completed subtask without a result': h => {
      h.attempts.pop()
    },
  },
  I2: {
    'a start before the dependency ended': h => {
      eventNamed(h, 'subtask.completed', '2').seq = 100
    },
    'a start although the dependency failed for good': h => {
      // Its last event as a failure whose policy lets nothing pass; b counts it as unmet.
      const end = eventNamed(h, 'subtask.completed', '2')
      end.name = 'subtask.failed'
      Object.assign(at(h.subtasks, 0), { state: 'failed', on_failure: 'fail' })
      at(h.subtasks, 1).unmet = 1
      Object.assign(at(h.attempts, 1), { outcome: 'cancelled' })
    },
  },
  I3: {
    'a task that was to run and still does': h => {
      h.events.pop()
      at(h.tasks, 0).status = 'running'
    },
  },
  I4: {
    'an acknowledged task that is not there': h => {
      h.operations.push(operation({ n: 4, taskId: 'lost', kind: 'submit' }))
    },
    'an acknowledged start that never was': h => {
      h.tasks.push({ id: '9', tenant_id: 1, task_id: 't9', status: 'planned' })
      h.events.push(event('task.planned', { task_pk: '9', data: { from: null, to: 'planned' } }))
      h.operations.push(operation({ n: 4, taskId: 't9', kind: 'execute', status: 202 }))
      h.open = { t9: ['planned'] }
    },
  },
  I5: {
    'the result of an attempt that was replaced': h => {
      eventNamed(h, 'subtask.completed', '2').attempt = 1
    },
  },
  I6: {
    'more charged attempts than the limit': h => {
      at(h.subtasks, 0).attempt_limit = 0
    },
    'a charged attempt that is not counted': h => {
      at(h.subtasks, 0).charged = 0
    },
    'an exhausted subtask without its review': h => exhaust(h, { reviews: 0, limit: 1 }),
    'two reviews for one limit': h => exhaust(h, { reviews: 2, limit: 1 }),
    'given up before the limit': h => exhaust(h, { reviews: 1, limit: 2 }),
    'a review where the policy is another': h => {
      exhaust(h, { reviews: 1, limit: 1 })
      at(h.subtasks, 2).on_failure = 'fail'
    },
  },
  I7: {
    'a step that is not in the table': h => {
      eventNamed(h, 'subtask.started', '3').name = 'subtask.awaiting_approval'
    },
    'something after the end': h => {
      h.events.push(event('subtask.retrying', { subtask_pk: '3', attempt: 1 }), event('subtask.completed', { subtask_pk: '3', attempt: 1 }))
    },
    'a row that its events do not lead to': h => {
      at(h.tasks, 0).status = 'failed'
    },
    'a task that begins twice': h => {
      eventNamed(h, 'task.completed', null).data = { from: 'planned', to: 'completed' }
    },
  },
  I8: {
    'two tasks of one id': h => {
      h.tasks.push({ id: '9', tenant_id: 1, task_id: 't1', status: 'planned' })
      h.events.push(event('task.planned', { task_pk: '9', data: { from: null, to: 'planned' } }))
      h.open = { t1: ['planned'] }
      // The start that was acknowledged is that of either.
      h.events.push(event('task.started', { task_pk: '9', data: { from: 'planned', to: 'running' } }))
      at(h.tasks, 1).status = 'running'
      h.open = { t1: ['running'] }
      for (const op of h.operations) op.inputs = {}
    },
    'created for two submissions': h => {
      h.operations.push(operation({ n: 4 }), operation({ n: 5 }))
    },
  },
  I11: {
    'a queued subtask without its job': h => {
      at(h.subtasks, 2 - 1).state = 'queued'
      h.events = h.events.filter(e => !(e.subtask_pk === '3' && (e.name === 'subtask.started' || e.name === 'subtask.completed')))
      h.attempts.pop()
      h.jobs = ['3-1-0']
    },
  },
  I12: {
    'an attempt taken from a worker that nobody touched': h => {
      h.disturbances = []
    },
  },
  I13: {
    'a count that is not the number of open dependencies': h => {
      at(h.subtasks, 1).unmet = 1
    },
  },
  I14: {
    'bad input that was accepted': h => {
      Object.assign(at(h.operations, 2), { fate: 'ok', status: 200, code: undefined })
    },
    'bad input that was refused late': h => {
      at(h.operations, 2).tookMs = 2_500
    },
  },
  I15: {
    'an attempt that ran twice': h => {
      h.journal.push(line('uuid-3', 1, { pid: 11 }))
    },
    'one token for two attempts': h => {
      at(h.attempts, 1).claim_id = at(h.attempts, 2).claim_id
    },
  },
  I16: {
    'an input that is not what was sent': h => {
      at(h.subtasks, 1).input_sha256 = 'other'
    },
    'an output that is not what was returned': h => {
      at(h.attempts, 2).output_sha256 = 'other'
    },
  },
}

/** Adds subtask c of a task in review: its one attempt failed. */
function exhaust(h: Draft, { reviews, limit }: { reviews: number; limit: number }): void {
  h.tasks.push({ id: '5', tenant_id: 1, task_id: 't5', status: 'needs_review' })
  h.subtasks.push(subtask('6', 'c', { task_pk: '5', state: 'needs_review', charged: 1, attempt_limit: limit }))
  h.attempts.push(attempt('6', 1, { outcome: 'failed', output_sha256: null }))
  const of = { task_pk: '5', subtask_pk: '6', attempt: 1 }
  h.events.push(
    event('task.planned', { task_pk: '5', data: { from: null, to: 'planned' } }),
    event('task.started', { task_pk: '5', data: { from: 'planned', to: 'running' } }),
    event('subtask.queued', of),
    event('subtask.started', of),
    event('subtask.needs_review', { ...of, data: { outcome: 'failed', failure: { code: 'agent_failed', retryable: true } } }),
    event('task.needs_review', { task_pk: '5', data: { from: 'running', to: 'needs_review' } }),
  )
  for (let i = 0; i < reviews; i++)
    h.reviews.push({ id: String(i), task_pk: '5', subtask_pk: '6', kind: 'exhausted', status: 'open', decision: null })
}

test('a correct history has no violation', () => {
  expect(check(correct())).toEqual([])
})

test('nor has one with a review for the limit that was used up', () => {
  const h = correct()
  exhaust(h, { reviews: 1, limit: 1 })
  expect(check(h)).toEqual([])
})

describe.each(Object.entries(broken))('%s', (invariant, cases) => {
  test.each(Object.entries(cases))('alone reports %s', (_, breakIt) => {
    const h = correct()
    breakIt(h)
    const violations = check(h)
    expect(violations).not.toEqual([])
    expect([...new Set(violations.map(v => v.invariant))], JSON.stringify(violations, undefined, 1)).toEqual([invariant])
  })
})

test('what has not ended is told with where it stands', () => {
  const h = correct()
  h.events = h.events.filter(e => e.name !== 'task.completed' && !(e.subtask_pk === '3' && e.name === 'subtask.completed'))
  h.attempts.pop()
  at(h.tasks, 0).status = 'running'
  at(h.subtasks, 1).state = 'running'
  expect(check(h)).toEqual([
    {
      invariant: 'I3',
      subject: 'task t1',
      problem: expect.stringMatching(
        /^is still running: 1 subtasks are not done: b is running \(attempt 1.*subtask\.started of attempt 1 on w2\)$/,
      ),
    },
  ])
})
