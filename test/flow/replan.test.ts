/** Planning the rest of a task anew: what stays, what goes, what comes, and that a person approves just what is applied. */
import { openPostgres } from '@baton/coordinator'
import type { SubtaskRequest } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { eventually, freshDatabase } from '../harness/index.js'
import { contradictions, type OpenLocal, startOpenLocal } from './open-local.js'
import { createScene, namedIn } from './scene.js'

let local: OpenLocal
const scene = createScene('p', () => local)
const { start, until, untilStatus, untilStates, reached, timesBegun, letGo, errorOf, tasks, reviews, newId } = scene
beforeAll(async () => {
  local = await startOpenLocal(await openPostgres({ url: await freshDatabase(), log: silentLogger(), max: 8 }))
  await local.host(scene.agents)
})
afterAll(() => local?.stop())
afterEach(async () => {
  await vi.waitFor(async () => expect(await contradictions(local.database)).toEqual([]), { timeout: 25_000, interval: 20 })
})

const echo = (name: string, depends_on: string[] = [], more: Partial<SubtaskRequest> = {}): SubtaskRequest => ({
  name,
  capability: 'echo',
  depends_on,
  ...more,
})
const held = (name: string, depends_on: string[] = []): SubtaskRequest => ({ name, capability: 'hold', depends_on })
const joined = (name: string, depends_on: string[]): SubtaskRequest => ({ name, capability: 'joiner', depends_on })
/** `a` has finished, `b` runs, the rest waits for it. */
const underWay = async (...rest: SubtaskRequest[]) => {
  const id = await start([echo('a'), held('b', ['a']), ...rest])
  await reached(`${id}/b#1`)
  return id
}

test('finished work stays, what runs stays, what is planned as it stands is kept, the rest goes or changes', async () => {
  const id = await underWay(echo('c', ['b']), echo('d', ['b'], { input: 1 }), echo('e', ['c']))
  const before = await tasks().get(id)
  const plan = [echo('c', ['b']), echo('d', ['b'], { input: 2 }), joined('f', ['a', 'b', 'c', 'd'])]
  const change = await tasks().replan(id, { subtasks: plan, reason: 'we know better' })
  expect(change).toMatchObject({
    task_id: id,
    status: 'running',
    applied: true,
    plan: { made_by: 'explicit' },
    diff: {
      added: [{ name: 'f', capability: 'joiner', depends_on: ['a', 'b', 'c', 'd'] }],
      removed: ['e'],
      changed: [{ name: 'd', fields: ['input'] }],
      kept: ['a', 'b', 'c'],
    },
  })
  letGo(`${id}/b`)
  const end = await untilStatus(id, 'completed')
  expect(end.subtasks.map(s => s.name).sort()).toEqual(['a', 'b', 'c', 'd', 'f'])
  expect(namedIn(end, 'c').subtask_id).toBe(namedIn(before, 'c').subtask_id)
  expect(namedIn(end, 'd').subtask_id).not.toBe(namedIn(before, 'd').subtask_id)
  expect(namedIn(end, 'd').outputs).toEqual({ by: 'echo', got: 2 })
  expect((namedIn(end, 'f').outputs as [string][]).map(([of]) => of).sort()).toEqual(['a', 'b', 'c', 'd'])
  expect(['a', 'b', 'c', 'd', 'e'].map(one => timesBegun(`${id}/${one}`))).toEqual([1, 1, 1, 1, 0])
  expect(end.status_history.map(({ reason }) => reason)).toContain('we know better')
  expect(await scene.events(id, 'task.replanned')).toMatchObject([{ data: { by: 'local', added: 1, removed: 1, changed: 1, kept: 3 } }])
})

test('a dry run shows the same and changes nothing; a plan that changes nothing is none either', async () => {
  const id = await underWay(echo('c', ['b']))
  const before = await tasks().get(id)
  const dry = await tasks().replan(id, { subtasks: [echo('x', ['b'])] }, { dryRun: true })
  expect(dry).toMatchObject({ applied: false, diff: { added: [{ name: 'x' }], removed: ['c'], changed: [], kept: ['a', 'b'] } })
  expect((await tasks().get(id)).subtasks).toEqual(before.subtasks)
  const same = await tasks().replan(id, { subtasks: [echo('a'), held('b', ['a']), echo('c', ['b'])] })
  expect(same.diff).toMatchObject({ added: [], removed: [], changed: [], kept: ['a', 'b', 'c'] })
  expect(same.plan.diagnostics).toEqual(['a, b: finished or under way, and left as it is'])
  letGo(`${id}/b`)
  await untilStatus(id, 'completed')
  expect(timesBegun(`${id}/c`)).toBe(1)
})

