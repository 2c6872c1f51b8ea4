import { expect, test } from 'vitest'
import type { ClaimedRow } from '../store/dispatch.js'
import { Overtaking } from './overtaking.js'

let ids = 0

function rows(count: number, { task = 'flood', owner = 1, priority = 2 } = {}): ClaimedRow[] {
  return Array.from({ length: count }, () => ({
    id: String(++ids),
    attempt: 1,
    dispatch: 1,
    queue: 'shared.c.x',
    route_id: 1,
    task_pk: task,
    owner,
    priority,
  }))
}

/** Nobody takes a job: all that were rung wait. */
const rung = new WeakMap<Overtaking, number>()
function order(overtaking: Overtaking, jobs: readonly ClaimedRow[], taken = 0) {
  const depth = (rung.get(overtaking) ?? 0) - taken
  rung.set(overtaking, depth + jobs.length)
  return overtaking.order(jobs, () => depth)
}

const aheadOf = (overtaking: Overtaking, jobs: readonly ClaimedRow[], taken = 0) =>
  order(overtaking, jobs, taken)
    .filter(job => job.ahead)
    .map(job => job.task_pk)

test('a small task overtakes the jobs of one that fills the queue', () => {
  const overtaking = new Overtaking()
  expect(aheadOf(overtaking, rows(800))).toEqual([])
  expect(aheadOf(overtaking, [...rows(1), ...rows(3, { task: 'small' })])).toEqual(['small', 'small', 'small'])
})

test('what overtakes is rung last and backwards, so that it is taken first and in its order', () => {
  const overtaking = new Overtaking()
  order(overtaking, rows(100))
  const [first, second] = rows(2, { task: 'small' }) as [ClaimedRow, ClaimedRow]
  const [flood] = rows(1) as [ClaimedRow]
  expect(order(overtaking, [first, flood, second]).map(job => job.id)).toEqual([flood.id, second.id, first.id])
})

test('many tasks of the same size keep their order', () => {
  const overtaking = new Overtaking()
  for (let n = 0; n < 500; n++) expect(aheadOf(overtaking, rows(3, { task: `t${n}` }))).toEqual([])
})

test('an orchestrator with many small tasks is overtaken by another one', () => {
  const overtaking = new Overtaking()
  for (let n = 0; n < 300; n++) order(overtaking, rows(3, { task: `t${n}` }))
  expect(aheadOf(overtaking, rows(2, { task: 'other', owner: 2 }))).toEqual(['other', 'other'])
})

test('what is more urgent overtakes what is less, and never the other way round', () => {
  const overtaking = new Overtaking()
  order(overtaking, rows(100, { task: 'calm' }))
  expect(aheadOf(overtaking, rows(1, { task: 'calm', priority: 0 }))).toEqual(['calm'])
  expect(aheadOf(overtaking, rows(1, { task: 'small', priority: 2 }))).toEqual([])
})

test("what was more urgent and is taken is in nobody's way", () => {
  const overtaking = new Overtaking()
  order(overtaking, rows(500))
  order(overtaking, rows(2, { task: 'urgent', priority: 0 }))
  expect(aheadOf(overtaking, rows(1, { task: 'small' }))).toEqual([])
  // What overtook is taken first: the second of the two, not the first.
  expect(aheadOf(overtaking, rows(1, { task: 'small' }), 1)).toEqual([])
  expect(aheadOf(overtaking, rows(1, { task: 'small' }), 1)).toEqual(['small'])
})

test('what is more urgent and could not overtake waits for those before it', () => {
  const overtaking = new Overtaking()
  order(overtaking, [...rows(20), ...rows(1, { task: 'urgent', priority: 0 }), ...rows(100)])
  expect(aheadOf(overtaking, rows(1, { task: 'small' }), 20)).toEqual([])
  expect(aheadOf(overtaking, rows(1, { task: 'small' }), 1)).toEqual(['small'])
})

test('at most half of the newest jobs overtake', () => {
  const overtaking = new Overtaking()
  order(overtaking, rows(1_000))
  let ahead = 0
  for (let n = 0; n < 5_000; n++) ahead += aheadOf(overtaking, rows(1, { task: `small-${n}` })).length
  expect(ahead).toBeGreaterThan(100)
  expect(ahead).toBeLessThanOrEqual(5_000 / 2)
})

test('an empty queue has nobody to overtake', () => {
  expect(aheadOf(new Overtaking(), rows(20, { task: 'a' }).concat(rows(1, { task: 'b' })))).toEqual([])
})
