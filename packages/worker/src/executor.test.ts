import { failure, type Outcome, type ReportItem } from '@baton/shared'
import { createLogger, Turn } from '@baton/shared/node'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Agent, type AgentContext, defineAgent } from './agent.js'
import { lostClaim } from './executor.js'
import { type Answer, grant, type Script, startFakeCoordinator } from './testing/fake-coordinator.js'
import { delivery, type ExecutorStage, startExecutor } from './testing/start-executor.js'

let stage: ExecutorStage
afterEach(() => stage.stop())

async function on(script: Script = {}, options: Parameters<typeof startExecutor>[1] = {}): Promise<ExecutorStage> {
  stage = await startExecutor(script, options)
  return stage
}
const echo = defineAgent({ name: 'echo', run: input => input })
const outcomes = (): Outcome[] =>
  stage.coordinator.of('report').flatMap(({ items }) => items.map(item => (item as { outcome: Outcome }).outcome))
const answered = (reply: object): Answer => ({ body: { results: [reply] } })
const busy: Answer = { busy: failure('unavailable', 'not now') }
/** Waits until it runs, and is told to stop. */
function waiting(onStart: (context: AgentContext) => void = () => undefined): Agent {
  return defineAgent({
    name: 'echo',
    run: (_, context) =>
      new Promise((_, reject) => {
        context.signal.addEventListener('abort', () => reject(context.signal.reason), { once: true })
        onStart(context)
      }),
  })
}

describe('a claim', () => {
  test('is repeated until it is answered, under one claim id', async () => {
    const { executor, coordinator } = await on({ claim: (_, n) => (n < 3 ? busy : answered({ status: 'granted', grant: grant() })) })
    await executor.deliver(echo, delivery)
    const claims = coordinator.of('claim').flatMap(({ items }) => items)
    expect(claims).toHaveLength(3)
    expect(claims[0]).toMatchObject({ subtask: '7', attempt: 1, agent: 'echo' })
    expect(new Set(claims.map(item => item.claim_id)).size).toBe(1)
    expect(outcomes()).toEqual([{ kind: 'completed', output: '{"x":1}' }])
  })

  test.each(['gone', 'held', 'not_eligible'])('that is answered `%s` runs and reports nothing', async status => {
    const { executor, coordinator } = await on({ claim: () => answered({ status }) })
    const run = vi.fn()
    await executor.deliver(defineAgent({ name: 'echo', run }), delivery)
    expect(run).not.toHaveBeenCalled()
    expect(coordinator.of('report')).toEqual([])
    expect(executor.active.size).toBe(0)
  })

  test('of a job that was put before others goes before others, and so does its report', async () => {
    let letGo: () => void = () => undefined
    const { executor, coordinator } = await on({
      claim: async ({ items }, n) => {
        if (n === 1)
          await new Promise<void>(resolve => {
            letGo = resolve
          })
        return { body: { results: items.map(() => ({ status: 'granted', grant: grant() })) } }
      },
    })
    const delivered = [executor.deliver(echo, { ...delivery, s: '1' })]
    await vi.waitFor(() => expect(coordinator.of('claim')).toHaveLength(1))
    for (const s of ['2', '3', '4']) delivered.push(executor.deliver(echo, { ...delivery, s, ...(s === '4' && { f: true }) }))
    letGo()
    await Promise.all(delivered)
    expect(coordinator.of('claim').map(({ items }) => items.map(({ subtask }) => subtask))).toEqual([['1'], ['4', '2', '3']])
    const reported = coordinator.of('report').flatMap(({ items }) => items.map(item => (item as { subtask: string }).subtask))
    expect(reported.indexOf('4')).toBeLessThan(reported.indexOf('2'))
  })

  test('is not made for a job that is no delivery, nor while draining', async () => {
    const { executor, coordinator } = await on()
    for (const data of [null, {}, { v: 1, s: 'x', a: 1 }, 'text']) await executor.deliver(echo, data)
    executor.drain()
    await executor.deliver(echo, delivery)
    expect(coordinator.requests).toEqual([])
  })

  test('that is granted while the drain begins is given back', async () => {
    const { executor } = await on({
      claim: () => {
        executor.drain()
        return answered({ status: 'granted', grant: grant() })
      },
    })
    await executor.deliver(waiting(), delivery)
    expect(outcomes()).toMatchObject([{ kind: 'released', failure: { code: 'worker_draining' } }])
  })
})