test('what runs is cancelled where that is asked for, and its late result is nothing', async () => {
  const id = await underWay(echo('c', ['b']))
  const change = await tasks().replan(id, { subtasks: [echo('b', ['a']), echo('c', ['b'])], running: 'cancel' })
  expect(change.diff).toMatchObject({ changed: [{ name: 'b', fields: ['state'] }], kept: ['a', 'c'] })
  await vi.waitFor(() => expect(scene.aborts).toContain(`${id}/b`), { timeout: 25_000, interval: 10 })
  const end = await untilStatus(id, 'completed')
  expect(namedIn(end, 'b').outputs).toEqual({ by: 'echo', got: {} })
  expect(timesBegun(`${id}/c`)).toBe(1)
})

test('a plan that needs only finished work begins at once; one of which all is finished completes the task', async () => {
  const id = await start([echo('a'), held('b', ['a'])])
  await reached(`${id}/b#1`)
  await tasks().replan(id, { subtasks: [echo('now', ['a'])], running: 'cancel' })
  await untilStates(id, { a: 'completed', now: 'completed' })
  await untilStatus(id, 'completed')
  const other = await start([echo('a'), { ...echo('b', ['a']), requires_approval: true }])
  await untilStatus(other, 'needs_review')
  expect(await tasks().replan(other, { subtasks: [echo('a')] })).toMatchObject({ status: 'completed', diff: { removed: ['b'] } })
  expect((await reviews().list({ taskId: other, status: 'open' })).reviews).toEqual([])
})

test('what failed and was given to a person is planned otherwise, and their review is over', async () => {
  const id = await start([echo('a', [], { input: 'fail', max_attempts: 1 }), joined('b', ['a'])])
  await untilStatus(id, 'needs_review')
  await tasks().replan(id, { subtasks: [{ name: 'a', capability: 'other' }, joined('b', ['a'])] })
  const end = await untilStatus(id, 'completed')
  expect(namedIn(end, 'b').outputs).toEqual([['a', 'completed', { by: 'other', got: {} }]])
  expect((await reviews().list({ taskId: id, status: 'closed' })).reviews).toMatchObject([{ reason: 'the task was planned anew' }])
})

test('what was spawned stays with its spawner, and is waited for by whoever comes to wait for that', async () => {
  const id = await start([{ name: 's', capability: 'spawner', input: { children: ['one', 'two'], by: 'hold' } }, echo('z', ['s'])])
  await reached(`${id}/one#1`)
  await reached(`${id}/two#1`)
  const { diff } = await tasks().replan(id, { subtasks: [joined('y', ['s'])] })
  expect(diff).toMatchObject({ added: [{ name: 'y' }], removed: ['z'], kept: ['s', 'one', 'two'] })
  letGo(`${id}/one`)
  await untilStates(id, { s: 'completed', one: 'completed', two: 'running', y: 'pending' })
  letGo(`${id}/two`)
  const end = await untilStatus(id, 'completed')
  expect((namedIn(end, 'y').outputs as [string][]).map(([of]) => of).sort()).toEqual(['one', 's', 'two'])
})

test('a task that has not started is planned anew, and starts as that; gates and manual execution hold', async () => {
  const id = newId()
  await tasks().submit({ task_id: id, title: 'x', subtasks: [echo('a'), echo('b', ['a'])] })
  expect(await tasks().replan(id, { subtasks: [echo('b'), { ...echo('c', ['b']), requires_approval: true }] })).toMatchObject({
    status: 'planned',
    diff: { removed: ['a'], changed: [{ name: 'b', fields: ['depends_on'] }], added: [{ name: 'c' }] },
  })
  await tasks().execute(id, { execution_mode: 'manual' })
  await untilStates(id, { b: 'awaiting_approval', c: 'pending' })
  await tasks().replan(id, { subtasks: [echo('d')] })
  await untilStates(id, { d: 'awaiting_approval' })
  await tasks().release(id, await scene.idOf(id, 'd'))
  await untilStatus(id, 'completed')
})

