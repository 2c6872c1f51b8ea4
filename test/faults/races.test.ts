/** Faults 41 to 43 and 46 of the table in README.md: two things at once, two versions at once. */
import { createHash, randomUUID } from 'node:crypto'
import { type OrchestrateRequest, protocolVersion } from '@baton/shared'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { readMigrations } from '../../packages/coordinator/src/store/migrate.js'
import { eventually } from '../harness/eventually.js'
import { choices, type FaultFleet, faultStage, type Outcome, reportOf, resultOf, startFaultFleet } from './kit/index.js'

vi.setConfig({ testTimeout: 90_000 }) // a few seconds on a machine of its own
const stage = faultStage()
const patience = { timeoutMs: 20_000 }

/** Two coordinators and one real worker for all rows; nothing that one does outlasts it. */
let fleet: FaultFleet
beforeAll(async () => {
  fleet = await startFaultFleet(stage, { coordinators: 2, workers: 1, leaseMs: 1_500 })
})
afterAll(() => fleet?.stop())

const submit = (task: Omit<OrchestrateRequest, 'title'> & { task_id: string }) =>
  fleet.driver.known(() => fleet.driver.submit({ title: task.task_id, execute: true, ...task }))

const later = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

interface Standing {
  task_id: string
  name: string
  state: string
  status: string
  cancelled_how: string | null
  openings: number
}
/** Where the subtasks of the tasks of this prefix stand, and how often each was opened. */
const standings = (prefix: string) =>
  fleet.rows<Standing>(
    `select k.task_id, k.status, d.name, s.state, s.cancelled_how,
       (select count(*)::int from events e where e.subtask_pk = s.id and (e.name = 'subtask.ready' or e.name = 'subtask.queued' and e.attempt = 1
          and not exists (select from events r where r.subtask_pk = s.id and r.name = 'subtask.ready'))) as openings
     from tasks k join subtasks d on d.task_pk = k.id join subtask_states s on s.id = d.id
     where k.task_id like $1 || '%' order by k.id, d.ordinal`,
    [prefix],
  )

test('41: siblings finish at once on two coordinators: the child becomes ready once', async () => {
  const ghost = await fleet.addGhost({ agent: 'sibling' })
  const n = 50
  const pairs = Array.from({ length: n }, (_, i) => [
    { name: `a${i}`, capability: 'sibling' },
    { name: `b${i}`, capability: 'sibling' },
    { name: `child${i}`, capability: 'fault', depends_on: [`a${i}`, `b${i}`] },
  ]).flat()
  const join = {
    name: 'child',
    capability: 'fault',
    depends_on: pairs.flatMap(({ name, capability }) => (capability === 'sibling' ? [name] : [])),
  }
  await submit({ task_id: 'siblings', subtasks: [...pairs, join] })
  const held = await ghost.claim('siblings', 2 * n)
  const reports = held.map(each => resultOf(each, { by: each.grant.name }))
  const [one, other] = [reports.filter((_, i) => i % 2 === 0), reports.filter((_, i) => i % 2 === 1)]
  // First one by one, each at the same time as its sibling; then all at once.
  const singly = Array.from({ length: n / 2 }, (_, i) =>
    Promise.all([ghost.report(one.slice(i, i + 1), { to: i % 2 }), ghost.report(other.slice(i, i + 1), { to: 1 - (i % 2) })]),
  )
  const batches = Promise.all([ghost.report(one.slice(n / 2), { to: 0 }), ghost.report(other.slice(n / 2).reverse(), { to: 1 })])
  const statuses = [...(await Promise.all(singly)), await batches].flat(2).map(reply => reply.status)
  expect(statuses).toEqual(reports.map(() => 'accepted'))

  expect(await fleet.violations()).toEqual([])
  const children = (await standings('siblings')).filter(row => row.name.startsWith('child'))
  expect(children.map(({ state, openings }) => [state, openings])).toEqual(children.map(() => ['completed', 1]))
  expect(children).toHaveLength(n + 1)
  const starts = fleet.journal().filter(line => line.event === 'start' && line.subtask.includes('::siblings::'))
  expect(starts).toHaveLength(n + 1)
})