describe('a report', () => {
  test('is repeated until it is answered, and only then the delivery is finished', async () => {
    let free: () => void = () => undefined
    const { executor, coordinator } = await on({
      report: async (_, n) => {
        if (n < 3) return busy
        await new Promise<void>(resolve => {
          free = resolve
        })
        return answered({ status: 'accepted' })
      },
    })
    const finished = vi.fn()
    const delivered = executor.deliver(echo, delivery).then(finished)
    await vi.waitFor(() => expect(coordinator.of('report')).toHaveLength(3))
    expect(finished).not.toHaveBeenCalled()
    expect(executor.active.size).toBe(1) // the heartbeat keeps the lease meanwhile
    free()
    await delivered
    expect(executor.active.size).toBe(0)
  })

  test('that is rejected becomes the report of a failure', async () => {
    const refusal = failure('spawn_invalid', 'a cycle')
    const { executor } = await on({
      report: (_, n) => answered(n === 1 ? { status: 'rejected', failure: refusal } : { status: 'accepted' }),
    })
    await executor.deliver(echo, delivery)
    expect(outcomes()).toEqual([
      { kind: 'completed', output: '{"x":1}' },
      { kind: 'failed', failure: refusal },
    ])
  })

  describe('that brings what follows', () => {
    const next = { subtask: '8', attempt: 2, job: '8-2-1' }
    const spare = { hasSpare: () => true }
    const asked = () => stage.coordinator.of('report').flatMap(({ items }) => items.map(item => (item as ReportItem).next))
    /** Reports are answered with one that follows, for so many times. */
    const handing =
      (times: number, more: object = { grant: grant({ subtask_id: 'echo::t1::2' }) }) =>
      (_: unknown, n: number) =>
        answered({ status: 'accepted', ...(n <= times && { next: { ...next, ...more } }) })

    test('names a claim for it; it runs under that claim, without asking for it', async () => {
      const { executor, coordinator } = await on({ report: handing(1) })
      const following = await executor.deliver(echo, delivery, spare)
      expect(following).toMatchObject({ id: '8-2-1', delivery: { v: 1, s: '8', a: 2 } })
      const claimId = asked()[0]?.claim_id
      expect([...executor.claiming]).toEqual([[claimId, '8']]) // the heartbeat keeps its lease
      expect(await following?.run()).toBeUndefined()
      expect(coordinator.of('claim')).toHaveLength(1)
      expect(coordinator.of('report')[1]?.items).toMatchObject([{ subtask: '8', attempt: 2, claim_id: claimId }])
      expect([executor.claiming.size, executor.active.size]).toEqual([0, 0])
    })

    test('asks the coordinator that knows the task, for all of it', async () => {
      const { executor, coordinator } = await on({ claim: () => busy, report: () => busy })
      const knowing = await startFakeCoordinator(stage.bus, { report: handing(1, {}) }, { id: 'knowing', alone: true })
      const following = await executor.deliver(echo, { ...delivery, c: 'knowing' }, spare)
      expect(following?.delivery).toEqual({ v: 1, s: '8', a: 2, c: 'knowing' })
      await following?.run()
      expect(knowing.requests.map(({ type }) => type)).toEqual(['claim', 'report', 'claim', 'report'])
      expect(coordinator.requests).toEqual([])
    })

    test('without its brief claims it', async () => {
      const { executor, coordinator } = await on({ report: handing(1, {}) })
      await (await executor.deliver(echo, delivery, spare))?.run()
      expect(coordinator.of('claim')[1]?.items).toMatchObject([{ subtask: '8', attempt: 2, claim_id: asked()[0]?.claim_id }])
      expect(outcomes()).toHaveLength(2)
    })

    test('whose queue gives out nothing is given back', async () => {
      const { executor, coordinator } = await on({ report: handing(1) })
      await (await executor.deliver(echo, delivery, spare))?.giveBack()
      expect(outcomes()).toMatchObject([{ kind: 'completed' }])
      expect(coordinator.of('return')).toMatchObject([{ items: [{ subtask: '8', claim_id: asked()[0]?.claim_id }] }])
      expect(executor.claiming.size).toBe(0)
    })

    test('while a drain begins is given back', async () => {
      const { executor } = await on({
        report: (request, n) => {
          executor.drain()
          return handing(1)(request, n)
        },
      })
      expect(await (await executor.deliver(echo, delivery, spare))?.run()).toBeUndefined()
      expect(outcomes()).toMatchObject([{ kind: 'completed' }, { kind: 'released', failure: { code: 'worker_draining' } }])
    })

    test('is not asked for while draining, nor after a failure', async () => {
      const { executor } = await on()
      await executor.deliver(defineAgent({ name: 'echo', run: () => Promise.reject(new Error('no')) }), delivery, spare)
      await executor.deliver(
        defineAgent({
          name: 'echo',
          run: () => {
            executor.drain()
            return 1
          },
        }),
        delivery,
        spare,
      )
      expect(asked()).toEqual([undefined, undefined])
    })

    test.each([
      ['while its slot has its turn and no other one is free', false, 20],
      ['as many times as there are while others are', true, 50],
    ])('is asked for: %s', async (_, hasSpare, runs) => {
      const { executor } = await on({
        report: ({ items }, n) => {
          const wished = (items[0] as ReportItem).next !== undefined
          return wished ? handing(49)(items, n) : answered({ status: 'accepted' })
        },
      })
      const turn = new Turn()
      turn.next()
      let following = await executor.deliver(echo, delivery, { hasSpare: () => hasSpare, turn })
      while (following) {
        turn.next()
        following = await following.run()
      }
      expect(outcomes()).toHaveLength(runs)
    })
  })

  test('that came too late is left alone', async () => {
    const { executor, coordinator } = await on({ report: () => answered({ status: 'stale' }) })
    await executor.deliver(echo, delivery)
    expect(coordinator.of('report')).toHaveLength(1)
  })

  test('belongs to its claim', async () => {
    const { executor, coordinator } = await on()
    await executor.deliver(echo, delivery)
    const claimed = coordinator.of('claim')[0]?.items[0]
    expect(coordinator.of('report')[0]).toMatchObject({
      worker_id: 'w1',
      items: [{ subtask: '7', attempt: 1, claim_id: claimed?.claim_id }],
    })
  })
})

