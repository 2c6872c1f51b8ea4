import type { BatonError, ReviewView, SubtaskRequest, SubtaskView, TaskView } from '@baton/shared'
import { RawJson } from '@baton/shared'
import { defineAgent } from '@baton/worker'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { failAttempts } from '../../packages/coordinator/src/store/fail.js' // two reports in one batch are luck from outside
import { databases } from './both-databases.js'
import { contradictions, hasEnded, type OpenLocal, startOpenLocal } from './open-local.js'

let local: OpenLocal
let count = 0

/** Attempts that began, as `task/subtask#attempt`. */
const begun: string[] = []
const reached = (id: string) => vi.waitFor(() => expect(begun).toContain(id), { timeout: 25_000, interval: 5 })
/** Subtasks whose attempts fail for as long as they stand here, as `task/subtask`. */
const failing = new Set<string>()
/** What lets the attempts of `hold` go. */
const held = new Map<string, () => void>()
const aborts: string[] = []

const keyOf = (context: { taskId: string; name: string }) => `${context.taskId}/${context.name}`

const echo = defineAgent({
  name: 'echo',
  concurrency: 8,
  run: (input, context) => {
    begun.push(`${keyOf(context)}#${context.attempt}`)
    if (failing.has(keyOf(context))) throw new Error(`attempt ${context.attempt} failed`)
    return { by: 'echo', got: input }
  },
})
/** Runs until a test lets it go, or it is aborted. */
const holding = (name: string) =>
  defineAgent({
    name,
    concurrency: 4,
    run: (_, context) =>
      new Promise((resolve, reject) => {
        held.set(keyOf(context), () => resolve('held'))
        context.signal.addEventListener(
          'abort',
          () => {
            aborts.push(keyOf(context))
            reject(context.signal.reason)
          },
          { once: true },
        )
        begun.push(`${keyOf(context)}#${context.attempt}`)
      }),
  })
const other = defineAgent({ name: 'other', capabilities: ['elsewhere'], run: input => ({ by: 'other', got: input }) })
const joiner = defineAgent({
  name: 'joiner',
  run: async (_, context) => {
    const seen: [string, string, unknown][] = []
    for await (const dependency of context.dependencies) seen.push([dependency.name, dependency.state, await dependency.output()])
    return seen
  },
})

