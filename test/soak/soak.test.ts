/** What the soak makes and measures; the soak itself is `npm run test:soak`. */
import { orchestrateRequestSchema } from '@baton/shared'
import { expect, test } from 'vitest'
import { seeded } from '../faults/kit/index.js'
import { faultText, schedule } from './chaos.js'
import { leastSquares } from './memory.js'
import { makeTask, shapes } from './shapes.js'
import { recoveryOf, throughputOf } from './throughput.js'

test('a seed gives one schedule, which begins the same however long it is', () => {
  const texts = (seed: number, count: number) => schedule(seed, count).map(faultText)
  expect(texts(7, 60)).toEqual(texts(7, 60))
  expect(texts(7, 60).slice(0, 10)).toEqual(texts(7, 10))
  expect(texts(8, 60)).not.toEqual(texts(7, 60))
})

test('every kind of fault comes, and the last coordinator and the last worker are never killed', () => {
  const faults = schedule(1, 500)
  expect(new Set(faults.map(({ kind }) => kind)).size).toBe(8)
  const killed = faults.flatMap(fault => (fault.kind === 'kill' || fault.kind === 'restart' ? [fault.member] : []))
  expect([...new Set(killed)].sort()).toEqual(['coordinator0', 'worker0', 'worker1', 'worker2'])
})

test('the tasks of the load are acceptable, and all shapes come', () => {
  const choices = seeded(3)
  const tasks = Array.from({ length: 300 }, (_, n) => makeTask(`t${n}`, choices))
  for (const { request } of tasks) orchestrateRequestSchema.parse(request)
  expect(new Set(tasks.map(({ shape }) => shape))).toEqual(new Set(Object.keys(shapes)))
})

test('a slope is that of the line through the points', () => {
  expect(leastSquares([0, 1, 2, 3].map(x => [x, 5 + 2 * x] as const))).toBeCloseTo(2)
  // One step up early on, level otherwise: no growth that goes on.
  expect(leastSquares([0, 1, 2, 3, 4, 5].map(x => [x, x === 2 ? 9 : 5] as const))).toBeLessThan(0)
})

test('the longest gap, the throughput and the recovery are those of the bins', () => {
  const bins = [...Array<number>(8).fill(5), ...Array<number>(12).fill(0), ...Array<number>(60).fill(5)]
  expect(throughputOf(bins)).toEqual({ per10s: [(8 * 5 + 20 * 5) / 10, 20], completed: 340, longestGapMs: 3_000, gapAt: 2_000 })
  const happened = { fault: { kind: 'flush' as const }, from: 1_002_000, until: 1_004_000, pid: undefined }
  expect(recoveryOf(happened, { text: 'x', bins, start: 1_000_000, rate: 20 })).toEqual({ text: 'x', atMs: 2_000, recoveredMs: 500 })
})