describe('an abort', () => {
  test('reaches the signal of the agent, and its reason is the failure', async () => {
    const { executor } = await on()
    const started = vi.fn<(context: AgentContext) => void>()
    const delivered = executor.deliver(waiting(started), delivery)
    await vi.waitFor(() => expect(started).toHaveBeenCalled())
    const [claimId] = [...executor.active.keys()]
    executor.abort('another', lostClaim())
    expect(started.mock.calls[0]?.[0].signal.aborted).toBe(false)
    executor.abort(claimId ?? '', lostClaim())
    await delivered
    expect(outcomes()).toMatchObject([{ kind: 'failed', failure: { code: 'attempt_aborted' } }])
    expect(started.mock.calls[0]?.[0].signal.reason).toMatchObject({ code: 'attempt_aborted' })
  })

  test('that the agent ignores frees its slot after the grace, and its late result changes nothing', async () => {
    const warnings: string[] = []
    const log = createLogger({
      level: 'warn',
      destination: { write: line => void warnings.push((JSON.parse(line) as { msg: string }).msg) },
    })
    const { executor, coordinator } = await on(
      { claim: () => answered({ status: 'granted', grant: grant({ sla_ms: 20 }) }) },
      { graceMs: 30, log },
    )
    let end: (value: string) => void = () => undefined
    const deaf = defineAgent({
      name: 'echo',
      run: () =>
        new Promise(resolve => {
          end = resolve
        }),
    })
    await executor.deliver(deaf, delivery)
    expect(outcomes()).toMatchObject([{ kind: 'failed', failure: { code: 'attempt_timed_out', retryable: true } }])
    expect(warnings).toEqual(['the agent ignores its abort signal; its slot is given to others'])
    end('late')
    await new Promise(resolve => setImmediate(resolve))
    expect(coordinator.of('report')).toHaveLength(1)
  })

  test('is followed by the slot at once when the agent listens', async () => {
    const { executor } = await on({ claim: () => answered({ status: 'granted', grant: grant({ sla_ms: 20 }) }) }, { graceMs: 3_600_000 })
    await executor.deliver(waiting(), delivery)
    expect(outcomes()).toMatchObject([
      { kind: 'failed', failure: { code: 'attempt_timed_out', message: 'the attempt exceeded its SLA of 20 ms' } },
    ])
  })

  test('by a release gives every attempt back, uncharged', async () => {
    const { executor } = await on()
    const started = vi.fn()
    const delivered = Promise.all([1, 2].map(() => executor.deliver(waiting(started), delivery)))
    await vi.waitFor(() => expect(started).toHaveBeenCalledTimes(2))
    executor.drain()
    executor.releaseAll()
    await delivered
    expect(outcomes().map(outcome => outcome.kind)).toEqual(['released', 'released'])
  })
})
