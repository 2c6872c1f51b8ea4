import { randomUUID } from 'node:crypto'
import { type ClaimItem, maxBatchBytes, maxBatchItems, type ReportItem, subjects } from '@baton/shared'
import { MemoryBusHub, silentLogger } from '@baton/shared/node'
import { expect, test, vi } from 'vitest'
import { createLanes } from './lanes.js'
import { grant, type Script, startFakeCoordinator } from './testing/fake-coordinator.js'
import { Uplink } from './uplink.js'

async function lanesWith(script: Script) {
  const hub = new MemoryBusHub()
  const coordinator = await startFakeCoordinator(hub.connect(), script)
  const uplink = new Uplink({ bus: hub.connect(), subjects: subjects('test'), log: silentLogger() })
  return { coordinator, lanes: createLanes(uplink, 'w1', new AbortController().signal) }
}
const claim = (n: number): ClaimItem => ({ subtask: String(n), attempt: 1, claim_id: randomUUID(), agent: 'echo' })
const report = (n: number, output = 'null'): ReportItem => ({
  subtask: String(n),
  attempt: 1,
  claim_id: randomUUID(),
  outcome: { kind: 'completed', output },
})

test('claims of one turn travel together, and each gets its own answer', async () => {
  const { lanes, coordinator } = await lanesWith({
    claim: ({ items }) => ({ body: { results: items.map(({ subtask }) => ({ status: 'granted', grant: grant({ name: subtask }) })) } }),
  })
  const replies = await Promise.all(Array.from({ length: 700 }, (_, i) => lanes.claim(claim(i))))
  expect(replies.map(reply => reply.status === 'granted' && reply.grant.name)).toEqual(Array.from({ length: 700 }, (_, i) => String(i)))
  expect(coordinator.of('claim').map(({ items }) => items.length)).toEqual([maxBatchItems, 200])
})

test('`again` is claimed again under the same claim id', async () => {
  const { lanes, coordinator } = await lanesWith({
    claim: ({ items }, n) => ({
      body: { results: items.map(() => (n < 3 ? { status: 'again' } : { status: 'granted', grant: grant() })) },
    }),
  })
  const item = claim(1)
  expect((await lanes.claim(item)).status).toBe('granted')
  expect(coordinator.of('claim').flatMap(({ items }) => items)).toEqual([item, item, item])
})

test('reports are split by what a message carries', async () => {
  const { lanes, coordinator } = await lanesWith({})
  const output = JSON.stringify('x'.repeat(100_000))
  await Promise.all(Array.from({ length: 20 }, (_, i) => lanes.report(report(i, output))))
  expect(coordinator.of('report').reduce((sum, { items }) => sum + items.length, 0)).toBe(20)
  for (const request of coordinator.of('report')) expect(JSON.stringify(request).length).toBeLessThan(maxBatchBytes + 10_000)
})

test('a few reports that go first do not wait for those that are under way; more than a few only go before the others', async () => {
  let answer = () => {}
  const held = new Promise<void>(resolve => {
    answer = resolve
  })
  const { lanes, coordinator } = await lanesWith({
    report: async ({ items }, n) => {
      if (n === 1) await held
      return { body: { results: items.map(() => ({ status: 'accepted' })) } }
    },
  })
  const slow = lanes.report(report(0))
  await vi.waitUntil(() => coordinator.of('report').length === 1)
  const behind = lanes.report(report(1))
  await lanes.report(report(2), { first: true })
  expect(coordinator.of('report').map(({ first, items }) => [first, items.length])).toEqual([
    [undefined, 1],
    [true, 1],
  ])
  const many = Array.from({ length: 150 }, (_, i) => lanes.report(report(10 + i), { first: true }))
  await vi.waitUntil(() => coordinator.of('report').length === 3)
  answer()
  await Promise.all([slow, behind, ...many])
  expect(coordinator.of('report').map(({ first, items }) => [first, items.length])).toEqual([
    [undefined, 1],
    [true, 1],
    [true, 100],
    [undefined, 51],
  ])
})

test('idle means that everything was answered', async () => {
  const { lanes, coordinator } = await lanesWith({})
  const reported = lanes.report(report(1))
  await lanes.whenIdle()
  expect(coordinator.of('report')).toHaveLength(1)
  await reported
})

test('however many coordinators are named, all are answered, by lanes whose number is bounded', async () => {
  const { lanes, coordinator } = await lanesWith({})
  // None of them is there: whoever is asked instead answers.
  const replies = await Promise.all(Array.from({ length: 60 }, (_, i) => lanes.claim(claim(i), { to: `gone-${i}` })))
  expect(replies.every(({ status }) => status === 'granted')).toBe(true)
  expect(coordinator.of('claim').flatMap(({ items }) => items)).toHaveLength(60)
  expect(coordinator.of('claim').length).toBeLessThan(20)
  await lanes.whenIdle()
})
