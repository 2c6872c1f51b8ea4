/** What starts with the commit that stores it: as a claim would have started it, or not at all. */
import { randomUUID } from 'node:crypto'
import { migrate } from '@baton/coordinator'
import type { Grant, SubtaskRequest } from '@baton/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { grantClaims } from '../../packages/coordinator/src/store/claims.js'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { claimReady } from '../../packages/coordinator/src/store/dispatch.js'
import { returnStarted, returnUnanswered, returnUnbegun } from '../../packages/coordinator/src/store/return-to-queue.js'
import { recordHeartbeats, registerWorker } from '../../packages/coordinator/src/store/workers.js'
import { databases } from './both-databases.js'
import { storeGraph } from './stored-graph.js'

const leaseMs = 6_000
const times = { leaseMs, defaultSlaMs: 3_600_000 }
const queue = 'shared.c.x'

describe.each(databases)('on %s', (_, open) => {
  let database: Database
  beforeAll(async () => {
    database = await open()
    await migrate(database)
    const agent = { description: '', domain: null, skills: [], concurrency: 9, kind: 'module', capabilities: ['x'], sla_ms: null }
    await registerWorker(database, {
      ...{ id: 'w', host: 'h', pid: 1, version: '1', pool: 'shared', concurrency: 9 },
      agents: [
        { ...agent, name: 'plain' },
        { ...agent, name: 'strict', sla_ms: 90_000, deadline_ms: 60_000, lease_ms: 9_000 },
        { ...agent, name: 'patient', lease_ms: 60_000 },
        { ...agent, name: 'other', capabilities: ['y'] },
      ],
    })
  })
  afterAll(() => database?.close())

  /** Stores a task as a submission does; its roots would start on this agent. */
  async function submitted(
    subtasks: SubtaskRequest[],
    { agent = 'plain', worker = 'w', slaMs = null as number | null, ready = false, context = '{}' } = {},
  ) {
    const place = () => (ready ? null : { queue, on: { workerId: worker, agent } })
    const { graph, routeIds, started } = await storeGraph(database, subtasks, { times, place, slaMs, context })
    const rows = graph.subtasks.map(({ id, start_claim }) => ({ id, claim_id: start_claim ?? '' }))
    return { rows, started, first: rows[0] as (typeof rows)[number], routeId: routeIds[0] ?? 0 }
  }

  interface State {
    state: string
    attempt: number
    dispatch: number
    claim_id: string | null
    worker_id: string | null
    agent: string | null
    lease_s: number | null
    sla_s: number | null
    deadline_ms: string
  }
  const stateOf = async (id: string): Promise<State> =>
    (
      await database.query<State>(
        {
          text: `select state, attempt, dispatch, claim_id::text as claim_id, worker_id, agent, extract(epoch from lease_until - started_at)::float8 as lease_s,
            extract(epoch from sla_until - started_at)::float8 as sla_s, deadline_ms::text as deadline_ms from subtask_states where id = $1`,
        },
        [id],
      )
    ).rows[0] as State
  const eventsOf = async (id: string): Promise<string[]> =>
    (await database.query<{ name: string }>({ text: 'select name from events where subtask_pk = $1 order by xid, seq' }, [id])).rows.map(
      r => r.name,
    )
  const set = (text: string, ...params: unknown[]) => database.query({ text }, params)

  test('a root runs at once, with what a claim would have said; what depends on it waits', async () => {
    const { rows, started, first } = await submitted([
      { name: 'a', capability: 'x', input: {} },
      { name: 'b', capability: 'x', input: {}, depends_on: ['a'] },
    ])
    expect([...started]).toEqual([[first.id, { sla_ms: 3_600_000, lease_ms: 6_000, deadline_in_ms: null }]])
    expect(await stateOf(first.id)).toEqual({
      ...{ state: 'running', attempt: 1, dispatch: 1, claim_id: first.claim_id, worker_id: 'w', agent: 'plain', lease_s: 6, sla_s: 3_600 },
      deadline_ms: '86400000',
    })
    expect(await eventsOf(first.id)).toEqual(['subtask.queued', 'subtask.started'])
    expect(await stateOf(rows[1]?.id ?? '')).toMatchObject({ state: 'pending', attempt: 0, claim_id: null })
    // The claim that it runs under may be asked for, as any that was granted.
    const [again] = await grantClaims(database, [{ ...first, attempt: 1, agent: 'plain', worker_id: 'w' }], { ...times, deferMs: 1_000 })
    expect(again).toMatchObject({ status: 'granted' })
  })

  test("an agent's own terms count, and before the task's SLA", async () => {
    const { started, first } = await submitted([{ name: 'a', capability: 'x', input: {} }], { agent: 'strict', slaMs: 5_000_000 })
    expect(started.get(first.id)).toEqual({ sla_ms: 90_000, lease_ms: 9_000, deadline_in_ms: 60_000 })
    expect(await stateOf(first.id)).toMatchObject({ state: 'running', lease_s: 9, sla_s: 90, deadline_ms: '60000' })
    const other = await submitted([{ name: 'a', capability: 'x', input: {} }], { slaMs: 5_000_000 })
    expect(other.started.get(other.first.id)).toMatchObject({ sla_ms: 5_000_000 })
  })

  test.each([
    ['its agent does not offer it', { agent: 'other' }, undefined],
    ['its worker is not known', { worker: 'nobody' }, undefined],
    ['it asks for a long lease', { agent: 'patient' }, undefined],
    ['its orchestrator is paused', {}, [`update orchestrators set status = 'paused'`, `update orchestrators set status = 'running'`]],
    ['everything is paused', {}, ['update tenants set paused_at = clock_timestamp()', 'update tenants set paused_at = null']],
  ])('it stays in its queue where %s', async (_why, how, pause) => {
    if (pause) await set(pause[0] ?? '')
    const { started, first } = await submitted([{ name: 'a', capability: 'x', input: {} }], how)
    if (pause) await set(pause[1] ?? '')
    expect(started.size).toBe(0)
    expect(await stateOf(first.id)).toMatchObject({ state: 'queued', attempt: 1, claim_id: null, worker_id: null, lease_s: null })
    expect(await eventsOf(first.id)).toEqual(['subtask.queued'])
  })

  test('what its worker did not take is queued again with the same attempt, and under no other claim', async () => {
    const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
    expect(await returnStarted(database, [{ id: first.id, claim_id: randomUUID() }])).toEqual([])
    expect(await returnStarted(database, [first])).toMatchObject([{ id: first.id, attempt: 1, dispatch: 2, queue }])
    expect(await stateOf(first.id)).toMatchObject({
      state: 'queued',
      attempt: 1,
      dispatch: 2,
      claim_id: null,
      worker_id: null,
      agent: null,
    })
    expect(await eventsOf(first.id)).toEqual(['subtask.queued', 'subtask.started', 'subtask.queued'])
    expect(await returnStarted(database, [first])).toEqual([])
    const claim = { id: first.id, attempt: 1, claim_id: randomUUID(), agent: 'plain', worker_id: 'w' }
    expect((await grantClaims(database, [claim], { ...times, deferMs: 1_000 }))[0]).toMatchObject({ status: 'granted' })
  })

  test('what was cancelled meanwhile is left to the cancel', async () => {
    const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
    await set('update subtask_states set cancel_requested_at = clock_timestamp() where id = $1', first.id)
    expect(await returnStarted(database, [first])).toEqual([])
    expect(await stateOf(first.id)).toMatchObject({ state: 'running' })
  })

  describe('a backlog', () => {
    const slot = (agent = 'plain') => ({ claim_id: randomUUID(), worker_id: 'w', agent })
    const claimed = (routeId: number, slots: ReturnType<typeof slot>[], room = 10) =>
      claimReady(database, [{ route_id: routeId, queue, room, slots }], times)

    test('starts in as many slots as there are; the rest is queued', async () => {
      const { rows, routeId } = await submitted(
        ['a', 'b', 'c'].map(name => ({ name, capability: 'x', input: { n: name } })),
        { ready: true, context: '{"key":1.0}' },
      )
      const slots = [slot(), slot('strict')]
      const { jobs, started } = await claimed(routeId, slots)
      expect(jobs.map(({ id, attempt }) => ({ id, attempt }))).toEqual([{ id: rows[2]?.id, attempt: 1 }])
      expect(started.map(({ id, claim_id, attempt, dispatch }) => ({ id, claim_id, attempt, dispatch }))).toEqual(
        slots.map(({ claim_id }, n) => ({ id: rows[n]?.id, claim_id, attempt: 1, dispatch: 1 })),
      )
      expect(await stateOf(rows[0]?.id ?? '')).toMatchObject({ state: 'running', worker_id: 'w', agent: 'plain', lease_s: 6, sla_s: 3_600 })
      expect(await stateOf(rows[2]?.id ?? '')).toMatchObject({ state: 'queued', claim_id: null })
      expect(await stateOf(rows[1]?.id ?? '')).toMatchObject({
        state: 'running',
        agent: 'strict',
        lease_s: 9,
        sla_s: 90,
        deadline_ms: '60000',
      })
      for (const [n, { id, claim_id, grant, waited }] of started.entries()) {
        expect(waited).toBeGreaterThan(0)
        const agent = slots[n]?.agent ?? ''
        // Word for word what a claim is told.
        const [again] = await grantClaims(database, [{ id, attempt: 1, claim_id, agent, worker_id: 'w' }], { ...times, deferMs: 1_000 })
        const [brief, told] = [grant, again?.grant].map(text => JSON.parse(text ?? '') as Grant)
        const soon = agent === 'strict' ? (expect.closeTo(60_000, -4) as number) : null
        expect(brief).toEqual({ ...told, deadline_in_ms: soon })
        expect(told?.deadline_in_ms).toEqual(soon)
        expect(await eventsOf(id)).toEqual(['subtask.ready', 'subtask.queued', 'subtask.started'])
      }
    })

    test.each([
      ['its agent does not offer it', slot('other'), undefined],
      ['it asks for a long lease', slot('patient'), undefined],
      ['it was lost twice with its worker', slot(), 'update subtask_states set losses = 2 where id = $1'],
    ])('is queued where %s', async (_why, own, change) => {
      const { first, routeId } = await submitted([{ name: 'a', capability: 'x', input: {} }], { ready: true })
      if (change) await set(change, first.id)
      const { jobs, started } = await claimed(routeId, [own])
      expect([jobs.map(({ id }) => id), started]).toEqual([[first.id], []])
      expect(await stateOf(first.id)).toMatchObject({ state: 'queued', claim_id: null })
    })

    test('what depends on something brings no brief', async () => {
      const { rows, routeId } = await submitted(
        [
          { name: 'a', capability: 'y', input: {} },
          { name: 'b', capability: 'x', input: {}, depends_on: ['a'] },
        ],
        { ready: true },
      )
      const child = rows[1]?.id ?? ''
      await set(`update subtask_states set state = 'ready', unmet = 0 where id = $1`, child)
      const route = await database.query<{ route_id: number }>({ text: 'select route_id from subtask_states where id = $1' }, [child])
      const { started } = await claimed(route.rows[0]?.route_id ?? routeId, [slot()])
      expect(started).toMatchObject([{ id: child, grant: null }])
    })
  })

  describe('a lease that ran out without having been renewed', () => {
    const heartbeatMs = 2_000
    const now = async () => (await database.query<{ at: string }>({ text: 'select clock_timestamp()::text as at' })).rows[0]?.at ?? ''
    const returned = async () => (await returnUnbegun(database, { at: await now(), leaseMs, heartbeatMs, limit: 100 })).map(row => row.id)
    /** As if it had been started so long ago. */
    const age = (id: string, ms: number) =>
      set(
        `update subtask_states set started_at = started_at - $2 * interval '1 millisecond', lease_until = lease_until - $2 * interval '1 millisecond' where id = $1`,
        id,
        ms,
      )
    const beat = (active: { subtask: string; claim_id: string }[] = [], state: 'ready' | 'stopped' = 'ready') =>
      recordHeartbeats(database, [{ worker_id: 'w', state, active, load: {}, loop_lag_ms: 0 }], leaseMs)

    test('of a worker that was heard since never reached it', async () => {
      const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
      await age(first.id, leaseMs + 100)
      await beat()
      expect(await returned()).toEqual([first.id])
      expect(await stateOf(first.id)).toMatchObject({ state: 'queued', attempt: 1, dispatch: 2 })
    })

    test('is not judged before it ran out', async () => {
      const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
      await age(first.id, leaseMs - 1_000)
      await beat()
      expect(await returned()).toEqual([])
      await returnStarted(database, [first])
    })

    test('of a worker that was not heard since is lost', async () => {
      const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
      await age(first.id, leaseMs + 100)
      await set(`update workers set last_heartbeat_at = clock_timestamp() - interval '6 seconds' where id = 'w'`)
      expect(await returned()).toEqual([])
      await returnStarted(database, [first])
    })

    test('of a worker that said goodbye since never reached it', async () => {
      const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
      await age(first.id, leaseMs + 100)
      await beat([], 'stopped')
      await set(
        `update workers set last_heartbeat_at = (select started_at + interval '500 milliseconds' from subtask_states where id = $1) where id = 'w'`,
        first.id,
      )
      expect(await returned()).toEqual([first.id])
      await beat()
    })

    test('may be told by who started it, and had no answer', async () => {
      const two = [
        await submitted([{ name: 'a', capability: 'x', input: {} }]),
        await submitted([{ name: 'a', capability: 'x', input: {} }]),
      ]
      const [silent, renewed] = two.map(({ first }) => first) as [(typeof two)[0]['first'], (typeof two)[0]['first']]
      await age(renewed.id, 3_000)
      await beat([{ subtask: renewed.id, claim_id: renewed.claim_id }])
      const claims = [silent, renewed, { id: silent.id, claim_id: renewed.claim_id }]
      expect((await returnUnanswered(database, claims, leaseMs)).map(({ id }) => id)).toEqual([silent.id])
      expect(await stateOf(silent.id)).toMatchObject({ state: 'queued', attempt: 1, dispatch: 2 })
      expect(await stateOf(renewed.id)).toMatchObject({ state: 'running' })
      await returnStarted(database, [renewed])
    })

    test('is another matter when it was renewed once: the worker had it', async () => {
      const { first } = await submitted([{ name: 'a', capability: 'x', input: {} }])
      await age(first.id, 3_000)
      await beat([{ subtask: first.id, claim_id: first.claim_id }])
      await age(first.id, leaseMs + 100)
      await beat()
      expect(await returned()).toEqual([])
    })
  })
})
