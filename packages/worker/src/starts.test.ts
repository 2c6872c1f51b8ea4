import { randomUUID } from 'node:crypto'
import type { Reply, StartReply } from '@baton/shared'
import { type JobConsumption, type NextJob, Slots, Turn } from '@baton/shared/node'
import { expect, test } from 'vitest'
import { defineAgent } from './agent.js'
import { Starts } from './starts.js'

/** An agent of so many slots at the queue `q`; what is started there holds its slot for good. */
function stage(concurrency: number, isHeard = () => true) {
  const agent = defineAgent({ name: 'a', concurrency, run: () => null })
  const slots = new Slots(concurrency)
  const begun: string[] = []
  const returned: string[] = []
  const grants: unknown[] = []
  let last: NextJob | undefined
  const executor = {
    isDraining: false,
    withAgents: 0,
    started: (_: unknown, { subtask, grant }: { subtask: string; grant?: unknown }): NextJob => {
      grants.push(grant)
      return {
        ...{ id: subtask, delivery: { v: 1, s: subtask, a: 1 } },
        run: async () => undefined,
        giveBack: async () => void returned.push(subtask),
      }
    },
  }
  const consumption: JobConsumption = {
    begin: granted => {
      if (!slots.tryHold()) return false
      last = granted(new Turn())
      begun.push(last.id)
      return true
    },
    stop: async () => undefined,
  }
  const starts = new Starts(executor, isHeard)
  starts.add('q', { agent, slots, consumption })
  return { starts, begun, executor, slots, returned, grants, last: () => last }
}

const item = (subtask: string, more: { agent?: string; queue?: string } = {}) => ({
  ...{ subtask, attempt: 1, job: `${subtask}-1-1`, agent: 'a', queue: 'q', claim_id: randomUUID() },
  ...more,
})
const request = (items: unknown[], id = randomUUID()) => JSON.stringify({ v: 1, id, coordinator: 'c1', items })
const bodyOf = (reply: string) => (JSON.parse(reply) as Extract<Reply<StartReply>, { status: 'ok' }>).body

test('starts what there are slots for, and says what is left to spare', async () => {
  const { starts, begun } = stage(20)
  expect(starts.standing().spare).toEqual({ a: 18 })
  expect(bodyOf(await starts.answer(request([item('1'), item('2')])))).toMatchObject({ started: [true, true], spare: { a: 16 } })
  expect(begun).toEqual(['1', '2'])
})

test('all slots may be used, and no more than these', async () => {
  const { starts, begun } = stage(3)
  const { started, spare } = bodyOf(await starts.answer(request(['1', '2', '3', '4'].map(id => item(id)))))
  expect([started, spare]).toEqual([[true, true, true, false], {}])
  expect(begun).toEqual(['1', '2', '3'])
})

test('an agent with one slot has none to spare', () => {
  expect(stage(1).starts.standing().spare).toEqual({})
  expect(stage(2).starts.standing().spare).toEqual({ a: 1 })
})

test('a request that is repeated is answered as before, and starts nothing', async () => {
  const { starts, begun } = stage(20)
  const same = request([item('1')])
  const answer = await starts.answer(same)
  expect(await starts.answer(same)).toBe(answer)
  expect(begun).toEqual(['1'])
})

test('what is not for it is refused: another agent, another queue', async () => {
  const { starts, begun } = stage(20)
  const items = [item('1', { agent: 'b' }), item('2', { queue: 'r' }), item('3')]
  expect(bodyOf(await starts.answer(request(items))).started).toEqual([false, false, true])
  expect(begun).toEqual(['3'])
})

test('an agent of which a queue took no job has nothing to spare for a while', async () => {
  const { starts, begun, returned, last } = stage(20)
  await starts.answer(request([item('1')]))
  await last()?.giveBack()
  expect(returned).toEqual(['1'])
  expect(bodyOf(await starts.answer(request([item('2')])))).toMatchObject({ started: [false], spare: {} })
  expect(begun).toEqual(['1'])
})

test('a worker that drains starts nothing, and has nothing to spare', async () => {
  const { starts, begun, executor } = stage(20)
  executor.isDraining = true
  expect(bodyOf(await starts.answer(request([item('1')])))).toMatchObject({ started: [false], spare: {} })
  expect(begun).toEqual([])
})

test.each([
  ['no JSON', '{'],
  ['no items', JSON.stringify({ v: 1, id: randomUUID(), coordinator: 'c1' })],
  ['an item that is none', request(['1'])],
])('what is no request is left unanswered: %s', async (_, payload) => {
  const { starts, begun } = stage(20)
  await expect(starts.answer(payload)).rejects.toThrow()
  expect(begun).toEqual([])
})

test('says how many slots are in use, and how many of these wait for something else than their agents', async () => {
  const { starts, executor } = stage(20)
  expect(bodyOf(await starts.answer(request(['1', '2', '3'].map(id => item(id))))).busy).toEqual({ slots: 3, waiting: 3 })
  executor.withAgents = 2
  expect(starts.standing().busy).toEqual({ slots: 3, waiting: 1 })
})

test('a worker that was not heard for a while leaves out the grants that it is sent: they may have run out', async () => {
  let heard = true
  const { starts, grants } = stage(20, () => heard)
  const grant = {
    task_id: 't',
    subtask_id: 's',
    name: 'a',
    title: null,
    task_title: 't',
    capability: 'x',
    attempt: 1,
    attempt_limit: 3,
    sla_ms: 1,
    deadline_in_ms: null,
    input: 'null',
    context: 'null',
    dependencies: [],
    progress: null,
    lease_ms: null,
  }
  await starts.answer(request([{ ...item('1'), grant }]))
  heard = false
  await starts.answer(request([{ ...item('2'), grant }]))
  expect(grants).toEqual([expect.anything(), undefined])
})