test('42: cancel races completion: each of the two learns what became of it', async () => {
  const { between, shuffled } = choices('cancels that race')
  const ghost = await fleet.addGhost({ agent: 'raced' })
  const orders = ['cancel first', 'report first', ...Array.from({ length: 10 }, () => 'at once')] as const
  const races = (['task', 'subtask'] as const).flatMap(what =>
    shuffled(orders).map((order, i) => ({ what, order, task_id: `race-${what}-${i}` })),
  )
  const subtasks = [
    { name: 'a', capability: 'raced' },
    { name: 'b', capability: 'fault', depends_on: ['a'], input: { work: between(0, 20) } },
  ]
  const held = await Promise.all(
    races.map(async race => {
      await submit({ task_id: race.task_id, subtasks })
      const [first] = await ghost.claim(race.task_id, 1)
      if (!first) throw new Error('nothing was granted')
      return first
    }),
  )
  const run = async ({ what, order, task_id }: (typeof races)[number], i: number) => {
    const each = held[i] as (typeof held)[number] // one for each race
    const cancel = () =>
      what === 'task'
        ? fleet.driver.cancel(task_id, { coordinator: 1 })
        : fleet.driver.subtaskVerb(task_id, each.grant.subtask_id, 'cancel', {}, { coordinator: 1 })
    const report = async () => (await ghost.report([resultOf(each, { done: true })], { to: 0 }))[0]?.status
    let cancelled: Outcome
    let reported: string | undefined
    if (order === 'cancel first') [cancelled, reported] = [await cancel(), await report()]
    else if (order === 'report first') [reported, cancelled] = [await report(), await cancel()]
    else [cancelled, reported] = await Promise.all([cancel(), later(between(0, 10)).then(report)])
    return { what, order, task_id, cancelled: cancelled.fate, status: cancelled.status, code: cancelled.code, reported }
  }
  const results = await Promise.all(races.map(run))

  expect(await fleet.violations()).toEqual([])
  const found = new Map((await standings('race-')).map(row => [`${row.task_id}/${row.name}`, row]))
  for (const { what, order, task_id, cancelled, status, code, reported } of results) {
    const [a, b] = [found.get(`${task_id}/a`), found.get(`${task_id}/b`)]
    const seen = JSON.stringify({ what, order, task_id, cancelled, status, reported, a, b })
    expect(a?.state, seen).toBe(reported === 'accepted' ? 'completed' : 'cancelled')
    if (reported !== 'accepted') expect([reported, a?.cancelled_how], seen).toEqual(['stale', 'acknowledged'])
    if (cancelled === 'failed') expect([status, code], seen).toEqual([409, 'state_conflict'])
    if (what === 'subtask') {
      // One of the two was first, and the other was told so.
      expect(cancelled, seen).toBe(reported === 'accepted' ? 'failed' : 'ok')
      expect([b?.state, b?.status], seen).toEqual(reported === 'accepted' ? ['completed', 'completed'] : ['cancelled', 'failed'])
    } else {
      expect(b?.status, seen).toBe(cancelled === 'ok' ? 'cancelled' : 'completed')
      if (cancelled === 'ok' && reported !== 'accepted') expect(b?.state, seen).toBe('cancelled')
    }
    if (order === 'cancel first') expect(cancelled, seen).toBe('ok')
    if (order === 'report first') expect(reported, seen).toBe('accepted')
  }
})