test('a plan in words is made by the planners: from other words, or from those of the task again', async () => {
  const id = newId()
  await tasks().submit({ task_id: id, title: 'Invoices', description: 'Fix the totals, then deploy it.' })
  const again = await tasks().replan(id)
  expect(again).toMatchObject({ plan: { made_by: 'rules' }, diff: { added: [], removed: [], changed: [] } })
  const other = await tasks().replan(id, { description: 'Document the totals.' })
  expect(other.diff.added).toMatchObject([{ capability: 'documentation' }])
  expect((await tasks().get(id)).subtasks.map(s => s.capability)).toEqual(['documentation'])
  const silent = await underWay()
  expect(await errorOf(tasks().replan(silent))).toMatchObject({ code: 'invalid_request', fields: [{ path: 'description' }] })
  letGo(`${silent}/b`)
  await untilStatus(silent, 'completed')
})

test('what does not fit is refused with all that is wrong, and changes nothing', async () => {
  const id = await underWay(echo('c', ['b']))
  const refused = async (subtasks: SubtaskRequest[]) => (await errorOf(tasks().replan(id, { subtasks }))).fields
  expect(await refused([echo('x', ['c'])])).toMatchObject([
    { path: 'subtasks[0].depends_on[0]', issue: expect.stringMatching(/no subtask "c"/) },
  ])
  expect(await refused([echo('x', ['y']), echo('y', ['x'])])).toMatchObject([{ issue: expect.stringMatching(/cycle/) }])
  expect(await refused([echo('x', [], { input: '{{nowhere.outputs}}' })])).toMatchObject([{ issue: expect.stringMatching(/nowhere/) }])
  expect(await errorOf(tasks().replan(id, { subtasks: [echo('x')], description: 'both' }))).toMatchObject({ code: 'invalid_request' })
  expect(await errorOf(tasks().replan('gone'))).toMatchObject({ code: 'task_not_found' })
  expect((await tasks().get(id)).subtasks.map(s => s.name)).toEqual(['a', 'b', 'c'])
  letGo(`${id}/b`)
  await untilStatus(id, 'completed')
  expect(await errorOf(tasks().replan(id, { subtasks: [echo('x')] }))).toMatchObject({ code: 'state_conflict' })
})

