import type { BatonError, OrchestrateRequest, TaskView } from '@baton/shared'
import { defineAgent } from '@baton/worker'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { maxTasksSeen } from '../../packages/coordinator/src/store/dispatch.js'
import { pausedMs } from '../../packages/coordinator/src/store/pauses.js' // what deadlines will subtract
import { databases } from './both-databases.js'
import { contradictions, type OpenLocal, startOpenLocal } from './open-local.js'

let local: OpenLocal
let count = 0

/** Attempts that began, as `task/subtask#attempt`. */
const begun: string[] = []
/** What lets the attempts of `hold` go. */
const held = new Map<string, () => void>()

const hold = defineAgent({
  name: 'hold',
  concurrency: 8,
  run: (_, { taskId, name, attempt }) =>
    new Promise(resolve => {
      held.set(`${taskId}/${name}`, () => resolve('held'))
      begun.push(`${taskId}/${name}#${attempt}`)
    }),
})
const echo = defineAgent({
  name: 'echo',
  concurrency: 4,
  run: (input, { taskId, name, attempt }) => {
    begun.push(`${taskId}/${name}#${attempt}`)
    if (input === 'fail') throw new Error('as it was asked to')
    return input
  },
})

const spawner = defineAgent({
  name: 'spawner',
  run: (_, { spawn }) => {
    spawn({ name: 'child', capability: 'echo', input: 'fail' })
    return null
  },
})