test('43: two decisions race a deadline on one review: the first one wins, the other gets 409', async () => {
  const { between } = choices('decisions that race')
  const { driver } = fleet
  const n = 24
  const exhausted = (i: number) => i % 2 === 1
  const names = Array.from({ length: n }, (_, i) => `review-${String(i).padStart(2, '0')}`)
  await Promise.all(
    names.map((task_id, i) =>
      submit({
        task_id,
        subtasks: [
          exhausted(i)
            ? { name: 'a', capability: 'fault', input: { fail: 1 }, max_attempts: 1 }
            : { name: 'a', capability: 'fault', requires_approval: true },
          { name: 'b', capability: 'fault', depends_on: ['a'] },
        ],
      }),
    ),
  )
  const open = await eventually(async () => {
    const rows = await fleet.rows<{ id: string; task_id: string }>(
      `select r.id::text, k.task_id from reviews r join tasks k on k.id = r.task_pk where k.task_id like 'review-%' and r.status = 'open' order by k.task_id`,
    )
    return rows.length === n ? rows : false
  }, patience)
  const dueInMs = 400
  const race = async ({ id }: { id: string }, i: number) => {
    const due_at = new Date(Date.now() + dueInMs).toISOString()
    const text = JSON.stringify({ assignee: 'ann', escalate_to: 'bob', due_at })
    expect(await driver.raw({ method: 'POST', path: `/reviews/${id}/assign`, text })).toMatchObject({ fate: 'ok' })
    // The first ones before it is due, the next ones after its escalation, the rest when it is due.
    if (i >= 4 && i < 8) await eventually(async () => (await escalated(id)) > 0, patience)
    else if (i >= 8) await later(between(dueInMs, dueInMs + fleet.leaseMs / 4))
    const reason = 'decided at once'
    const [one, other] = exhausted(i)
      ? [
          { decision: 'retry', reason },
          { decision: 'supply', reason, output: { by: 'hand' } },
        ]
      : [
          { decision: 'approve', reason },
          { decision: 'reject', reason },
        ]
    const outcomes = await Promise.all([driver.decide(id, one, { coordinator: 0 }), driver.decide(id, other, { coordinator: 1 })])
    return { id, i, outcomes, decisions: [one.decision, other.decision] }
  }
  const escalated = async (id: string) =>
    (await fleet.rows(`select from events where name = 'review.escalated' and data::json ->> 'review' = $1`, [id])).length
  const races = await Promise.all(open.map(race))

  expect(await fleet.violations()).toEqual([])
  const reviews = new Map(
    (
      await fleet.rows<{ id: string; status: string; decision: string; facts: string[]; state: string; task: string }>(
        `select r.id::text, r.status, r.decision, s.state, k.status as task,
           (select array_agg(e.name order by e.seq) from events e where e.data::json ->> 'review' = r.id::text) as facts
         from reviews r join tasks k on k.id = r.task_pk join subtask_states s on s.id = r.subtask_pk`,
      )
    ).map(row => [row.id, row]),
  )
  let afterDue = 0
  for (const { id, i, outcomes, decisions } of races) {
    expect(outcomes.map(outcome => outcome.status).sort()).toEqual([200, 409])
    const winner = outcomes.findIndex(outcome => outcome.fate === 'ok')
    const review = reviews.get(id)
    expect(review).toMatchObject({ status: 'decided', decision: decisions[winner] })
    expect(outcomes[1 - winner]?.body).toMatchObject({ code: 'state_conflict', decision: decisions[winner] })
    // What was decided is so: the rejected one failed, and its task with it.
    expect([review?.state, review?.task]).toEqual(Array(2).fill(decisions[winner] === 'reject' ? 'failed' : 'completed'))
    const escalations = review?.facts.filter(fact => fact === 'review.escalated').length ?? 0
    expect(escalations).toBeLessThanOrEqual(1)
    if (i >= 4 && i < 8) expect(escalations).toBe(1)
    expect(review?.facts.at(-1)).toBe('review.decided') // nothing is due that is decided
    afterDue += escalations
  }
  expect(afterDue).toBeGreaterThanOrEqual(4)
})