describe('with an approval', () => {
  const propose = async (id: string, subtasks: SubtaskRequest[]) => {
    const { review, applied } = await tasks().replan(id, { subtasks, requires_approval: true, reason: 'cheaper' })
    expect(applied).toBe(false)
    return review as NonNullable<typeof review>
  }

  test('nothing changes until it is approved; then just that is applied', async () => {
    const id = await underWay(echo('c', ['b']))
    const { id: review, digest } = await propose(id, [echo('x', ['b'])])
    expect(await reviews().get(review)).toMatchObject({
      kind: 'plan',
      status: 'open',
      digest,
      detail: 'a new plan adds x; removes c; keeps a, b; because: cheaper',
    })
    expect((await tasks().get(id)).subtasks.map(s => s.name)).toEqual(['a', 'b', 'c'])
    const wrong = reviews().decide(review, { decision: 'approve', reason: 'yes', digest: 'f'.repeat(64) })
    expect(await errorOf(wrong)).toMatchObject({ code: 'state_conflict' })
    expect(await reviews().decide(review, { decision: 'approve', reason: 'yes', digest })).toMatchObject({
      status: 'decided',
      decision: 'approve',
    })
    expect((await tasks().get(id)).subtasks.map(s => s.name)).toEqual(['a', 'b', 'x'])
    expect(await errorOf(reviews().decide(review, { decision: 'reject', reason: 'no' }))).toMatchObject({ code: 'state_conflict' })
    letGo(`${id}/b`)
    await untilStatus(id, 'completed')
  })

  test('a rejected one is discarded, and a newer one takes the place of an older', async () => {
    const id = await underWay(echo('c', ['b']))
    const first = await propose(id, [echo('x', ['b'])])
    const second = await propose(id, [echo('y', ['b'])])
    expect(await reviews().get(first.id)).toMatchObject({ status: 'closed', reason: 'another plan was proposed' })
    expect(await reviews().decide(second.id, { decision: 'reject', reason: 'no' })).toMatchObject({
      status: 'decided',
      decision: 'reject',
    })
    expect((await tasks().get(id)).subtasks.map(s => s.name)).toEqual(['a', 'b', 'c'])
    letGo(`${id}/b`)
    await untilStatus(id, 'completed')
  })

  test('where the task went on so that it would change something else, it is not applied', async () => {
    const id = await underWay(held('c', ['b']))
    const { id: review } = await propose(id, [echo('x', ['b'])])
    letGo(`${id}/b`)
    await reached(`${id}/c#1`) // and so it would stay now
    expect(await errorOf(reviews().decide(review, { decision: 'approve', reason: 'yes' }))).toMatchObject({
      code: 'state_conflict',
      message: expect.stringMatching(/because the task went on; reject it/),
    })
    expect(await reviews().get(review)).toMatchObject({ status: 'open' })
    letGo(`${id}/c`)
    await untilStatus(id, 'completed')
    await closes(review)
  })

  /** What nobody decided goes with its task. */
  const closes = (review: string) =>
    vi.waitFor(async () => expect(await reviews().get(review)).toMatchObject({ status: 'closed', reason: 'the task ended' }), {
      timeout: 15_000,
      interval: 50,
    })

  test('one of a task that is cancelled is closed', async () => {
    const id = await underWay(echo('c', ['b']))
    const { id: review } = await propose(id, [echo('x', ['b'])])
    await tasks().cancel(id)
    await closes(review)
    expect(await errorOf(reviews().decide(review, { decision: 'approve', reason: 'yes' }))).toMatchObject({ code: 'state_conflict' })
    const told = await scene.events(id, 'review.closed')
    expect(told).toHaveLength(1)
    letGo(`${id}/b`)
  })
})

test('a result that arrives while its subtask is given dependents opens these too', async () => {
  const id = await underWay(echo('c', ['b']))
  const waiting = (kind: string) =>
    eventually(async () => {
      const { rows } = await local.database.query<{ count: number }>(
        {
          text: `select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and wait_event = $1`,
        },
        [kind],
      )
      expect(rows[0]?.count).toBe(1)
    })
  let replanned: Promise<unknown> = Promise.resolve()
  await local.database.transaction(async tx => {
    // The replan holds every row, and waits with its edges; then the result comes, and waits for the row.
    await tx.query({ text: 'lock table dependencies in share mode' })
    replanned = tasks().replan(id, { subtasks: [echo('c', ['b']), joined('f', ['b'])] })
    await waiting('relation')
    letGo(`${id}/b`)
    await waiting('transactionid')
  })
  expect(await replanned).toMatchObject({ applied: true, diff: { added: [{ name: 'f' }] } })
  const end = await untilStatus(id, 'completed')
  expect(namedIn(end, 'f')).toMatchObject({ state: 'completed', outputs: [['b', 'completed', expect.anything()]] })
  expect([timesBegun(`${id}/b`), timesBegun(`${id}/c`), timesBegun(`${id}/f`)]).toEqual([1, 1, 1])
})

test('while subtasks finish and open others, every one runs once or not at all', async () => {
  const names = Array.from({ length: 30 }, (_, n) => `s${n}`)
  const chain = names.map((one, n) => echo(one, n > 2 ? [names[n - 3] as string] : []))
  const id = await start(chain)
  const answers = await Promise.allSettled(
    Array.from({ length: 6 }, (_, n) =>
      tasks().replan(id, { subtasks: [...chain.slice(0, 20), joined(`end${n}`, ['s17', 's18', 's19'])] }),
    ),
  )
  for (const answer of answers)
    if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: expect.stringMatching(/state_conflict|invalid_request/) })
  const end = await until(id, task => expect(['completed']).toContain(task.status))
  for (const { name: one } of end.subtasks) expect(timesBegun(`${id}/${one}`)).toBe(1)
  expect(end.subtasks.every(s => s.state === 'completed')).toBe(true)
})
