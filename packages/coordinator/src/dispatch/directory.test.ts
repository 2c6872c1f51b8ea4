import { expect, test } from 'vitest'
import type { Queryable } from '../store/database.js'
import type { Routes } from '../store/routes.js'
import { Directory } from './directory.js'

const route = { id: 1, pool: 'shared', capability: 'build', requires: [], agent: null }

/** One agent with ten slots, of which seven are in use. */
async function directory() {
  const provider = { worker_id: 'w', pool: 'shared', agent: 'a', capabilities: ['build'], concurrency: 10, active: 7, lagging: false }
  const db = { query: async () => ({ rows: [provider], rowCount: 1 }) } as unknown as Queryable // it reads the fleet, and nothing else
  const routes = { known: new Map([[1, route]]), read: async () => undefined } as unknown as Routes // as far as it is asked
  const made = new Directory({ db, routes })
  await made.refresh()
  return made
}
const room = (directory: Directory) => directory.fastRoom()[0]?.room ?? 0

test('a queue takes two rounds until it is measured how long the work takes; then what is free, and what a second starts', async () => {
  const fleet = await directory()
  expect(room(fleet)).toBe(20)
  fleet.setMeasures([{ agent: 'a', capability: 'build', attempts: 9, successRate: 1, latencyMs: 5_000 }])
  await fleet.refresh()
  expect(room(fleet)).toBe(5)
})

test('a slot that was granted is not free any more, until the fleet is read again', async () => {
  const fleet = await directory()
  fleet.setMeasures([{ agent: 'a', capability: 'build', attempts: 9, successRate: 1, latencyMs: 5_000 }])
  await fleet.refresh()
  fleet.queued('shared.c.build')
  expect(room(fleet)).toBe(4)
  fleet.claimed(1)
  expect(room(fleet)).toBe(4)
  for (let n = 0; n < 9; n++) fleet.claimed(1)
  expect(room(fleet)).toBe(2) // a second's worth stays, however little is free
  await fleet.refresh()
  expect(room(fleet)).toBe(5)
})

test('a queue is idle while nothing waits in it', async () => {
  const fleet = await directory()
  expect([fleet.idle(1), fleet.idle(2)]).toEqual([true, false])
  fleet.queued('shared.c.build')
  expect(fleet.idle(1)).toBe(false)
  fleet.claimed(1)
  expect(fleet.idle(1)).toBe(true)
})
