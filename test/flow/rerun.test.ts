import { RawJson, type SubtaskRequest } from '@baton/shared'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { completeAttempts } from '../../packages/coordinator/src/store/complete.js' // a report at the very moment is luck from outside
import { databases } from './both-databases.js'
import { contradictions, type OpenLocal, startOpenLocal } from './open-local.js'
import { createScene, namedIn } from './scene.js'

// PGlite has one connection: only on PostgreSQL do statements race.
describe.each(databases)('on %s', (_, open) => {
  let local: OpenLocal
  const scene = createScene('r', () => local)
  const {
    start,
    until,
    untilStatus,
    untilStates,
    reached,
    reachedAgain,
    timesBegun,
    letGo,
    idOf,
    named,
    openReview,
    errorOf,
    tasks,
    reviews,
  } = scene
  beforeAll(async () => {
    local = await startOpenLocal(await open())
    await local.host(scene.agents)
  })
  afterAll(async () => {
    await local?.stop()
  })
  afterEach(async () => {
    await vi.waitFor(async () => expect(await contradictions(local.database)).toEqual([]), { timeout: 25_000, interval: 20 })
  })

  const chain = (...names: string[]): SubtaskRequest[] =>
    names.map((name, i) => ({ name, capability: 'echo', ...(i > 0 && { depends_on: [names[i - 1] as string] }) }))
  const generations = async (id: string) => Object.fromEntries((await tasks().get(id)).subtasks.map(s => [s.name, s.generation]))

  test('from the middle of a completed chain, with an edited input byte for byte', async () => {
    const id = await start([...chain('a', 'b'), { name: 'c', capability: 'joiner', depends_on: ['b'] }])
    await untilStatus(id, 'completed')
    const before = await tasks().get(id)
    const text = '{"z": 1.0, "a": 1e2,\n "é":"\\u00e9"}'
    const answer = await fetch(`${local.url}/tasks/${id}/rerun`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"from": ["b"], "input": ${text}, "reason": "the input was wrong"}`,
    })
    expect(await answer.json()).toEqual({ task_id: id, status: 'running', subtasks: 2 })
    const end = await untilStatus(id, 'completed')
    expect(await generations(id)).toEqual({ a: 0, b: 1, c: 1 })
    expect([timesBegun(`${id}/a`), timesBegun(`${id}/b`), timesBegun(`${id}/c`)]).toEqual([1, 2, 2])
    expect(namedIn(end, 'b')).toMatchObject({
      subtask_id: namedIn(before, 'b').subtask_id,
      attempt: 1,
      outputs: { got: { z: 1, a: 100, é: 'é' } },
    })
    expect(namedIn(end, 'c').outputs).toEqual([['b', 'completed', { by: 'echo', got: { z: 1, a: 100, é: 'é' } }]])
    expect(end.status_history.at(-2)).toMatchObject({ from: 'completed', to: 'running', reason: 'the input was wrong' })
    expect(end.finished_at).not.toBe(before.finished_at)
    expect(end).toMatchObject({ subtask_counts: { completed: 3 }, metrics: { subtasks_total: 3, subtasks_completed: 3 } })
    const { rows } = await local.database.query<{ input: string }>(
      {
        text: `select d.input from tasks k join subtasks d on d.task_pk = k.id where k.task_id = $1 and d.name = 'b' and d.superseded = 0`,
      },
      [id],
    )
    expect(rows).toEqual([{ input: text }])
  })

  test('takes ids for names, several at once, and gives each of them a new generation each time', async () => {
    const id = await start([...chain('a', 'b'), { name: 'apart', capability: 'echo' }])
    await untilStatus(id, 'completed')
    for (const generation of [1, 2]) {
      expect(await tasks().rerun(id, { from: [await idOf(id, 'b'), 'apart', 'b'] })).toMatchObject({ subtasks: 2 })
      await untilStatus(id, 'completed')
      expect(await generations(id)).toEqual({ a: 0, b: generation, apart: generation })
    }
  })

  test('an edited input may refer to the task and to what it depends on, and to nothing else', async () => {
    const id = await start([...chain('a', 'b'), { name: 'apart', capability: 'echo' }], { metadata: { place: 'here' } })
    await untilStatus(id, 'completed')
    await tasks().rerun(id, { from: ['b'], input: { in: '{{task.metadata.place}}', by: '{{a.outputs.by}}', of: '{{task.title}}' } })
    expect((await untilStatus(id, 'completed')).subtasks[1]?.outputs).toEqual({ by: 'echo', got: { in: 'here', by: 'echo', of: 'A test' } })
    for (const [input, issue] of [
      ['{{apart.outputs.by}}', /refers to apart, on which b does not depend/],
      ['{{nobody.outputs}}', /refers to nobody/],
      ['{{task.metadata.nowhere}}', /nowhere/],
    ] as const)
      expect(await errorOf(tasks().rerun(id, { from: ['b'], input: { x: input } }))).toMatchObject({
        code: 'invalid_request',
        fields: [{ path: 'input', issue: expect.stringMatching(issue) }],
      })
    expect(await tasks().get(id)).toMatchObject({ status: 'completed' })
  })

  test('of a failed task runs what failed and what was cancelled with it', async () => {
    const id = await start([
      { name: 'ok', capability: 'echo' },
      { name: 'bad', capability: 'echo', input: 'fail', max_attempts: 1, on_failure: 'fail', depends_on: ['ok'] },
      { name: 'after', capability: 'echo', depends_on: ['bad'] },
      { name: 'beside', capability: 'hold' },
    ])
    await reached(`${id}/beside#1`)
    await untilStatus(id, 'failed')
    await untilStates(id, { ok: 'completed', bad: 'failed', after: 'cancelled', beside: 'cancelled' })
    scene.failing.delete(`${id}/bad`)
    const before = timesBegun(`${id}/beside`)
    expect(await tasks().rerun(id, { from: ['bad'] })).toEqual({ task_id: id, status: 'running', subtasks: 3 })
    await reachedAgain(`${id}/beside`, before)
    letGo(`${id}/beside`)
    await untilStatus(id, 'completed')
    expect(timesBegun(`${id}/ok`)).toBe(1)
    expect(await generations(id)).toEqual({ ok: 0, bad: 1, after: 1, beside: 1 })
  })

  test('of a cancelled task, and of a subtask that was cancelled in a task that goes on', async () => {
    const id = await start([...chain('a', 'b'), { name: 'hold', capability: 'hold' }])
    await until(id, task => expect(namedIn(task, 'b').state).toBe('completed'))
    await reached(`${id}/hold#1`)
    await tasks().cancel(id)
    await untilStates(id, { a: 'completed', b: 'completed', hold: 'cancelled' })
    const again = () => tasks().rerun(id, { from: ['b'] })
    await vi.waitFor(async () => expect(await again()).toMatchObject({ status: 'running', subtasks: 2 }), { timeout: 25_000, interval: 20 })
    await reachedAgain(`${id}/hold`, 1)
    await tasks().cancelSubtask(id, await idOf(id, 'hold'))
    await untilStatus(id, 'failed')
    await tasks().rerun(id, { from: ['hold'] })
    await reachedAgain(`${id}/hold`, 2)
    letGo(`${id}/hold`)
    await untilStatus(id, 'completed')
    expect(timesBegun(`${id}/a`)).toBe(1)
  })

  test('in a live diamond keeps a pending join and links it anew: it starts once, after both', async () => {
    const id = await start([
      { name: 'root', capability: 'echo' },
      { name: 'left', capability: 'echo', depends_on: ['root'] },
      { name: 'right', capability: 'hold', depends_on: ['root'] },
      { name: 'join', capability: 'joiner', depends_on: ['left', 'right'] },
      { name: 'end', capability: 'echo', depends_on: ['join'] },
    ])
    await reached(`${id}/right#1`)
    await until(id, task => expect(namedIn(task, 'left').state).toBe('completed'))
    expect(await tasks().rerun(id, { from: ['left'], input: 'second' })).toMatchObject({ status: 'running', subtasks: 1 })
    await until(id, task => expect(namedIn(task, 'left')).toMatchObject({ state: 'completed', generation: 1 }))
    expect(namedIn(await tasks().get(id), 'join')).toMatchObject({ state: 'pending', generation: 0 })
    // And of the root: everything that was opened, but not the join.
    expect(await tasks().rerun(id, { from: ['root'] })).toMatchObject({ subtasks: 3 })
    await reachedAgain(`${id}/right`, 1)
    expect(scene.aborts).toContain(`${id}/right`)
    await until(id, task => expect(namedIn(task, 'left')).toMatchObject({ state: 'completed', generation: 2 }))
    expect(timesBegun(`${id}/join`)).toBe(0)
    letGo(`${id}/right`)
    const end = await untilStatus(id, 'completed')
    expect(namedIn(end, 'join').outputs).toEqual([
      ['left', 'completed', { by: 'echo', got: 'second' }],
      ['right', 'completed', 'held'],
    ])
    expect([timesBegun(`${id}/join`), timesBegun(`${id}/end`)]).toEqual([1, 1])
    expect(await generations(id)).toEqual({ root: 1, left: 2, right: 1, join: 0, end: 0 })
  })

  test('asks an approval gate downstream again, while nothing upstream of what was named runs', async () => {
    const id = await start([
      { name: 'a', capability: 'echo' },
      { name: 'b', capability: 'echo', depends_on: ['a'], requires_approval: true },
      { name: 'c', capability: 'echo', depends_on: ['b'], requires_approval: true },
    ])
    await scene.approve(id, 'b')
    await scene.approve(id, 'c')
    await untilStatus(id, 'completed')
    expect(await tasks().rerun(id, { from: ['b'] })).toEqual({ task_id: id, status: 'needs_review', subtasks: 2 })
    await scene.approve(id, 'b')
    await openReview(id, 'c')
    expect([timesBegun(`${id}/a`), timesBegun(`${id}/b`), timesBegun(`${id}/c`)]).toEqual([1, 2, 1])
    await scene.approve(id, 'c')
    await untilStatus(id, 'completed')
    expect([timesBegun(`${id}/a`), timesBegun(`${id}/c`)]).toEqual([1, 2])
  })

  test('holds again at checkpoints', async () => {
    const task_id = scene.newId()
    await tasks().submit({ task_id, title: 'x', subtasks: chain('a', 'b') })
    await tasks().execute(task_id, { checkpoints: ['b'] })
    const release = async () => {
      await untilStates(task_id, { a: 'completed', b: 'awaiting_approval' })
      await tasks().release(task_id, await idOf(task_id, 'b'))
      await untilStatus(task_id, 'completed')
    }
    await release()
    await tasks().rerun(task_id, { from: ['a'] })
    await release()
    expect(timesBegun(`${task_id}/b`)).toBe(2)
  })

  test('of what spawned drops its children, and spawns anew; what others spawned stays', async () => {
    const id = await start([
      { name: 's', capability: 'spawner', input: { children: ['one', 'two'] } },
      { name: 't', capability: 'spawner', input: { children: ['three'] }, requires_approval: true },
      { name: 'join', capability: 'joiner', depends_on: ['s', 't'] },
    ])
    // Only then, so that its child stands behind those of the other.
    await until(id, task => expect(namedIn(task, 'two').state).toBe('completed'))
    await scene.approve(id, 't')
    await untilStatus(id, 'completed')
    const children = (await tasks().get(id)).subtasks.map(s => s.name)
    expect(children.sort()).toEqual(['join', 'one', 's', 't', 'three', 'two'])
    expect(await tasks().rerun(id, { from: ['s'], input: { children: ['one', 'four', 'five'] } })).toMatchObject({ subtasks: 2 })
    const end = await untilStatus(id, 'completed')
    expect(end.subtasks.map(s => s.name).sort()).toEqual(['five', 'four', 'join', 'one', 's', 't', 'three'])
    expect((namedIn(end, 'join').outputs as [string][]).map(([name]) => name).sort()).toEqual(['five', 'four', 'one', 's', 't', 'three'])
    expect([timesBegun(`${id}/three`), timesBegun(`${id}/one`), timesBegun(`${id}/two`)]).toEqual([1, 2, 1])
    expect(new Set(end.subtasks.map(s => s.subtask_id)).size).toBe(end.subtasks.length)
    // A child alone, too.
    expect(await tasks().rerun(id, { from: ['four'] })).toMatchObject({ subtasks: 2 })
    await untilStatus(id, 'completed')
    expect([timesBegun(`${id}/four`), timesBegun(`${id}/one`)]).toEqual([2, 2])
  })

  test('of a spawner whose children still run: they are aborted, and the join waits for the new ones', async () => {
    const id = await start([
      { name: 's', capability: 'spawner', input: { children: ['child'], by: 'hold' } },
      { name: 'join', capability: 'joiner', depends_on: ['s'] },
    ])
    await reached(`${id}/child#1`)
    expect(await tasks().rerun(id, { from: ['s'] })).toMatchObject({ subtasks: 1 })
    await reachedAgain(`${id}/child`, 1)
    expect(scene.aborts).toContain(`${id}/child`)
    expect(await named(id, 'join')).toMatchObject({ state: 'pending', generation: 0 })
    letGo(`${id}/child`)
    expect(namedIn(await untilStatus(id, 'completed'), 'join').outputs).toEqual([
      ['s', 'completed', ['child']],
      ['child', 'completed', 'held'],
    ])
  })

  test('a late report of a superseded attempt is refused, and changes nothing', async () => {
    const id = await start([
      { name: 'a', capability: 'hold' },
      { name: 'b', capability: 'joiner', depends_on: ['a'] },
    ])
    await reached(`${id}/a#1`)
    const { rows } = await local.database.query<{ id: string; attempt: number; claim_id: string }>(
      {
        text: `select s.id::text as id, s.attempt, s.claim_id from tasks k join subtasks d on d.task_pk = k.id join subtask_states s on s.id = d.id where k.task_id = $1 and d.name = 'a'`,
      },
      [id],
    )
    await tasks().rerun(id, { from: ['a'] })
    const late = await completeAttempts(
      local.database,
      rows.map(row => ({ ...row, output: '"too late"' })),
      [],
    )
    expect(late.verdicts).toEqual(['stale'])
    await reachedAgain(`${id}/a`, 1)
    letGo(`${id}/a`, 'in time')
    expect(namedIn(await untilStatus(id, 'completed'), 'b').outputs).toEqual([['a', 'completed', 'in time']])
  })

  test('asked for once more while it is under way, it changes nothing; with another input it begins anew', async () => {
    const id = await start([
      { name: 'a', capability: 'hold' },
      { name: 'b', capability: 'joiner', depends_on: ['a'] },
    ])
    await reached(`${id}/a#1`)
    expect(await tasks().rerun(id, { from: ['a'], input: { n: 1 } })).toMatchObject({ status: 'running', subtasks: 1 })
    await reachedAgain(`${id}/a`, 1)
    for (let repeat = 0; repeat < 3; repeat++)
      expect(await tasks().rerun(id, { from: ['a'], input: { n: 1 } })).toMatchObject({ status: 'running', subtasks: 0 })
    expect(await generations(id)).toEqual({ a: 1, b: 0 })
    expect(await tasks().rerun(id, { from: ['a'], input: { n: 2 } })).toMatchObject({ subtasks: 1 })
    await reachedAgain(`${id}/a`, 2)
    letGo(`${id}/a`, 'done')
    await untilStatus(id, 'completed')
    expect(await generations(id)).toEqual({ a: 2, b: 0 })
    expect(timesBegun(`${id}/a`)).toBe(3)
  })

  test('of a paused task waits until it is resumed', async () => {
    const id = await start([...chain('a'), { name: 'hold', capability: 'hold', depends_on: ['a'] }])
    await reached(`${id}/hold#1`)
    await tasks().pause(id)
    expect(await tasks().rerun(id, { from: ['a'] })).toMatchObject({ status: 'paused', subtasks: 2 })
    expect(await named(id, 'a')).toMatchObject({ state: 'ready', why: 'the task is paused' })
    await tasks().resume(id)
    await reachedAgain(`${id}/hold`, 1)
    letGo(`${id}/hold`)
    await untilStatus(id, 'completed')
  })

  test('is refused for what is unknown, not started or waits for something else', async () => {
    const task_id = scene.newId()
    await tasks().submit({ task_id, title: 'x', subtasks: chain('a', 'b') })
    expect(await errorOf(tasks().rerun(task_id, { from: ['a'] }))).toMatchObject({
      code: 'state_conflict',
      extra: { task_status: 'planned' },
      message: expect.stringContaining('POST /execute'),
    })
    await tasks().cancel(task_id)
    expect(await errorOf(tasks().rerun('nobody', { from: ['a'] }))).toMatchObject({ code: 'task_not_found' })
    const id = await start([
      { name: 'hold', capability: 'hold' },
      { name: 'b', capability: 'echo', depends_on: ['hold'] },
      { name: 'c', capability: 'echo', depends_on: ['b'] },
    ])
    await reached(`${id}/hold#1`)
    expect(await errorOf(tasks().rerun(id, { from: ['hold', 'x', 'y'] }))).toMatchObject({
      code: 'subtask_not_found',
      fields: [{ path: 'from[1]' }, { path: 'from[2]' }],
    })
    expect(await errorOf(tasks().rerun(id, { from: ['b'] }))).toMatchObject({
      code: 'state_conflict',
      message: expect.stringContaining('b has not started'),
    })
    expect(await errorOf(tasks().rerun(id, { from: ['hold', 'b'], input: 1 }))).toMatchObject({
      code: 'invalid_request',
      fields: [{ path: 'input', issue: expect.stringContaining('one subtask only') }],
    })
    await tasks().cancelSubtask(id, await idOf(id, 'c'))
    expect(await errorOf(tasks().rerun(id, { from: ['c'] }))).toMatchObject({
      code: 'state_conflict',
      message: expect.stringContaining('needs b, which has not finished'),
    })
    expect(timesBegun(`${id}/hold`)).toBe(1)
    letGo(`${id}/hold`)
    await untilStatus(id, 'failed')
    expect(await tasks().rerun(id, { from: ['c'] })).toMatchObject({ subtasks: 1 })
    await untilStatus(id, 'completed')
  })

  test('reruns of one subtask that race each count once, and its dependents run after the last', async () => {
    for (let round = 0; round < 5; round++) {
      const id = await start([...chain('a', 'b'), { name: 'c', capability: 'joiner', depends_on: ['b'] }])
      await untilStatus(id, 'completed')
      const all = await Promise.all(Array.from({ length: 4 }, (_, n) => tasks().rerun(id, { from: ['a'], input: { n } })))
      expect(all.map(r => r.status)).toEqual(Array.from({ length: 4 }, () => 'running'))
      const end = await untilStatus(id, 'completed')
      expect(namedIn(end, 'a').generation).toBe(4)
      expect(end.subtasks.map(s => s.state)).toEqual(['completed', 'completed', 'completed'])
    }
  })

  test('a rerun leaves no contradiction whatever finishes at the same time', async () => {
    // A small generator, so that a failure can be repeated by its number.
    let seed = 20_260_202
    const random = (n: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((seed / 2_147_483_648) * n)
    }
    const policies = ['review', 'fail', 'skip', 'continue'] as const
    const size = 8
    const ids = await Promise.all(
      Array.from({ length: 10 }, () =>
        start(
          Array.from({ length: size }, (_, i) => ({
            name: `s${i}`,
            capability: random(5) === 0 ? 'spawner' : 'echo',
            max_attempts: 1,
            requires_approval: random(6) === 0,
            on_failure: policies[random(4)] ?? 'review',
            input: random(5) === 0 ? 'fail' : { children: [`child${i}`] },
            depends_on: Array.from({ length: i }, (_, j) => `s${j}`).filter(() => random(3) === 0),
          })),
        ),
      ),
    )
    const allowed = ['state_conflict', 'invalid_request', 'subtask_not_found']
    const expected = (error: { code?: string }) => expect(allowed, String(error)).toContain(error.code)
    const acts = Array.from({ length: 200 }, () => [ids[random(ids.length)] ?? '', random(8), `s${random(size)}`, random(4)] as const)
    // Four at a time, so that they race on a database that lets them.
    for (let i = 0; i < acts.length; i += 4)
      await Promise.all(acts.slice(i, i + 4).map(([id, what, name, which]) => act(id, what, name, which).catch(expected)))
    for (const id of ids) {
      await tasks().resume(id).catch(expected)
      await until(id, task => expect(['completed', 'failed', 'cancelled', 'needs_review']).toContain(task.status))
    }

    async function act(id: string, what: number, name: string, which: number): Promise<unknown> {
      if (what < 3) return tasks().rerun(id, { from: [name] })
      if (what === 3) return tasks().cancelSubtask(id, await idOf(id, name))
      if (what === 4) return which === 0 ? tasks().pause(id) : tasks().resume(id)
      if (what === 5) return tasks().reassignSubtask(id, await idOf(id, name), { agent: which === 0 ? 'other' : 'echo' })
      const [review] = (await reviews().list({ taskId: id })).reviews
      const decision = (['approve', 'retry', 'supply', 'reject'] as const)[which] ?? 'approve'
      return (
        review &&
        reviews().decide(review.id, { decision, reason: 'at random', ...(decision === 'supply' && { output: new RawJson('1', 1) }) })
      )
    }
  })
})