describe.each(databases)('on %s', (_, open) => {
  beforeAll(async () => {
    local = await startOpenLocal(await open())
    await local.host([hold, echo, spawner])
  })
  afterAll(async () => {
    await local?.stop()
  })
  afterEach(async () => {
    for (const release of held.values()) release()
    await local.client.resume()
    await vi.waitFor(async () => expect(await contradictions(local.database)).toEqual([]), { timeout: 25_000, interval: 20 })
    expect(await openPauses()).toEqual(await pausedThings())
  })

  const client = () => local.client
  const tasks = () => local.client.tasks
  const orchestrators = () => local.client.orchestrators

  async function orchestrator(metadata: Record<string, unknown> = {}, status: 'idle' | 'running' = 'running'): Promise<string> {
    const { id } = await orchestrators().create({ id: `o${++count}`, name: 'A test', metadata })
    await orchestrators().setStatus(id, status)
    return id
  }
  async function submit(request: Partial<OrchestrateRequest> = {}): Promise<string> {
    const task_id = `t${++count}`
    await tasks().submit({ task_id, title: 'A test', subtasks: [{ name: 'a', capability: 'hold' }], execute: true, ...request })
    return task_id
  }
  const until = (taskId: string, check: (task: TaskView) => void) =>
    vi.waitFor(
      async () => {
        const task = await tasks().get(taskId)
        check(task)
        return task
      },
      { timeout: 25_000, interval: 10 },
    )
  const untilStatus = (taskId: string, status: TaskView['status']) => until(taskId, task => expect(task.status).toBe(status))
  const statusOf = async (taskId: string) => (await tasks().get(taskId)).status
  const reached = (id: string) => vi.waitFor(() => expect(begun).toContain(id), { timeout: 25_000, interval: 5 })
  const errorOf = async (promise: Promise<unknown>): Promise<BatonError> =>
    promise.then(
      () => {
        throw new Error('it succeeded')
      },
      (error: BatonError) => error,
    )
  const countWhere = async (sql: string, ...params: unknown[]): Promise<number> =>
    (await local.database.query<{ n: number }>({ text: `select count(*)::int as n from ${sql}` }, params)).rows[0]?.n ?? -1
  const eventsOf = async (name: string, id: string) =>
    (await local.database.query<{ data: string }>({ text: 'select data from events where name = $1 order by xid, seq' }, [name])).rows
      .map(row => JSON.parse(row.data) as Record<string, unknown>)
      .filter(data => data.orchestrator === id)

  async function openPauses(): Promise<string[]> {
    const text = `select scope || ' ' || ref as thing from pauses where to_at = 'infinity' order by 1`
    return (await local.database.query<{ thing: string }>({ text })).rows.map(row => row.thing)
  }
  async function pausedThings(): Promise<string[]> {
    const text = `
select 'task ' || id as thing from tasks where status = 'paused'
union all select 'orchestrator ' || id from orchestrators where status <> 'running' and deleted_at is null
union all select 'tenant ' from tenants where paused_at is not null order by 1`
    return (await local.database.query<{ thing: string }>({ text })).rows.map(row => row.thing)
  }

  /** 50 subtasks that hold 8 slots, paused in the midst of it. */
  async function pauseInTheMidst(orchestratorId: string, pause: () => Promise<unknown>, resume: () => Promise<unknown>, why: RegExp) {
    const id = await submit({
      orchestrator_id: orchestratorId,
      subtasks: Array.from({ length: 50 }, (_, i) => ({ name: `s${i}`, capability: 'hold' })),
    })
    const mine = () => begun.filter(b => b.startsWith(`${id}/`))
    await vi.waitFor(() => expect(mine()).toHaveLength(8), { timeout: 25_000, interval: 5 })
    await pause()
    for (const [key, release] of held) if (key.startsWith(`${id}/`)) release()
    // What was in flight finished, and whatever lay in the queue was handed back by the claim that it met.
    const task = await until(id, t => expect(t.subtask_counts).toEqual({ completed: 8, ready: 42 }))
    expect(mine()).toHaveLength(8)
    expect(task.status).toBe('running')
    expect(task.why).toMatch(why)
    for (const { state, why: reason } of task.subtasks) if (state === 'ready') expect(reason).toMatch(why)
    // A task that comes meanwhile is taken in, and starts nothing either.
    const late = await submit({ orchestrator_id: orchestratorId, subtasks: [{ name: 'late', capability: 'echo' }] })
    await until(late, t => expect(t.subtask_counts).toEqual({ ready: 1 }))
    const { version } = (
      await local.database.query<{ version: number }>({ text: `select max(charged) as version from subtask_states where state = 'ready'` })
    ).rows[0] ?? { version: -1 }
    expect(version).toBe(0)
    await resume()
    await untilStatus(late, 'completed')
    await vi.waitFor(
      async () => {
        for (const [key, release] of held) if (key.startsWith(`${id}/`)) release()
        expect(await statusOf(id)).toBe('completed')
      },
      { timeout: 15_000, interval: 10 },
    )
    expect(new Set(mine().map(m => m.split('#')[0])).size).toBe(50)
    expect(mine()).toHaveLength(50)
  }

  describe('pausing everything', () => {
    test('more held-up tasks than one look sees hide nothing', async () => {
      const { orchestrators, tasks } = local.client
      const { id: orchestrator_id } = await orchestrators.create({ name: 'held up', agent_id: 'none' })
      const subtasks = [{ name: 'a', capability: 'echo' }]
      const ids = Array.from({ length: maxTasksSeen + 50 }, () => `o${++count}`)
      await tasks.submitMany(ids.map(task_id => ({ task_id, title: 'x', orchestrator_id, subtasks, execute: true })))
      const task_id = `o${++count}`
      await tasks.submit({ task_id, title: 'x', subtasks, execute: true, priority: 'low' })
      await vi.waitFor(async () => expect((await tasks.get(task_id)).status).toBe('completed'), { timeout: 30_000, interval: 50 })
      expect(begun.filter(b => ids.some(id => b.startsWith(`${id}/`)))).toEqual([])
      await orchestrators.setStatus(orchestrator_id, 'running')
      await vi.waitFor(
        async () => expect((await tasks.list({ orchestratorId: orchestrator_id, status: 'running', limit: 1 })).tasks).toEqual([]),
        {
          timeout: 60_000,
          interval: 100,
        },
      )
    }, 120_000)

    test('lets what runs finish and starts nothing else, of whatever orchestrator, until it is resumed', async () => {
      await pauseInTheMidst(
        'default',
        () => client().pause({ reason: 'deploy' }),
        () => client().resume(),
        /^everything is paused since \d\d:\d\d by local \(deploy\)$/,
      )
    })

    test('is idempotent, and one fact each time', async () => {
      const first = await client().pause({ reason: 'one' })
      expect(first).toEqual({ paused: true, since: expect.any(String), by: 'local', reason: 'one' })
      expect(await client().pause({ reason: 'two' })).toEqual(first)
      expect(await client().resume()).toEqual({ paused: false, since: null, by: null, reason: null })
      expect(await client().resume()).toEqual({ paused: false, since: null, by: null, reason: null })
      const before = await countWhere(`events where name = 'system.paused'`)
      expect(await countWhere(`events where name = 'system.resumed'`)).toBe(before)
      await Promise.all([client().pause(), client().pause(), client().pause()])
      expect(await countWhere(`events where name = 'system.paused'`)).toBe(before + 1)
      await client().resume()
    })

    test('and resuming leaves alone what is paused by itself', async () => {
      const owner = await orchestrator({}, 'idle')
      const id = await submit({ orchestrator_id: owner, subtasks: [{ name: 'a', capability: 'echo' }] })
      const other = await submit()
      await reached(`${other}/a#1`)
      await tasks().pause(other)
      await client().pause()
      await client().resume()
      expect(await statusOf(other)).toBe('paused')
      expect((await tasks().get(id)).why).toBe('its orchestrator is idle; it starts nothing until its status is set to running')
      await tasks().resume(other)
      await orchestrators().setStatus(owner, 'running')
      await untilStatus(id, 'completed')
    })
  })

  describe('an orchestrator', () => {
    test('is made idle, is changed key by key, and told of by events', async () => {
      const made = await orchestrators().create({
        name: 'Nightly',
        agent_id: 'main',
        default_worker_agent_id: 'echo',
        metadata: { team: 'a', keep: { x: [1] }, timeout: 60_000 },
      })
      expect(made).toEqual({
        id: expect.stringMatching(/^orc-[0-9a-f]{20}$/),
        name: 'Nightly',
        description: '',
        agent_id: 'main',
        default_worker_agent_id: 'echo',
        thread_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        status: 'idle',
        metadata: { team: 'a', keep: { x: [1] }, timeout: 60_000 },
        created_at: expect.any(String),
        updated_at: made.created_at,
      })
      const changed = await orchestrators().update(made.id, {
        description: 'x',
        agent_id: null,
        metadata: { team: null, timeout: 5, more: 1 },
      })
      expect(changed).toMatchObject({
        description: 'x',
        agent_id: null,
        name: 'Nightly',
        metadata: { keep: { x: [1] }, timeout: 5, more: 1 },
      })
      expect(changed.metadata).not.toHaveProperty('team')
      expect(changed.updated_at > made.updated_at).toBe(true)
      expect(await orchestrators().updateSettings(made.id, { metadata: { timeout: null, maxTasks: 3 } })).toEqual({
        default_worker_agent_id: 'echo',
        metadata: { keep: { x: [1] }, more: 1, maxTasks: 3 },
      })
      const now = await orchestrators().get(made.id)
      expect(await orchestrators().update(made.id, { name: 'Nightly', metadata: { maxTasks: 3 } })).toEqual(now) // nothing changed
      const limits = await local.database.query({ text: 'select max_tasks, timeout_ms, retry_attempts from orchestrators where id = $1' }, [
        made.id,
      ])
      expect(limits.rows).toEqual([{ max_tasks: 3, timeout_ms: null, retry_attempts: null }])
      expect((await eventsOf('orchestrator.updated', made.id)).map(e => e.changed)).toEqual([
        ['description', 'agent_id', 'metadata'],
        ['metadata'],
      ])
      expect(await eventsOf('orchestrator.created', made.id)).toMatchObject([{ name: 'Nightly', by: 'local' }])
      expect(await errorOf(orchestrators().get('nobody'))).toMatchObject({ code: 'orchestrator_not_found' })
      expect(await errorOf(orchestrators().create({ id: made.id, name: 'x' }))).toMatchObject({ code: 'state_conflict' })
    })

    test('keeps the numbers of its metadata as they were sent, also those of other keys than the changed ones', async () => {
      const id = `o${++count}`
      const send = (method: string, path: string, body: string) =>
        fetch(`${local.url}${path}`, { method, headers: { 'content-type': 'application/json' }, body })
      await send('POST', '/orchestrators', `{"id":"${id}","name":"x","metadata":{"rate": 1.0,"gone":null}}`)
      await send('PATCH', `/orchestrators/${id}`, `{"metadata":{"other":2.50}}`)
      const text = await (await fetch(`${local.url}/orchestrators/${id}/settings`)).text()
      expect(text).toContain('"metadata":{"rate":1.0,"other":2.50}')
    })

    test('changes made at once are all kept', async () => {
      const id = await orchestrator()
      await Promise.all(Array.from({ length: 8 }, (_, i) => orchestrators().update(id, { metadata: { [`k${i}`]: i } })))
      expect((await orchestrators().get(id)).metadata).toEqual(Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`k${i}`, i])))
    })

    test('with metadata that would be too large together, or a lease that one heartbeat could lose, is refused', async () => {
      const id = await orchestrator({ a: 'x'.repeat(40_000) })
      expect(await errorOf(orchestrators().update(id, { metadata: { b: 'x'.repeat(40_000) } }))).toMatchObject({
        code: 'invalid_request',
        fields: [{ path: 'metadata', issue: expect.stringContaining('64 KiB') }],
      })
      expect(await errorOf(orchestrators().updateSettings(id, { metadata: { lease: 4_000 } }))).toMatchObject({
        code: 'invalid_request',
        fields: [{ path: 'metadata.lease', issue: expect.stringContaining('4000') }],
      })
    })

    test('that is paused lets what runs finish and starts nothing else, while others go on', async () => {
      const owner = await orchestrator()
      await pauseInTheMidst(
        owner,
        async () => {
          await orchestrators().setStatus(owner, 'paused', { reason: 'lunch' })
          const other = await submit({ subtasks: [{ name: 'a', capability: 'echo' }] })
          await untilStatus(other, 'completed')
        },
        () => orchestrators().setStatus(owner, 'running'),
        /^its orchestrator is paused$/,
      )
      expect(await eventsOf('orchestrator.paused', owner)).toMatchObject([{ from: 'running', to: 'paused', reason: 'lunch', by: 'local' }])
      expect(await eventsOf('orchestrator.resumed', owner)).toHaveLength(2)
    })

    test('gives each status once, and the default one always runs', async () => {
      const id = await orchestrator()
      const running = await orchestrators().get(id)
      expect(await orchestrators().setStatus(id, 'running')).toEqual(running)
      await orchestrators().setStatus(id, 'idle')
      expect(await orchestrators().setStatus(id, 'paused')).toMatchObject({ status: 'paused' })
      expect(await eventsOf('orchestrator.paused', id)).toHaveLength(1)
      expect(await orchestrators().setStatus('default', 'running')).toMatchObject({ id: 'default', status: 'running' })
      for (const status of ['idle', 'paused'] as const)
        expect(await errorOf(orchestrators().setStatus('default', status))).toMatchObject({ code: 'state_conflict' })
      expect(await errorOf(orchestrators().delete('default'))).toMatchObject({ code: 'state_conflict' })
    })

    test.each(['idle', 'running', 'paused'] as const)('is deleted while it is %s, and its finished tasks stay', async status => {
      const owner = await orchestrator()
      const id = await submit({ orchestrator_id: owner, subtasks: [{ name: 'a', capability: 'echo' }] })
      await untilStatus(id, 'completed')
      await orchestrators().setStatus(owner, status)
      expect(await orchestrators().delete(owner)).toEqual({ deleted_id: owner })
      expect(await tasks().get(id)).toMatchObject({ status: 'completed', orchestrator_id: owner })
      expect((await tasks().list({ orchestratorId: owner })).tasks).toHaveLength(1)
      expect((await orchestrators().list({ limit: 1_000 })).orchestrators.map(o => o.id)).not.toContain(owner)
      for (const gone of [() => orchestrators().get(owner), () => orchestrators().delete(owner), () => submit({ orchestrator_id: owner })])
        expect(await errorOf(gone())).toMatchObject({ code: 'orchestrator_not_found' })
      expect(await errorOf(orchestrators().create({ id: owner, name: 'x' }))).toMatchObject({ code: 'state_conflict' })
    })

    test('is not deleted while a task of it is unfinished: the conflict says how many there are', async () => {
      const owner = await orchestrator()
      const ids = [await submit({ orchestrator_id: owner }), await submit({ orchestrator_id: owner, execute: false })]
      const error = await errorOf(orchestrators().delete(owner))
      expect(error).toMatchObject({ code: 'state_conflict', extra: { unfinished_tasks: 2, orchestrator_status: 'running' } })
      expect(error.message).toContain('2 unfinished tasks')
      for (const id of ids) await tasks().cancel(id)
      await orchestrators().delete(owner)
    })

    test('and a task that meets its deletion is either refused or keeps it from being deleted', async () => {
      for (let round = 0; round < 10; round++) {
        const owner = await orchestrator()
        const [task, deletion] = await Promise.allSettled([submit({ orchestrator_id: owner }), orchestrators().delete(owner)])
        expect([task.status, deletion.status].sort()).toEqual(['fulfilled', 'rejected'])
        if (task.status === 'fulfilled') await tasks().cancel(task.value)
      }
    })

    test('is listed page by page, the oldest first', async () => {
      const mine = [await orchestrator({}, 'idle'), await orchestrator({}, 'idle'), await orchestrator()]
      const seen: string[] = []
      let cursor: string | null = null
      do {
        const page: Awaited<ReturnType<ReturnType<typeof orchestrators>['list']>> = await orchestrators().list({
          limit: 2,
          ...(cursor !== null && { cursor }),
        })
        seen.push(...page.orchestrators.map(o => o.id))
        cursor = page.next_cursor
      } while (cursor !== null)
      expect(seen[0]).toBe('default')
      expect(seen.filter(id => mine.includes(id))).toEqual(mine)
      expect(new Set(seen).size).toBe(seen.length)
      const idle = (await orchestrators().list({ status: 'idle', limit: 1_000 })).orchestrators
      expect(idle.every(o => o.status === 'idle')).toBe(true)
      expect(idle.map(o => o.id)).toEqual(expect.arrayContaining(mine.slice(0, 2)))
    })
  })

  describe('limits', () => {
    test('maxTasks: more unfinished tasks are refused with 429, a repeat is not, and an end makes room', async () => {
      const owner = await orchestrator({ maxTasks: 2 })
      const first = await submit({ orchestrator_id: owner })
      await submit({ orchestrator_id: owner, execute: false })
      const error = await errorOf(submit({ orchestrator_id: owner }))
      expect(error).toMatchObject({ code: 'task_limit_reached', status: 429, extra: { orchestrator_id: owner, retry_after_seconds: 5 } })
      expect(await errorOf(tasks().get(`t${count}`))).toMatchObject({ code: 'task_not_found' })
      const same = { task_id: first, title: 'A test', subtasks: [{ name: 'a', capability: 'hold' }], orchestrator_id: owner }
      expect(await tasks().submit({ ...same, execute: true })).toMatchObject({ task_id: first })
      expect(await errorOf(tasks().submit({ ...same, title: 'Another' }))).toMatchObject({ code: 'task_conflict' })
      await tasks().cancel(first)
      await submit({ orchestrator_id: owner })
    })

    test('maxTasks holds among submissions that come together, in a batch and alone', async () => {
      const owner = await orchestrator({ maxTasks: 5 })
      const requests = Array.from({ length: 10 }, () => ({
        task_id: `t${++count}`,
        title: 'A test',
        subtasks: [{ name: 'a', capability: 'echo' }],
        orchestrator_id: owner,
      }))
      const results = (
        await Promise.all([tasks().submitMany(requests.slice(0, 5)), ...requests.slice(5).map(r => tasks().submitMany([r]))])
      ).flat()
      expect(results.map(r => r.status_code).sort()).toEqual([201, 201, 201, 201, 201, 429, 429, 429, 429, 429])
      expect(await countWhere('tasks where orchestrator_id = $1', owner)).toBe(5)
    })

    test('maxConcurrentTasks: more wait their turn, by priority, and start as others end', async () => {
      const owner = await orchestrator({ maxConcurrentTasks: 2 })
      const ids = [await submit({ orchestrator_id: owner }), await submit({ orchestrator_id: owner, execute: false })]
      expect(await tasks().execute(ids[1] ?? '')).toMatchObject({ status: 'running' })
      const low = await submit({ orchestrator_id: owner, execute: false, priority: 'low' })
      expect(await tasks().execute(low)).toEqual({ task_id: low, status: 'planned' })
      const high = await submit({ orchestrator_id: owner, priority: 'high' })
      const waiting = await tasks().get(high)
      expect(waiting).toMatchObject({ status: 'planned', why: 'waits for its turn: its orchestrator runs 2 tasks at once' })
      expect(waiting.subtasks[0]?.why).toBe(waiting.why)
      for (const id of ids) await reached(`${id}/a#1`)
      held.get(`${ids[0]}/a`)?.()
      await reached(`${high}/a#1`)
      expect(await statusOf(low)).toBe('planned')
      expect(begun).not.toContain(`${low}/a#1`)
      await tasks().cancel(ids[1] ?? '')
      await reached(`${low}/a#1`)
      for (const id of [low, high]) {
        held.get(`${id}/a`)?.()
        await untilStatus(id, 'completed')
      }
    })

    test('maxConcurrentTasks is never passed, however tasks come', async () => {
      const owner = await orchestrator({ maxConcurrentTasks: 3 })
      const ids = await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          submit({ orchestrator_id: owner, subtasks: [{ name: 'a', capability: 'echo' }], execute: i % 2 === 0 }).then(async id => {
            if (i % 2 === 1) await tasks().execute(id)
            return id
          }),
        ),
      )
      let most = 0
      await vi.waitFor(
        async () => {
          most = Math.max(most, await countWhere(`tasks where orchestrator_id = $1 and status = 'running'`, owner))
          expect(await countWhere(`tasks where orchestrator_id = $1 and status = 'completed'`, owner)).toBe(ids.length)
        },
        { timeout: 20_000, interval: 1 },
      )
      expect(most).toBeGreaterThan(0)
      expect(most).toBeLessThanOrEqual(3)
    })

    test('a task that waits its turn can be cancelled, and starts when the limit is lifted', async () => {
      const owner = await orchestrator({ maxConcurrentTasks: 1 })
      const first = await submit({ orchestrator_id: owner })
      const [second, third] = [await submit({ orchestrator_id: owner }), await submit({ orchestrator_id: owner })]
      expect(await tasks().cancel(second)).toEqual({ task_id: second, status: 'cancelled' })
      await orchestrators().updateSettings(owner, { metadata: { maxConcurrentTasks: null } })
      await reached(`${third}/a#1`)
      expect(await statusOf(first)).toBe('running')
      expect(begun).not.toContain(`${second}/a#1`)
    })

    test('a task that waits its turn keeps its checkpoints', async () => {
      const owner = await orchestrator({ maxConcurrentTasks: 1 })
      const first = await submit({ orchestrator_id: owner })
      await reached(`${first}/a#1`)
      const second = await submit({ orchestrator_id: owner, execute: false })
      await tasks().execute(second, { checkpoints: ['a'] })
      held.get(`${first}/a`)?.()
      await until(second, task =>
        expect(task.subtasks[0]).toMatchObject({ state: 'awaiting_approval', why: expect.stringContaining('released') }),
      )
      await tasks().cancel(second)
    })

    test('retryAttempts are executions in all, unless the subtask says otherwise; timeout is its SLA', async () => {
      const owner = await orchestrator({ retryAttempts: 2, timeout: 200 })
      const subtasks = [
        { name: 'a', capability: 'echo', input: 'fail' },
        { name: 'b', capability: 'echo', input: 'fail', max_attempts: 1 },
      ]
      const id = await submit({ orchestrator_id: owner, subtasks })
      await untilStatus(id, 'needs_review')
      expect(begun.filter(b => b.startsWith(`${id}/`)).sort()).toEqual([`${id}/a#1`, `${id}/a#2`, `${id}/b#1`])
      await tasks().cancel(id)
      const parent = await submit({ orchestrator_id: owner, subtasks: [{ name: 'p', capability: 'spawner' }] })
      await untilStatus(parent, 'needs_review')
      expect(begun.filter(b => b.startsWith(`${parent}/`))).toEqual([`${parent}/child#1`, `${parent}/child#2`])
      await tasks().cancel(parent)
      const late = await submit({ orchestrator_id: owner })
      const task = await untilStatus(late, 'needs_review')
      expect(task.subtasks[0]?.failure).toMatchObject({ code: 'attempt_timed_out' })
      await tasks().cancel(late)
    })
  })

  describe('the record of pauses', () => {
    const at = (second: number) => `'2026-01-01 00:00:00+00'::timestamptz + ${second} * interval '1 second'`
    const pausedSeconds = async (taskId: string, fromSecond: number, toSecond: number) => {
      const text = `select ${pausedMs('k', at(fromSecond), at(toSecond))} as ms from tasks k where k.task_id = $1`
      return ((await local.database.query<{ ms: number }>({ text }, [taskId])).rows[0]?.ms ?? Number.NaN) / 1_000
    }

    test('sums up what held a task, what overlaps once, and only within the time that is asked for', async () => {
      const owner = await orchestrator()
      const id = await submit({ orchestrator_id: owner, execute: false })
      const { rows } = await local.database.query<{ id: string }>({ text: 'select id::text as id from tasks where task_id = $1' }, [id])
      const pk = rows[0]?.id ?? ''
      const pause = (scope: string, ref: string, from: number, to: number | null, tenant = 1) =>
        local.database.query(
          {
            text: `insert into pauses (tenant_id, scope, ref, from_at, to_at) values ($1, $2, $3, ${at(from)}, ${to === null ? `'infinity'` : at(to)})`,
          },
          [tenant, scope, ref],
        )
      expect(await pausedSeconds(id, 0, 100)).toBe(0)
      await pause('task', pk, 10, 20)
      await pause('orchestrator', owner, 15, 30)
      await pause('tenant', '', 12, 14)
      await pause('task', pk, 30, 31)
      await pause('task', pk, 40, 45)
      await pause('task', `${pk}0`, 50, 60) // another task
      await pause('orchestrator', owner, 50, 60, 2) // another tenant's
      expect(await pausedSeconds(id, 0, 100)).toBe(26)
      expect(await pausedSeconds(id, 18, 42)).toBe(15)
      expect(await pausedSeconds(id, 31, 40)).toBe(0)
      await pause('task', pk, 90, null)
      expect(await pausedSeconds(id, 0, 100)).toBe(36)
      const absent = { text: `select ${pausedMs('k', 'k.started_at', at(100))} as ms from tasks k where k.task_id = $1` }
      expect((await local.database.query(absent, [id])).rows).toEqual([{ ms: 0 }]) // from no time on
      await local.database.query({ text: 'delete from pauses where ref in ($1, $2) and from_at < now() - interval $$1 day$$' }, [pk, owner])
      await local.database.query({ text: `delete from pauses where scope = 'tenant' and from_at = ${at(12)}` })
    })

    test('a pause of a task ends when it is resumed, cancelled, or fails', async () => {
      const subtasks = [{ name: 'a', capability: 'hold', on_failure: 'fail' as const, max_attempts: 1, sla_seconds: 0.2 }]
      const [resumed, cancelled, failed] = [await submit(), await submit(), await submit({ subtasks })]
      for (const id of [resumed, cancelled, failed]) {
        await reached(`${id}/a#1`)
        await tasks()
          .pause(id)
          .catch((error: BatonError) => expect([id, error.code]).toEqual([failed, 'state_conflict']))
      }
      await tasks().resume(resumed)
      await tasks().cancel(cancelled)
      await untilStatus(failed, 'failed')
      expect((await openPauses()).filter(p => p.startsWith('task '))).toEqual([])
      expect(
        await countWhere(`pauses p join tasks k on p.scope = 'task' and p.ref = k.id::text where k.task_id = any ($1)`, [
          resumed,
          cancelled,
        ]),
      ).toBe(2)
    })
  })
})
