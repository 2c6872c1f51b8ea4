import type { SubtaskRequest } from '@baton/shared'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { databases } from './both-databases.js'
import { contradictions, type OpenLocal, startOpenLocal } from './open-local.js'
import { createScene, namedIn } from './scene.js'

// PGlite has one connection: only on PostgreSQL do statements race.
describe.each(databases)('on %s', (_, open) => {
  let local: OpenLocal
  const scene = createScene('v', () => local)
  const { start, until, untilStatus, untilStates, reached, letGo, idOf, named, openReview, errorOf, tasks, reviews, begun, aborts } = scene
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

  const cancel = async (id: string, name: string) => tasks().cancelSubtask(id, await idOf(id, name), { reason: 'not needed' })

  describe('cancelling a subtask', () => {
    const chain = (head: Partial<SubtaskRequest> = {}): SubtaskRequest[] => [
      { name: 'a', capability: 'hold', ...head },
      { name: 'b', capability: 'joiner', depends_on: ['a'] },
      { name: 'c', capability: 'joiner', depends_on: ['b'] },
      { name: 'apart', capability: 'hold' },
    ]

    test('that runs asks its worker, which acknowledges; what depends on it goes too, and the task cannot complete', async () => {
      const id = await start(chain())
      await Promise.all([reached(`${id}/a#1`), reached(`${id}/apart#1`)])
      expect(await cancel(id, 'a')).toEqual({ subtask_id: await idOf(id, 'a'), state: 'running' })
      const task = await untilStates(id, { a: 'cancelled', b: 'cancelled', c: 'cancelled', apart: 'running' })
      expect(task.status).toBe('running')
      expect(namedIn(task, 'a').cancel).toBe('acknowledged')
      expect(aborts).toContain(`${id}/a`)
      letGo(`${id}/apart`)
      const end = await untilStatus(id, 'failed')
      expect(namedIn(end, 'apart').state).toBe('completed')
      expect((await scene.events(id, 'subtask.cancel%')).map(e => [e.name, e.subtask])).toEqual([
        ['subtask.cancel_requested', 'a'],
        ['subtask.cancelled', 'b'],
        ['subtask.cancelled', 'c'],
        ['subtask.cancelled', 'a'],
      ])
      expect((await scene.events(id, 'subtask.cancel_requested'))[0]?.data).toEqual({ by: 'local', reason: 'not needed' })
    })

    test('is the same a second time, and a conflict once it has ended otherwise', async () => {
      const id = await start(chain())
      await reached(`${id}/a#1`)
      await cancel(id, 'c')
      expect(await cancel(id, 'c')).toMatchObject({ state: 'cancelled' })
      letGo(`${id}/a`)
      await until(id, task => expect(namedIn(task, 'b').state).toBe('completed'))
      const refused = await errorOf(cancel(id, 'a'))
      expect(refused).toMatchObject({ code: 'state_conflict', extra: { task_status: 'running', subtask_state: 'completed' } })
      expect(refused.message).toMatch(/a?is completed; it cannot be cancelled/)
      expect(await errorOf(tasks().cancelSubtask(id, 'nobody::x::1'))).toMatchObject({ code: 'subtask_not_found' })
      expect(await errorOf(tasks().cancelSubtask('nobody', 'nobody::x::1'))).toMatchObject({ code: 'subtask_not_found' })
      letGo(`${id}/apart`)
      await untilStatus(id, 'failed')
      const ended = await errorOf(cancel(id, 'a'))
      expect(ended.message).toContain(`POST /tasks/${id}/rerun`)
    })

    test('whose worker says nothing is forced after the grace, and its late result is refused', async () => {
      const id = await start([{ name: 'a', capability: 'hold' }])
      await reached(`${id}/a#1`)
      // Another claim than the worker's: whatever the worker says now is not about this attempt.
      await local.database.query(
        {
          text: `update subtask_states s set claim_id = gen_random_uuid(), worker_id = 'silent' from tasks k where k.id = s.task_pk and k.task_id = $1`,
        },
        [id],
      )
      expect(await cancel(id, 'a')).toMatchObject({ state: 'running' })
      const asked = await named(id, 'a')
      expect(asked).toMatchObject({ state: 'running', cancel: 'requested', why: expect.stringContaining('acknowledge') })
      expect(await errorOf(tasks().retrySubtask(id, asked.subtask_id))).toMatchObject({
        message: expect.stringContaining('being cancelled'),
      })
      await local.database.query(
        {
          text: `update subtask_states s set cancel_requested_at = s.cancel_requested_at - interval '11 seconds' from tasks k where k.id = s.task_pk and k.task_id = $1`,
        },
        [id],
      )
      expect(namedIn(await untilStatus(id, 'failed'), 'a')).toMatchObject({ state: 'cancelled', cancel: 'forced' })
      letGo(`${id}/a`, 'too late')
      expect((await scene.events(id, 'subtask.completed')).length).toBe(0)
    })

    test('that waits cancels it at once, and closes its review', async () => {
      const id = await start([
        { name: 'gated', capability: 'echo', requires_approval: true },
        { name: 'after', capability: 'echo', depends_on: ['gated'] },
      ])
      const review = await openReview(id, 'gated')
      expect(await cancel(id, 'gated')).toMatchObject({ state: 'cancelled' })
      await untilStatus(id, 'failed')
      expect(await reviews().get(review.id)).toMatchObject({ status: 'closed', reason: 'its subtask was cancelled' })
    })

    test.each([
      ['skip', 'skipped'],
      ['continue', 'failed'],
    ] as const)('under `%s` lets its dependents go on', async (on_failure, state) => {
      const id = await start(chain({ on_failure }))
      await reached(`${id}/a#1`)
      await cancel(id, 'a')
      letGo(`${id}/apart`)
      const end = await untilStatus(id, 'completed')
      expect(namedIn(end, 'b')).toMatchObject({ state: 'completed', outputs: [['a', state, null]] })
      const waiting = await start([
        { name: 'a', capability: 'echo', requires_approval: true, on_failure },
        { name: 'b', capability: 'joiner', depends_on: ['a'] },
      ])
      expect(await cancel(waiting, 'a')).toMatchObject({ state })
      expect(namedIn(await untilStatus(waiting, 'completed'), 'b').outputs).toEqual([['a', state, null]])
    })

    test('before the task has started is kept in mind', async () => {
      const plan = async (subtasks: SubtaskRequest[]) => {
        const task_id = scene.newId()
        await tasks().submit({ task_id, title: 'x', subtasks })
        return task_id
      }
      const skipped = await plan([
        { name: 'a', capability: 'echo', on_failure: 'skip' },
        { name: 'b', capability: 'joiner', depends_on: ['a'] },
        { name: 'c', capability: 'echo' },
      ])
      expect(await cancel(skipped, 'a')).toMatchObject({ state: 'skipped' })
      expect(await tasks().get(skipped)).toMatchObject({ status: 'planned' })
      await tasks().execute(skipped)
      expect(namedIn(await untilStatus(skipped, 'completed'), 'b').outputs).toEqual([['a', 'skipped', null]])
      const emptied = await plan([
        { name: 'a', capability: 'echo' },
        { name: 'b', capability: 'echo', depends_on: ['a'] },
      ])
      await cancel(emptied, 'a')
      expect(await tasks().execute(emptied)).toEqual({ task_id: emptied, status: 'failed' })
      expect((await tasks().get(emptied)).status_history.map(h => h.to)).toEqual(['planned', 'running', 'failed'])
    })

    test('in a paused task takes effect, and resuming finds nothing left', async () => {
      const id = await start([
        { name: 'a', capability: 'hold' },
        { name: 'b', capability: 'echo', depends_on: ['a'] },
      ])
      await reached(`${id}/a#1`)
      await tasks().pause(id)
      await cancel(id, 'a')
      await untilStates(id, { a: 'cancelled', b: 'cancelled' })
      expect(await tasks().get(id)).toMatchObject({ status: 'paused' })
      expect(await tasks().resume(id)).toEqual({ task_id: id, status: 'failed' })
    })

    test('is told to the worker by its next heartbeat, too', async () => {
      const id = await start([{ name: 'a', capability: 'hold' }])
      await reached(`${id}/a#1`)
      // As if the word had been lost: the row alone says so.
      await local.database.query(
        {
          text: `update subtask_states s set cancel_requested_at = clock_timestamp(), cancelled_how = 'requested' from tasks k where k.id = s.task_pk and k.task_id = $1`,
        },
        [id],
      )
      await until(id, task => expect(namedIn(task, 'a')).toMatchObject({ state: 'cancelled', cancel: 'acknowledged' }))
    })
  })

  describe('retrying a subtask', () => {
    test('that waits for its backoff starts it now', async () => {
      const id = await start([{ name: 'a', capability: 'echo', input: 'fail', backoff: { initial_seconds: 600, max_seconds: 600 } }])
      await until(id, task => expect(namedIn(task, 'a')).toMatchObject({ state: 'retrying', attempt: 1 }))
      scene.failing.delete(`${id}/a`)
      expect(['ready', 'queued', 'running', 'completed']).toContain((await tasks().retrySubtask(id, await idOf(id, 'a'))).state)
      expect(namedIn(await untilStatus(id, 'completed'), 'a')).toMatchObject({ attempt: 2 })
    })

    test('in review grants one more attempt and decides its review', async () => {
      const id = await start([{ name: 'a', capability: 'echo', input: 'fail', max_attempts: 1 }])
      const review = await openReview(id, 'a')
      scene.failing.delete(`${id}/a`)
      await tasks().retrySubtask(id, await idOf(id, 'a'), { reason: 'mended' })
      await untilStatus(id, 'completed')
      expect(await reviews().get(review.id)).toMatchObject({ status: 'decided', decision: 'retry', reason: 'mended' })
    })

    test('is refused with the remedy for each other state', async () => {
      const id = await start([
        { name: 'done', capability: 'echo' },
        { name: 'hold', capability: 'hold' },
        { name: 'pending', capability: 'echo', depends_on: ['hold'] },
        { name: 'gated', capability: 'echo', requires_approval: true },
      ])
      await reached(`${id}/hold#1`)
      await until(id, task => expect(namedIn(task, 'done').state).toBe('completed'))
      const refusal = async (name: string) => errorOf(tasks().retrySubtask(id, await idOf(id, name)))
      expect(await refusal('done')).toMatchObject({ code: 'state_conflict', message: expect.stringContaining(`POST /tasks/${id}/rerun`) })
      expect(await refusal('pending')).toMatchObject({
        code: 'state_conflict',
        message: expect.stringContaining('is pending; it has not started'),
      })
      const { id: review } = await openReview(id, 'gated')
      expect((await refusal('gated')).message).toContain(`POST /reviews/${review}/decide`)
      expect(await tasks().retrySubtask(id, await idOf(id, 'hold'))).toMatchObject({ state: 'running' })
      await tasks().cancel(id)
      await until(id, task => expect(namedIn(task, 'hold').state).toBe('cancelled'))
      expect(await refusal('hold')).toMatchObject({ code: 'state_conflict', extra: { task_status: 'cancelled' } })
    })
  })

  describe('reassigning a subtask', () => {
    test('that runs aborts the attempt, uncharged, and goes to the other agent', async () => {
      const id = await start([{ name: 'a', capability: 'hold', max_attempts: 1 }])
      await reached(`${id}/a#1`)
      expect(await tasks().reassignSubtask(id, await idOf(id, 'a'), { agent: 'other' })).toMatchObject({ state: 'ready' })
      const end = await untilStatus(id, 'completed')
      expect(namedIn(end, 'a')).toMatchObject({ agent: 'other', attempt: 2, outputs: { by: 'other' } })
      expect(aborts).toContain(`${id}/a`)
      const { rows } = await local.database.query<{ outcome: string; charged: boolean }>(
        {
          text: `select a.outcome, a.charged from tasks k join subtasks d on d.task_pk = k.id join attempts a on a.subtask_pk = d.id where k.task_id = $1 order by a.attempt`,
        },
        [id],
      )
      expect(rows).toEqual([
        { outcome: 'released', charged: false },
        { outcome: 'completed', charged: true },
      ])
    })

    test('that waits changes where it will go, and the review of a waiting one closes', async () => {
      const id = await start([
        { name: 'hold', capability: 'hold' },
        { name: 'later', capability: 'nobody-has-it', depends_on: ['hold'] },
      ])
      await reached(`${id}/hold#1`)
      expect(await tasks().reassignSubtask(id, await idOf(id, 'later'), { agent: 'other' })).toMatchObject({ state: 'pending' })
      letGo(`${id}/hold`)
      expect(namedIn(await untilStatus(id, 'completed'), 'later').agent).toBe('other')
      const blocked = await start([{ name: 'a', capability: 'nobody-has-it', queue_wait_seconds: 0.1 }])
      const review = await openReview(blocked, 'a')
      await tasks().reassignSubtask(blocked, await idOf(blocked, 'a'), { agent: 'other' })
      await untilStatus(blocked, 'completed')
      expect(await reviews().get(review.id)).toMatchObject({ status: 'closed' })
      const exhausted = await start([{ name: 'a', capability: 'echo', input: 'fail', max_attempts: 1 }])
      const { id: open } = await openReview(exhausted, 'a')
      await tasks().reassignSubtask(exhausted, await idOf(exhausted, 'a'), { agent: 'other' })
      await untilStatus(exhausted, 'completed')
      expect(await reviews().get(open)).toMatchObject({ status: 'decided', decision: 'reassign' })
    })

    test('of what is finished is refused, to whomever', async () => {
      const id = await start([{ name: 'a', agent: 'echo' }])
      await untilStatus(id, 'completed')
      for (const agent of ['echo', 'other']) {
        const refused = await errorOf(tasks().reassignSubtask(id, await idOf(id, 'a'), { agent }))
        expect(refused).toMatchObject({ code: 'state_conflict', extra: { task_status: 'completed', subtask_state: 'completed' } })
      }
    })
  })

  describe('time', () => {
    test('a queue wait that is over ends as on_failure says', async () => {
      const waiting = (on_failure: SubtaskRequest['on_failure']) =>
        start([
          { name: 'a', capability: 'nobody-has-it', queue_wait_seconds: 0.2, on_failure },
          { name: 'b', capability: 'joiner', depends_on: ['a'] },
        ])
      const [review, fail, skip, go] = await Promise.all((['review', 'fail', 'skip', 'continue'] as const).map(waiting))
      expect(await openReview(review as string, 'a')).toMatchObject({ kind: 'unroutable', subtask_state: 'blocked' })
      expect(namedIn(await untilStatus(fail as string, 'failed'), 'a').failure).toMatchObject({ code: 'queue_wait_exceeded' })
      expect(namedIn(await untilStatus(skip as string, 'completed'), 'b').outputs).toEqual([['a', 'skipped', null]])
      expect(namedIn(await untilStatus(go as string, 'completed'), 'b').outputs).toEqual([['a', 'failed', null]])
      for (const id of [review, fail, skip, go])
        expect((await scene.events(id as string, 'alert.queue_wait')).map(e => e.subtask)).toEqual(['a'])
      await tasks().cancel(review as string)
    })

    test('a lease that heartbeats cannot keep is refused by path, and nothing is stored', async () => {
      const task_id = scene.newId()
      const subtasks = [
        { name: 'ok', capability: 'echo', lease_seconds: 4 },
        { name: 'short', capability: 'echo', lease_seconds: 3.9 },
      ]
      expect(await errorOf(tasks().submit({ task_id, title: 'x', subtasks }))).toMatchObject({
        code: 'invalid_request',
        fields: [{ path: 'subtasks[1].lease_seconds', issue: expect.stringMatching(/at least 4, two heartbeats/) }],
      })
      expect(await errorOf(tasks().get(task_id))).toMatchObject({ code: 'task_not_found' })
      const spawning = await start([{ name: 's', capability: 'spawner', max_attempts: 1, input: { children: ['x'], lease_seconds: 0.5 } }])
      expect((await openReview(spawning, 's')).detail).toMatch(/spawned.x.lease_seconds must be at least 4/)
      await tasks().cancel(spawning)
    })

    test('a deadline that is over ends what runs and what waits, and is not retried', async () => {
      const [running, waiting, retrying] = (await Promise.all([
        start([{ name: 'a', capability: 'hold', deadline_seconds: 0.5, on_failure: 'fail' }]),
        start([{ name: 'a', capability: 'nobody-has-it', deadline_seconds: 0.5, on_failure: 'fail' }]),
        start([{ name: 'a', capability: 'echo', input: 'fail', deadline_seconds: 0.5, backoff: { initial_seconds: 60, max_seconds: 60 } }]),
      ])) as [string, string, string]
      await reached(`${running}/a#1`)
      expect(namedIn(await tasks().get(running), 'a')).toMatchObject({ deadline_at: expect.any(String), sla_until: expect.any(String) })
      for (const id of [running, waiting])
        expect(namedIn(await untilStatus(id, 'failed'), 'a').failure).toMatchObject({ code: 'deadline_exceeded', retryable: false })
      await vi.waitFor(() => expect(aborts).toContain(`${running}/a`), { timeout: 25_000 })
      expect(scene.timesBegun(`${running}/a`)).toBe(1)
      expect(await openReview(retrying, 'a')).toMatchObject({ kind: 'exhausted', detail: expect.stringContaining('deadline_exceeded') })
      expect((await named(retrying, 'a')).why).toMatch(/deadline has passed; waiting for a decision/)
      scene.failing.delete(`${retrying}/a`)
      await tasks().retrySubtask(retrying, await idOf(retrying, 'a'))
      await untilStatus(retrying, 'completed')
    })
  })

  describe('an approval', () => {
    test('is decided by the digest that was shown; after a rerun upstream, not any more', async () => {
      const id = await start([
        { name: 'a', capability: 'echo', input: { n: 1 } },
        { name: 'b', capability: 'echo', depends_on: ['a'], requires_approval: true },
      ])
      const shown = await openReview(id, 'b')
      expect(shown.digest).toMatch(/^[0-9a-f]{64}$/)
      expect((await openReview(id, 'b')).digest).toBe(shown.digest)
      const wrong = await errorOf(reviews().decide(shown.id, { decision: 'approve', reason: 'x', digest: '0'.repeat(64) }))
      expect(wrong).toMatchObject({ code: 'state_conflict', extra: { digest: shown.digest } })
      expect(await reviews().get(shown.id)).toMatchObject({ status: 'open' })
      await tasks().rerun(id, { from: ['a'], input: { n: 2 } })
      const again = await vi.waitFor(async () => {
        const review = await openReview(id, 'b')
        expect(review.id).not.toBe(shown.id)
        return review
      })
      expect(again.digest).not.toBe(shown.digest)
      expect(await errorOf(reviews().decide(again.id, { decision: 'approve', reason: 'x', digest: shown.digest ?? '' }))).toMatchObject({
        code: 'state_conflict',
      })
      await reviews().decide(again.id, { decision: 'approve', reason: 'this one', digest: again.digest ?? '' })
      await untilStatus(id, 'completed')
      expect(await reviews().get(again.id)).toMatchObject({ status: 'decided', digest: again.digest })
    })

    test('a review without a digest is not decided by one', async () => {
      const id = await start([{ name: 'a', capability: 'echo', input: 'fail', max_attempts: 1 }])
      const { id: review } = await openReview(id, 'a')
      expect(await errorOf(reviews().decide(review, { decision: 'fail', reason: 'x', digest: '0'.repeat(64) }))).toMatchObject({
        code: 'state_conflict',
      })
      await tasks().cancel(id)
    })
  })

  test('a review that falls due is alerted and goes to whom it escalates to, once, with time to act', async () => {
    const id = await start([{ name: 'a', capability: 'echo', requires_approval: true }])
    const { id: review, due_at: first } = await openReview(id, 'a')
    expect(Date.parse(first ?? '')).toBeGreaterThan(Date.now() + 3_600_000)
    const past = '2020-01-01T00:00:00.000Z'
    expect(await reviews().assign(review, { assignee: 'ann', due_at: past, escalate_to: 'bob' })).toMatchObject({
      assignee: 'ann',
      due_at: past,
      escalate_to: 'bob',
    })
    const escalated = await vi.waitFor(
      async () => {
        const present = await reviews().get(review)
        expect(present.escalated_at).not.toBeNull()
        return present
      },
      { timeout: 25_000, interval: 20 },
    )
    expect(escalated).toMatchObject({ status: 'open', assignee: 'bob', escalate_to: null })
    expect(Date.parse(escalated.due_at ?? '')).toBeGreaterThan(Date.now())
    expect((await scene.events(id, '%review%')).slice(-2)).toMatchObject([
      { name: 'alert.review_due', data: { assignee: 'ann' } },
      { name: 'review.escalated', data: { from: 'ann', to: 'bob' } },
    ])
    expect((await named(id, 'a')).why).toContain('by bob')
    // Nobody is left to ask: one alert more, and that is all.
    await reviews().assign(review, { assignee: 'bob', due_at: past })
    await vi.waitFor(async () => expect(await scene.events(id, 'alert.review_due')).toHaveLength(2), { timeout: 25_000, interval: 20 })
    expect(await reviews().get(review)).toMatchObject({ assignee: 'bob', due_at: past })
    await scene.approve(id, 'a')
    await untilStatus(id, 'completed')
    expect(await scene.events(id, 'alert.review_due')).toHaveLength(2)
  })

  test('why lists what waits and nothing else, in pages', async () => {
    const id = await start([
      { name: 'done', capability: 'echo' },
      { name: 'hold', capability: 'hold' },
      ...Array.from({ length: 5 }, (_, i) => ({ name: `w${i}`, capability: 'echo', depends_on: ['hold'] })),
      { name: 'gated', capability: 'echo', requires_approval: true },
    ])
    await reached(`${id}/hold#1`)
    await until(id, task => expect(namedIn(task, 'done').state).toBe('completed'))
    const all = await tasks().why(id)
    expect(all).toMatchObject({ task_id: id, status: 'running', next_cursor: null })
    expect(all.subtasks.map(s => [s.name, s.state])).toEqual([
      ...Array.from({ length: 5 }, (_, i) => [`w${i}`, 'pending']),
      ['gated', 'awaiting_approval'],
    ])
    expect(all.subtasks[0]?.why).toBe('waiting for `hold` to finish')
    const names: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await tasks().why(id, { limit: 2, ...(cursor && { cursor }) })
      names.push(...page.subtasks.map(s => s.name))
      if (page.next_cursor === null) break
      cursor = page.next_cursor
    }
    expect(names).toEqual(all.subtasks.map(s => s.name))
    letGo(`${id}/hold`)
    await untilStatus(id, 'needs_review')
    expect(await tasks().why(id)).toMatchObject({
      status: 'needs_review',
      why: expect.stringContaining('gated: waiting for approval'),
      subtasks: [{ name: 'gated' }],
    })
    expect(await errorOf(tasks().why('nobody'))).toMatchObject({ code: 'task_not_found' })
    await tasks().cancel(id)
    expect(begun).not.toContain(`${id}/gated#1`)
  })
})