// PGlite has one connection: only on PostgreSQL do statements race.
describe.each(databases)('on %s', (_, open) => {
  beforeAll(async () => {
    local = await startOpenLocal(await open())
    await local.host([echo, holding('hold'), other, joiner])
  })
  afterAll(async () => {
    await local?.stop()
  })
  afterEach(async () => {
    await vi.waitFor(async () => expect(await contradictions(local.database)).toEqual([]), { timeout: 25_000, interval: 20 })
  })

  async function start(subtasks: SubtaskRequest[], extra: Record<string, unknown> = {}): Promise<string> {
    const task_id = `c${++count}`
    for (const { name, input } of subtasks) if (input === 'fail') failing.add(`${task_id}/${name}`)
    await local.client.tasks.submit({ task_id, title: 'A test', subtasks, execute: true, ...extra })
    return task_id
  }
  const tasks = () => local.client.tasks
  const reviews = () => local.client.reviews

  async function until(taskId: string, check: (task: TaskView) => void): Promise<TaskView> {
    return vi.waitFor(
      async () => {
        const task = await tasks().get(taskId)
        check(task)
        return task
      },
      { timeout: 20_000, interval: 10 },
    )
  }
  const untilStatus = (taskId: string, status: TaskView['status']) => until(taskId, task => expect(task.status).toBe(status))
  const named = (task: TaskView, name: string): SubtaskView => {
    const found = task.subtasks.find(s => s.name === name)
    if (!found) throw new Error(`no subtask ${name}`)
    return found
  }
  const statesOf = (task: TaskView) => Object.fromEntries(task.subtasks.map(s => [s.name, s.state]))
  async function idOf(taskId: string, name: string): Promise<string> {
    return named(await tasks().get(taskId), name).subtask_id
  }

  /** The one open review of a task that needs one. */
  async function openReview(taskId: string): Promise<ReviewView> {
    await untilStatus(taskId, 'needs_review')
    const { reviews: open } = await reviews().list({ taskId })
    expect(open).toHaveLength(1)
    return open[0] as ReviewView
  }

  async function errorOf(promise: Promise<unknown>): Promise<BatonError> {
    const error = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(Error)
    return error as BatonError
  }

  describe('cancelling', () => {
    test('aborts what runs, cancels what waits, closes reviews, and is the same a second time', async () => {
      const id = await start([
        { name: 'hold', capability: 'hold' },
        { name: 'after', capability: 'echo', depends_on: ['hold'] },
        { name: 'gated', capability: 'echo', requires_approval: true },
        { name: 'done', capability: 'echo' },
      ])
      await reached(`${id}/hold#1`)
      await until(id, task => expect(named(task, 'done').state).toBe('completed'))
      const { reviews: before } = await reviews().list({ taskId: id })
      expect(before).toMatchObject([{ kind: 'approval', subtask: 'gated', subtask_state: 'awaiting_approval' }])
      expect(await tasks().cancel(id, { reason: 'not needed any more' })).toEqual({ task_id: id, status: 'cancelled' })
      await vi.waitFor(() => expect(aborts).toContain(`${id}/hold`), { timeout: 25_000, interval: 5 })
      const end = await until(id, task =>
        expect(statesOf(task)).toEqual({ hold: 'cancelled', after: 'cancelled', gated: 'cancelled', done: 'completed' }),
      )
      expect(end.status_history.at(-1)).toMatchObject({ from: 'running', to: 'cancelled', reason: 'not needed any more' })
      expect(end.review).toBeUndefined()
      expect(await reviews().get(before[0]?.id ?? '')).toMatchObject({ status: 'closed', decision: null })
      expect(await tasks().cancel(id)).toEqual({ task_id: id, status: 'cancelled' })
      expect((await tasks().get(id)).status_history).toHaveLength(end.status_history.length)
      expect(await tasks().execute(id)).toEqual({ task_id: id, status: 'cancelled' })
      for (const verb of ['pause', 'resume'] as const)
        expect(await errorOf(tasks()[verb](id))).toMatchObject({ code: 'state_conflict', extra: { task_status: 'cancelled' } })
    })

    test('of a planned task starts nothing ever', async () => {
      const task_id = `c${++count}`
      await tasks().submit({ task_id, title: 'x', subtasks: [{ name: 'a', capability: 'echo' }] })
      await tasks().cancel(task_id)
      await until(task_id, task => expect(statesOf(task)).toEqual({ a: 'cancelled' }))
      expect(await tasks().execute(task_id)).toEqual({ task_id, status: 'cancelled' })
      expect(begun).not.toContain(`${task_id}/a#1`)
    })

    test('of a task that has ended is a conflict that names its state', async () => {
      const id = await start([{ name: 'a', capability: 'echo' }])
      await untilStatus(id, 'completed')
      const error = await errorOf(tasks().cancel(id))
      expect(error).toMatchObject({ code: 'state_conflict', extra: { task_status: 'completed' } })
      expect(error.message).toContain(`task ${id} is completed`)
      expect(await errorOf(tasks().cancel('nobody'))).toMatchObject({ code: 'task_not_found' })
    })

    test('of a paused task cancels it', async () => {
      const id = await start([{ name: 'hold', capability: 'hold' }])
      await reached(`${id}/hold#1`)
      await tasks().pause(id)
      await tasks().cancel(id)
      await until(id, task => expect(statesOf(task)).toEqual({ hold: 'cancelled' }))
    })
  })

  describe('pausing', () => {
    test('lets what runs finish and starts nothing else, until it is resumed', async () => {
      const id = await start([
        { name: 'hold', capability: 'hold' },
        { name: 'after', capability: 'echo', depends_on: ['hold'] },
      ])
      await reached(`${id}/hold#1`)
      expect(await tasks().pause(id, { reason: 'lunch' })).toEqual({ task_id: id, status: 'paused' })
      expect(await tasks().pause(id)).toEqual({ task_id: id, status: 'paused' })
      held.get(`${id}/hold`)?.()
      const paused = await until(id, task => expect(statesOf(task)).toEqual({ hold: 'completed', after: 'ready' }))
      expect(paused).toMatchObject({ status: 'paused', why: expect.stringContaining('resume') })
      expect(named(paused, 'after').why).toBe('the task is paused')
      // Whatever else is done meanwhile does not start it either.
      await untilStatus(await start([{ name: 'a', capability: 'echo' }]), 'completed')
      expect(begun).not.toContain(`${id}/after#1`)
      expect(await tasks().resume(id)).toEqual({ task_id: id, status: 'running' })
      const end = await untilStatus(id, 'completed')
      expect(end.status_history.map(h => h.to)).toEqual(['planned', 'running', 'paused', 'running', 'completed'])
      expect(end.status_history[2]?.reason).toBe('lunch')
    })

    test('of a task whose last subtask finishes meanwhile: resuming completes it', async () => {
      const id = await start([{ name: 'hold', capability: 'hold' }])
      await reached(`${id}/hold#1`)
      await tasks().pause(id)
      held.get(`${id}/hold`)?.()
      await until(id, task => expect(named(task, 'hold').state).toBe('completed'))
      expect(await tasks().resume(id)).toEqual({ task_id: id, status: 'completed' })
      expect((await tasks().get(id)).finished_at).not.toBeNull()
    })

    test('is ended by execute, too', async () => {
      const id = await start([
        { name: 'hold', capability: 'hold' },
        { name: 'after', capability: 'echo', depends_on: ['hold'] },
      ])
      await reached(`${id}/hold#1`)
      await tasks().pause(id)
      held.get(`${id}/hold`)?.()
      await until(id, task => expect(named(task, 'after').state).toBe('ready'))
      expect(await tasks().execute(id)).toEqual({ task_id: id, status: 'running' })
      await untilStatus(id, 'completed')
    })

    test('of many tasks does not hold up one that runs', async () => {
      const ids = Array.from({ length: 120 }, () => `c${++count}`)
      const gated = [{ name: 'a', capability: 'echo', requires_approval: true }]
      await tasks().submitMany(ids.map(task_id => ({ task_id, title: 'x', subtasks: gated, execute: true })))
      await Promise.all(ids.map(id => tasks().pause(id)))
      const { reviews: open } = await reviews().list({ limit: 1_000 })
      await Promise.all(
        open.filter(r => ids.includes(r.task_id)).map(r => reviews().decide(r.id, { decision: 'approve', reason: 'for later' })),
      )
      await untilStatus(await start([{ name: 'a', capability: 'echo' }]), 'completed')
      expect(begun.filter(b => ids.some(id => b.startsWith(`${id}/`)))).toEqual([])
      await Promise.all(ids.map(id => tasks().cancel(id)))
    })

    test('of a planned, and resuming of a running task: a conflict, and no change', async () => {
      const task_id = `c${++count}`
      await tasks().submit({ task_id, title: 'x', subtasks: [{ name: 'a', capability: 'echo' }] })
      expect(await errorOf(tasks().pause(task_id))).toMatchObject({ code: 'state_conflict', extra: { task_status: 'planned' } })
      expect(await errorOf(tasks().resume(task_id))).toMatchObject({ code: 'state_conflict' })
      const id = await start([{ name: 'hold', capability: 'hold' }])
      await reached(`${id}/hold#1`)
      expect(await tasks().resume(id)).toEqual({ task_id: id, status: 'running' })
      held.get(`${id}/hold`)?.()
      await untilStatus(id, 'completed')
      expect(await errorOf(tasks().resume(id))).toMatchObject({ code: 'state_conflict', extra: { task_status: 'completed' } })
    })

    test('does not keep a subtask from failing its task', async () => {
      const id = await start([
        { name: 'hold', capability: 'hold', on_failure: 'fail', max_attempts: 1, sla_seconds: 1 },
        { name: 'after', capability: 'echo', depends_on: ['hold'] },
      ])
      await reached(`${id}/hold#1`)
      await tasks().pause(id)
      await untilStatus(id, 'failed')
      await until(id, task => expect(statesOf(task)).toEqual({ hold: 'failed', after: 'cancelled' }))
    })

    test('lets a decision be taken, whose effect waits', async () => {
      const id = await start([
        { name: 'gated', capability: 'echo', requires_approval: true },
        { name: 'after', capability: 'echo', depends_on: ['gated'] },
      ])
      const review = await openReview(id)
      await tasks().pause(id)
      await reviews().decide(review.id, { decision: 'approve', reason: 'fine' })
      expect(await tasks().get(id)).toMatchObject({ status: 'paused', subtasks: [{ state: 'ready' }, { state: 'pending' }] })
      await tasks().resume(id)
      await untilStatus(id, 'completed')
    })

    test('and rejecting what is in review fails the task at once', async () => {
      const id = await start([
        { name: 'gated', capability: 'echo', requires_approval: true },
        { name: 'after', capability: 'echo', depends_on: ['gated'] },
      ])
      const review = await openReview(id)
      await tasks().pause(id)
      await reviews().decide(review.id, { decision: 'reject', reason: 'no' })
      await untilStatus(id, 'failed')
      await until(id, task => expect(statesOf(task)).toEqual({ gated: 'failed', after: 'cancelled' }))
    })
  })

  describe('manual execution', () => {
    const chain = [
      { name: 'a', capability: 'echo' },
      { name: 'b', capability: 'echo', depends_on: ['a'] },
      { name: 'c', capability: 'echo', depends_on: ['b'] },
    ]
    async function plan(subtasks: SubtaskRequest[]): Promise<string> {
      const task_id = `c${++count}`
      await tasks().submit({ task_id, title: 'x', subtasks })
      return task_id
    }

    test('goes step by step, each released by a person', async () => {
      const id = await plan(chain)
      expect(await tasks().execute(id, { execution_mode: 'manual' })).toEqual({ task_id: id, status: 'needs_review' })
      for (const name of ['a', 'b', 'c']) {
        // A view is read in several statements, so its parts may be of different moments while something changes.
        const task = await until(id, t => expect([t.status, named(t, name).state]).toEqual(['needs_review', 'awaiting_approval']))
        expect(named(task, name).why).toMatch(/released/)
        expect(begun).not.toContain(`${id}/${name}#1`)
        const subtask_id = named(task, name).subtask_id
        expect(await tasks().release(id, subtask_id)).toEqual({ subtask_id, state: 'ready' })
      }
      await untilStatus(id, 'completed')
      expect((await reviews().list({ taskId: id })).reviews).toEqual([])
    })

    test('is left by executing the task as auto: what waits goes on, checkpoints and approvals stay, once and for all', async () => {
      const id = await plan([...chain, { name: 'gated', capability: 'echo', requires_approval: true }])
      await tasks().execute(id, { execution_mode: 'manual', checkpoints: ['c'] })
      expect(await errorOf(tasks().execute(id))).toMatchObject({ code: 'state_conflict', message: expect.stringContaining('`auto`') })
      expect(await tasks().execute(id, { execution_mode: 'auto' })).toEqual({ task_id: id, status: 'running' })
      await until(id, task =>
        expect(statesOf(task)).toEqual({ a: 'completed', b: 'completed', c: 'awaiting_approval', gated: 'awaiting_approval' }),
      )
      // It is in automatic execution now: nothing more to let go of.
      expect(await errorOf(tasks().execute(id, { execution_mode: 'auto' }))).toMatchObject({ code: 'state_conflict' })
      await tasks().release(id, await idOf(id, 'c'))
      const [review] = (await reviews().list({ taskId: id })).reviews
      await reviews().decide(review?.id ?? '', { decision: 'approve', reason: 'ok' })
      await untilStatus(id, 'completed')
      const told: string[] = []
      for await (const event of tasks().events(id)) told.push(event.name)
      expect(told.filter(name => name === 'task.automatic')).toHaveLength(1)
    })

    test('is left by a paused task, too', async () => {
      const id = await plan(chain)
      await tasks().execute(id, { execution_mode: 'manual' })
      await tasks().release(id, await idOf(id, 'a'))
      await until(id, task => expect(statesOf(task)).toMatchObject({ a: 'completed', b: 'awaiting_approval' }))
      await tasks().pause(id)
      expect(await tasks().execute(id, { execution_mode: 'auto' })).toEqual({ task_id: id, status: 'running' })
      await untilStatus(id, 'completed')
    })

    test('waits at checkpoints only, and a checkpoint may be released in advance', async () => {
      const id = await plan(chain)
      await tasks().execute(id, { checkpoints: ['b', 'c'] })
      expect(await tasks().release(id, await idOf(id, 'c'))).toMatchObject({ state: 'pending' })
      await until(id, task => expect(statesOf(task)).toEqual({ a: 'completed', b: 'awaiting_approval', c: 'pending' }))
      await tasks().release(id, await idOf(id, 'b'))
      await untilStatus(id, 'completed')
    })

    test('a release of what nothing holds back changes nothing, of what needs approval is refused', async () => {
      const id = await start([
        { name: 'hold', capability: 'hold' },
        { name: 'gated', capability: 'echo', requires_approval: true },
      ])
      await reached(`${id}/hold#1`)
      expect(await tasks().release(id, await idOf(id, 'hold'))).toMatchObject({ state: 'running' })
      const refused = await errorOf(tasks().release(id, await idOf(id, 'gated')))
      expect(refused).toMatchObject({ code: 'state_conflict' })
      expect(refused.message).toContain('/reviews/')
      expect(await errorOf(tasks().release(id, 'nobody::x::1'))).toMatchObject({ code: 'subtask_not_found' })
      await tasks().cancel(id)
      expect(await errorOf(tasks().release(id, await idOf(id, 'gated')))).toMatchObject({
        code: 'state_conflict',
        message: expect.stringContaining(`task ${id} is cancelled`),
      })
    })
  })

  describe('an approval', () => {
    test('lets the subtask run, and what waits for it', async () => {
      const id = await start([
        { name: 'a', capability: 'echo' },
        { name: 'b', capability: 'echo', depends_on: ['a'], requires_approval: true },
        { name: 'c', capability: 'echo', depends_on: ['b'] },
      ])
      const review = await openReview(id)
      expect(review).toMatchObject({ kind: 'approval', status: 'open', task_id: id, subtask: 'b', subtask_state: 'awaiting_approval' })
      expect(begun).not.toContain(`${id}/b#1`)
      const decided = await reviews().decide(review.id, { decision: 'approve', reason: 'looked at it' })
      expect(decided).toMatchObject({ status: 'decided', decision: 'approve', reason: 'looked at it', decided_by: 'local' })
      await untilStatus(id, 'completed')
      expect((await reviews().list({ taskId: id, status: 'decided' })).reviews.map(r => r.id)).toEqual([review.id])
    })

    test('that is rejected fails the task and cancels the rest, or skips under `skip`', async () => {
      const failed = await start([
        { name: 'a', capability: 'echo', requires_approval: true },
        { name: 'b', capability: 'echo', depends_on: ['a'] },
      ])
      await reviews().decide((await openReview(failed)).id, { decision: 'reject', reason: 'no' })
      expect((await untilStatus(failed, 'failed')).finished_at).not.toBeNull()
      await until(failed, task => expect(statesOf(task)).toEqual({ a: 'failed', b: 'cancelled' }))
      const skipped = await start([
        { name: 'a', capability: 'echo', requires_approval: true, on_failure: 'skip' },
        { name: 'b', capability: 'joiner', depends_on: ['a'] },
      ])
      await reviews().decide((await openReview(skipped)).id, { decision: 'reject', reason: 'no' })
      expect(named(await untilStatus(skipped, 'completed'), 'b').outputs).toEqual([['a', 'skipped', null]])
      const continued = await start([
        { name: 'a', capability: 'echo', requires_approval: true, on_failure: 'continue' },
        { name: 'b', capability: 'joiner', depends_on: ['a'] },
      ])
      await reviews().decide((await openReview(continued)).id, { decision: 'reject', reason: 'no' })
      expect(named(await untilStatus(continued, 'completed'), 'b').outputs).toEqual([['a', 'failed', null]])
    })

    test('may be answered with the output itself', async () => {
      const id = await start([
        { name: 'a', capability: 'echo', requires_approval: true },
        { name: 'b', capability: 'joiner', depends_on: ['a'] },
      ])
      await reviews().decide((await openReview(id)).id, { decision: 'supply', reason: 'done by hand', output: { by: 'hand' } })
      const end = await untilStatus(id, 'completed')
      expect(named(end, 'b').outputs).toEqual([['a', 'completed', { by: 'hand' }]])
      expect(begun).not.toContain(`${id}/a#1`)
    })
  })

  describe('a review of an exhausted subtask', () => {
    const exhausted = (extra: Partial<SubtaskRequest> = {}) =>
      start([
        { name: 'f', capability: 'echo', input: 'fail', max_attempts: 2, ...extra },
        { name: 'after', capability: 'joiner', depends_on: ['f'] },
      ])

    test('says what went wrong', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      expect(review).toMatchObject({ kind: 'exhausted', subtask: 'f', subtask_state: 'needs_review' })
      expect(JSON.parse(review.detail)).toMatchObject({ code: 'agent_error', message: 'attempt 2 failed' })
    })

    test('retry grants exactly one more attempt; failing again opens exactly one new review', async () => {
      const id = await exhausted()
      const first = await openReview(id)
      await reviews().decide(first.id, { decision: 'retry', reason: 'once more' })
      await until(id, task => expect(named(task, 'f')).toMatchObject({ state: 'needs_review', attempt: 3 }))
      const second = await openReview(id)
      expect(second.id).not.toBe(first.id)
      expect(begun.filter(b => b.startsWith(`${id}/f#`))).toEqual([`${id}/f#1`, `${id}/f#2`, `${id}/f#3`])
      failing.delete(`${id}/f`)
      await reviews().decide(second.id, { decision: 'retry', reason: 'mended' })
      expect(named(await untilStatus(id, 'completed'), 'f')).toMatchObject({ attempt: 4, state: 'completed' })
    })

    test('supply completes it with the bytes that were sent, and unlocks what waits', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      const text = '{"b": 1.0, "2": 1e2,\n "1": "\\u00e9"}'
      await reviews().decide(review.id, { decision: 'supply', reason: 'by hand', output: new RawJson(text, JSON.parse(text)) })
      const end = await untilStatus(id, 'completed')
      expect(named(end, 'after').outputs).toEqual([['f', 'completed', { b: 1, '2': 100, '1': 'é' }]])
      const shown = await (await fetch(`${local.url}/tasks/${id}`)).text()
      expect(shown).toContain(`"outputs":${text}`)
    })

    test('supply takes null for an output, and not its absence', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      expect(await errorOf(reviews().decide(review.id, { decision: 'supply', reason: 'x' }))).toMatchObject({
        code: 'invalid_request',
        fields: [{ path: 'output' }],
      })
      await reviews().decide(review.id, { decision: 'supply', reason: 'nothing came out', output: null })
      expect(named(await untilStatus(id, 'completed'), 'after').outputs).toEqual([['f', 'completed', null]])
    })

    test('reassign sends it to the agent that is named', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      expect(await errorOf(reviews().decide(review.id, { decision: 'reassign', reason: 'x' }))).toMatchObject({
        fields: [{ path: 'agent' }],
      })
      await reviews().decide(review.id, { decision: 'reassign', reason: 'it knows better', agent: 'other' })
      const end = await untilStatus(id, 'completed')
      expect(named(end, 'f')).toMatchObject({ agent: 'other', attempt: 3, outputs: { by: 'other' } })
    })

    test('fail fails the task', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      await reviews().decide(review.id, { decision: 'fail', reason: 'give up' })
      await untilStatus(id, 'failed')
      const end = await until(id, task => expect(statesOf(task)).toEqual({ f: 'failed', after: 'cancelled' }))
      expect(named(end, 'f').failure).toMatchObject({ message: 'attempt 2 failed' })
    })

    test('takes no decision that does not fit it', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      expect(await errorOf(reviews().decide(review.id, { decision: 'approve', reason: 'x' }))).toMatchObject({
        code: 'invalid_request',
        fields: [{ path: 'decision', issue: expect.stringContaining('retry') }],
      })
      expect(await reviews().get(review.id)).toMatchObject({ status: 'open' })
    })

    test('takes one decision; the second learns who decided what', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      await reviews().decide(review.id, { decision: 'supply', reason: 'x', output: 1 })
      const late = await errorOf(reviews().decide(review.id, { decision: 'fail', reason: 'y' }))
      expect(late).toMatchObject({ code: 'state_conflict', extra: { decision: 'supply', decided_by: 'local' } })
      expect(late.message).toMatch(/was decided \(supply\) by local/)
      await untilStatus(id, 'completed')
    })

    test('of decisions that race exactly one wins, and its effect is the one that shows', async () => {
      for (let round = 0; round < 5; round++) {
        const id = await exhausted()
        const review = await openReview(id)
        const both = await Promise.allSettled([
          reviews().decide(review.id, { decision: 'supply', reason: 'a', output: 'a' }),
          reviews().decide(review.id, { decision: 'fail', reason: 'b' }),
          reviews().decide(review.id, { decision: 'supply', reason: 'c', output: 'c' }),
        ])
        expect(both.filter(r => r.status === 'fulfilled')).toHaveLength(1)
        const { decision } = await reviews().get(review.id)
        await untilStatus(id, decision === 'fail' ? 'failed' : 'completed')
      }
    })

    test('of a cancelled task takes no decision', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      await tasks().cancel(id)
      expect(await errorOf(reviews().decide(review.id, { decision: 'retry', reason: 'x' }))).toMatchObject({ code: 'state_conflict' })
      await until(id, task => expect(statesOf(task)).toEqual({ f: 'cancelled', after: 'cancelled' }))
      expect(await errorOf(reviews().decide(review.id, { decision: 'retry', reason: 'x' }))).toMatchObject({
        code: 'state_conflict',
        message: expect.stringContaining('closed'),
      })
      expect(await errorOf(reviews().assign(review.id, { assignee: 'ann' }))).toMatchObject({ code: 'state_conflict' })
    })

    test('is assigned to somebody, which those who wait for a change see', async () => {
      const id = await exhausted()
      const review = await openReview(id)
      const first = await fetch(`${local.url}/tasks/${id}`)
      const waiting = fetch(`${local.url}/tasks/${id}?wait=20`, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } })
      const due = '2030-01-02T03:04:05.000Z'
      expect(await reviews().assign(review.id, { assignee: 'ann', due_at: due })).toMatchObject({ assignee: 'ann', due_at: due })
      const seen = await waiting
      expect(seen.status).toBe(200)
      expect(named((await seen.json()) as TaskView, 'f').why).toContain('by ann')
      expect((await reviews().list({ assignee: 'ann', taskId: id })).reviews).toHaveLength(1)
      expect(await reviews().assign(review.id, { assignee: null })).toMatchObject({ assignee: null, due_at: due })
      expect(await errorOf(reviews().assign('999999', { assignee: 'ann' }))).toMatchObject({ code: 'review_not_found' })
    })
  })

  test('reviews are listed in pages, the open ones by default', async () => {
    const ids = await Promise.all([1, 2, 3].map(() => start([{ name: 'a', capability: 'echo', requires_approval: true }])))
    for (const id of ids) await openReview(id)
    const first = await reviews().list({ limit: 2 })
    expect(first.reviews).toHaveLength(2)
    const all = [...first.reviews]
    for (let cursor = first.next_cursor; cursor !== null; ) {
      const page = await reviews().list({ limit: 2, cursor })
      all.push(...page.reviews)
      cursor = page.next_cursor
    }
    expect(new Set(all.map(r => r.id)).size).toBe(all.length)
    expect(ids.filter(id => all.some(r => r.task_id === id))).toEqual(ids)
    expect(all.every(r => r.status === 'open')).toBe(true)
    await Promise.all(ids.map(id => tasks().cancel(id)))
  })

  describe('draining a worker', () => {
    test('lets it finish what it has; what comes later goes elsewhere', async () => {
      const first = await local.host([holding('drained')])
      const id = await start([
        { name: 'one', capability: 'drained' },
        { name: 'two', capability: 'drained', depends_on: ['one'] },
      ])
      await reached(`${id}/one#1`)
      expect(await local.client.workers.drain(first.id)).toEqual({ id: first.id, state: 'draining' })
      expect(await local.client.workers.drain(first.id)).toMatchObject({ state: 'draining' })
      const second = await local.host([holding('drained')])
      held.get(`${id}/one`)?.()
      await first.ended
      await vi.waitFor(async () => expect(await local.client.workers.get(first.id)).toMatchObject({ state: 'stopped' }), {
        timeout: 25_000,
      })
      await reached(`${id}/two#1`)
      held.get(`${id}/two`)?.()
      await untilStatus(id, 'completed')
      expect(await local.client.workers.drain(first.id)).toEqual({ id: first.id, state: 'stopped' }) // once more: it is so already
      expect(await errorOf(local.client.workers.drain('nobody'))).toMatchObject({ code: 'worker_not_found' })
      await local.client.workers.drain(second.id)
      await second.ended
      // Nobody is left: new work of this kind is blocked at once, and says so.
      const task_id = `c${++count}`
      await tasks().submit({ task_id, title: 'x', subtasks: [{ name: 'a', capability: 'drained' }] })
      await vi.waitFor(async () => expect(await local.client.workers.get(second.id)).toMatchObject({ state: 'stopped' }), {
        timeout: 25_000,
      })
      expect(await errorOf(tasks().execute(task_id))).toMatchObject({ code: 'agent_unavailable' })
      const third = await local.host([holding('drained')])
      await reached(`${task_id}/a#1`)
      held.get(`${task_id}/a`)?.()
      await untilStatus(task_id, 'completed')
      await third.drain()
    })
  })

  test('a failure that fails the task does so beside one that opens as much as both close', async () => {
    const id = await start([
      { name: 'fails', capability: 'hold', on_failure: 'fail' },
      { name: 'skips', capability: 'hold', on_failure: 'skip' },
      { name: 'one', capability: 'echo', depends_on: ['skips'] },
      { name: 'two', capability: 'echo', depends_on: ['skips'] },
    ])
    await Promise.all([reached(`${id}/fails#1`), reached(`${id}/skips#1`)])
    const { rows } = await local.database.query<{ id: string; attempt: number; claim_id: string }>(
      {
        text: `select s.id::text as id, s.attempt, s.claim_id from tasks k join subtasks d on d.task_pk = k.id join subtask_states s on s.id = d.id where k.task_id = $1 and s.state = 'running'`,
      },
      [id],
    )
    const failure = JSON.stringify({ code: 'agent_error', message: 'both at once', retryable: false })
    const reports = rows.map(row => ({ ...row, outcome: 'failed' as const, failure, retryable: false, charged: true, saved: null }))
    await failAttempts(local.database, reports, [], { initialMs: 10, maxMs: 10 })
    await untilStatus(id, 'failed')
    await until(id, task => expect(statesOf(task)).toEqual({ fails: 'failed', skips: 'skipped', one: 'cancelled', two: 'cancelled' }))
  })

  test.each([
    ['fail', 'failed', 'failed'],
    ['reject', 'failed', 'failed'],
    ['supply', 'completed', 'completed'],
    ['reassign', 'completed', 'completed'],
  ] as const)('a review of what no live worker took in time: %s', async (decision, status, state) => {
    const task_id = `c${++count}`
    await tasks().submit({ task_id, title: 'x', subtasks: [{ name: 'a', capability: 'nobody-has-it', queue_wait_seconds: 0.1 }] })
    await errorOf(tasks().execute(task_id))
    const waiting = await untilStatus(task_id, 'needs_review')
    expect(named(waiting, 'a')).toMatchObject({ state: 'blocked', why: expect.stringMatching(/queue wait of .*`nobody-has-it`.*decision/) })
    const [review] = (await reviews().list({ taskId: task_id })).reviews
    await reviews().decide(review?.id ?? '', {
      decision,
      reason: 'nobody will',
      ...(decision === 'supply' && { output: 1 }),
      ...(decision === 'reassign' && { agent: 'echo' }),
    })
    expect(named(await untilStatus(task_id, status), 'a').state).toBe(state)
  })

  test('cancelling, pausing and deciding at random leaves no contradiction', async () => {
    // A small generator, so that a failure can be repeated by its number.
    let seed = 20_260_101
    const random = (n: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((seed / 2_147_483_648) * n)
    }
    const policies = ['review', 'fail', 'skip', 'continue'] as const
    const ids = await Promise.all(
      Array.from({ length: 12 }, () =>
        start(
          Array.from({ length: 6 }, (_, i) => ({
            name: `s${i}`,
            capability: 'echo',
            max_attempts: 1,
            requires_approval: random(4) === 0,
            on_failure: policies[random(4)] ?? 'review',
            input: random(3) === 0 ? 'fail' : 'go',
            depends_on: Array.from({ length: i }, (_, j) => `s${j}`).filter(() => random(3) === 0),
          })),
        ),
      ),
    )
    const decisions = ['approve', 'reject', 'retry', 'supply', 'fail'] as const
    for (let step = 0; step < 150; step++) {
      const id = ids[random(ids.length)] ?? ''
      const what = random(8)
      const act =
        what === 0
          ? tasks().pause(id)
          : what === 1
            ? tasks().resume(id)
            : what === 2 && random(6) === 0
              ? tasks().cancel(id)
              : decideOne(id, decisions[random(decisions.length)] ?? 'fail')
      await act.catch((error: BatonError) => expect(['state_conflict', 'invalid_request']).toContain(error.code))
    }
    for (const id of ids) {
      if (!hasEnded((await tasks().get(id)).status))
        await tasks()
          .execute(id)
          .catch(() => undefined)
      await until(id, task => expect(['completed', 'failed', 'cancelled', 'needs_review']).toContain(task.status))
    }

    async function decideOne(taskId: string, decision: (typeof decisions)[number]): Promise<unknown> {
      const [review] = (await reviews().list({ taskId })).reviews
      return review && reviews().decide(review.id, { decision, reason: 'at random', ...(decision === 'supply' && { output: 1 }) })
    }
  })
})