test('46: a rolling upgrade: workers of the version before, and coordinators of the version before beside the next schema', async () => {
  const { driver } = fleet
  const [old, present] = [
    await fleet.addGhost({ agent: 'upgraded', version: protocolVersion - 1 }),
    await fleet.addGhost({ agent: 'upgraded' }),
  ]
  const task = async (task_id: string) => {
    const subtasks = [
      ...Array.from({ length: 4 }, (_, i) => ({ name: `g${i}`, capability: 'upgraded', input: { i } })),
      { name: 'after', capability: 'fault', depends_on: ['g0', 'g1', 'g2', 'g3'] },
    ]
    await submit({ task_id, subtasks })
    const [two, rest] = [await old.claim(task_id, 2, { to: 0 }), await present.claim(task_id, 2, { to: 1 })]
    expect(two.map(held => held.grant.input)).toEqual(['{"i":0}', '{"i":1}'])
    expect(await old.heartbeat(two, { to: 1 })).toEqual({ abort: [], known: true, drain: false })
    const [large] = two
    if (!large) throw new Error('nothing was granted')
    // Each word of the protocol, in the version before.
    const text = JSON.stringify({ text: 'x'.repeat(1_000) })
    const data = Buffer.from(text).toString('base64')
    const claim = { worker_id: old.id, subtask: large.subtask, claim_id: large.claimId }
    expect(await old.ask({ type: 'chunk', ...claim, name: '$output', n: 0, data }, { to: 1 })).toEqual({ status: 'stored' })
    expect(await old.ask({ type: 'read', ...claim, what: { kind: 'input' }, offset: 0 })).toMatchObject({ status: 'ok', data: '{"i":0}' })
    const chunked = reportOf(large, { kind: 'completed', output: null })
    const items = [chunked, ...two.slice(1).map(held => resultOf(held, {}))]
    expect((await old.report(items, { to: 0 })).map(reply => reply.status)).toEqual(['accepted', 'accepted'])
    const others = await present.report(rest.map(held => resultOf(held, {})))
    expect(others.map(reply => reply.status)).toEqual(['accepted', 'accepted'])
    await eventually(async () => (await driver.get(task_id)).body?.status === 'completed', patience)
    const [stored] = await fleet.rows<{ output: string }>(`select output from attempts where claim_id = $1`, [large.claimId])
    expect(
      createHash('sha256')
        .update(stored?.output ?? '')
        .digest('hex'),
    ).toBe(createHash('sha256').update(text).digest('hex'))
  }
  await task('both-versions')

  // Older and newer words than that are refused, and change nothing.
  const beat = { type: 'heartbeat', worker_id: present.id, state: 'stopped', active: [], load: {}, loop_lag_ms: 0 }
  for (const v of [protocolVersion - 2, protocolVersion + 1, '1', undefined]) {
    const reply = await present.askOnce(JSON.stringify({ v, ...beat }))
    expect(reply).toMatchObject({ status: 'error', failure: { code: 'invalid_request', retryable: false } })
    expect(reply.status === 'error' && reply.failure.message).toContain(`speaks ${protocolVersion}`)
  }
  expect(await fleet.rows('select state from workers where id = $1', [present.id])).toEqual([{ state: 'ready' }])

  // The next release expands the schema while this one runs, is restarted, and goes on.
  const newest = Math.max(...readMigrations().map(migration => migration.version))
  const migrated = (version: number) => fleet.rows('insert into baton_migrations (version, name) values ($1, $2)', [version, randomUUID()])
  await fleet.rows('alter table subtask_states add column later text')
  await fleet.rows(`alter table tasks add column later int not null default 7`)
  await migrated(newest + 1)
  await task('beside-the-next')
  await fleet.coordinator(1).restart()
  await task('after-a-restart')

  // Two ahead is one too many.
  await migrated(newest + 2)
  await expect(fleet.addCoordinator()).rejects.toThrow(
    `is at migration ${newest + 2}, this version of Baton knows ${newest}: start a newer version`,
  )
  await task('two-ahead') // whoever runs goes on
  expect(await fleet.violations()).toEqual([])
})
