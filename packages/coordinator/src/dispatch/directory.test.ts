import { describe, expect, test } from 'vitest'
import type { Queryable } from '../store/database.js'
import type { Route, Routes } from '../store/routes.js'
import { Directory } from './directory.js'
import { Spares } from './spares.js'

const build: Route = { id: 1, pool: 'shared', capability: 'build', requires: [], agent: null }
/** Work for this agent alone: it goes to its own queue. */
const pinned = (id: number, capability: string): Route => ({ id, pool: 'shared', capability, requires: [], agent: 'a' })

/** One agent with ten slots, of which seven are in use. */
async function directory(routes_: readonly Route[] = [build], spares = new Spares(60_000)) {
  const capabilities = ['build', 'x', 'y']
  const provider = { worker_id: 'w', pool: 'shared', agent: 'a', capabilities, concurrency: 10, active: 7, lagging: false }
  const db = { query: async () => ({ rows: [provider], rowCount: 1 }) } as unknown as Queryable // it reads the fleet, and nothing else
  const routes = { known: new Map(routes_.map(route => [route.id, route])), read: async () => undefined } as unknown as Routes // as far as it is asked
  const made = new Directory({ db, routes, spares })
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

test('what is queued takes of the room, until it is claimed', async () => {
  const fleet = await directory()
  fleet.setMeasures([{ agent: 'a', capability: 'build', attempts: 9, successRate: 1, latencyMs: 5_000 }])
  await fleet.refresh()
  for (let n = 0; n < 4; n++) fleet.queued('shared.c.build')
  expect(room(fleet)).toBe(1)
  fleet.claimed(1)
  expect(room(fleet)).toBe(2)
})

describe('routes that share a queue', () => {
  const shares = (fleet: Directory) => fleet.backlogRoom().map(({ route_id, room }) => [route_id, room])

  test('share its room, and each is the first by turns', async () => {
    const fleet = await directory([pinned(2, 'x'), pinned(3, 'y')])
    fleet.setBacklog([2, 3])
    const turns = [shares(fleet), shares(fleet), shares(fleet)]
    expect(turns.map(turn => turn[0]?.[0])).toEqual([2, 3, 2])
    for (const turn of turns) expect(turn.map(([, room]) => room)).toEqual([10, 5])
  })

  test('where there is room for one, the more urgent has it', async () => {
    const fleet = await directory([pinned(2, 'x'), pinned(3, 'y')])
    for (let n = 0; n < 19; n++) fleet.queued('shared.a.a')
    fleet.setBacklog(
      [2, 3],
      new Map([
        [2, 3],
        [3, 0],
      ]),
    )
    for (let n = 0; n < 4; n++) expect(shares(fleet)).toEqual([[3, 1]])
  })
})

test('a queue is idle while nothing waits in it', async () => {
  const fleet = await directory()
  expect([fleet.idle(1), fleet.idle(2)]).toEqual([true, false])
  fleet.queued('shared.c.build')
  expect(fleet.idle(1)).toBe(false)
  fleet.claimed(1)
  expect(fleet.idle(1)).toBe(true)
})

describe('slots that a worker has to spare', () => {
  const pinnedX = pinned(2, 'x')
  const usual = { priority: 2, small: true }
  const among = async (spare: number) => {
    const spares = new Spares(60_000)
    const fleet = await directory([build, pinnedX], spares)
    spares.heard('w', { a: spare })
    return { fleet, spares }
  }

  test('are taken for what would go to a queue in which nothing waits', async () => {
    const { fleet } = await among(2)
    expect(fleet.takeSlot(1, usual)).toMatchObject({ queue: 'shared.c.build', slots: { workerId: 'w', agent: 'a' }, ahead: false })
    expect(fleet.takeSlot(2, usual)).toMatchObject({ queue: 'shared.a.a' })
    expect(fleet.takeSlot(1, usual)).toBeNull()
  })

  test('are not taken past what waits: in the queue, or for room in it', async () => {
    const { fleet } = await among(2)
    fleet.queued('shared.c.build')
    expect(fleet.takeSlot(1, usual)).toBeNull()
    fleet.claimed(1)
    fleet.addBacklog(1)
    expect(fleet.takeSlot(1, usual)).toBeNull()
    fleet.setBacklog([])
    expect(fleet.takeSlot(1, usual)).not.toBeNull()
  })

  test('a slot that was not used is there again', async () => {
    const { fleet } = await among(1)
    const taken = fleet.takeSlot(1, usual)
    if (taken) fleet.giveSlotBack(taken.slots)
    expect(fleet.takeSlot(1, usual)).not.toBeNull()
  })

  test('of a backlog many start at once, where there are many', async () => {
    const { fleet } = await among(180)
    expect([fleet.startsAtOnce(1), fleet.awaitsSlots]).toEqual([true, false])
    fleet.setBacklog([1])
    expect(fleet.awaitsSlots).toBe(true)
    expect(fleet.takeSlots(1, 100)).toHaveLength(100)
    expect(fleet.takeSlots(1, 100)).toHaveLength(80)
    expect(fleet.takeSlots(1, 100)).toEqual([])
  })

  test('so many wait for coordinators at once, however many slots there are', async () => {
    const { fleet, spares } = await among(5_000)
    for (const slots of fleet.takeSlots(1, 5_000)) spares.settled(slots)
    spares.heard('w', { a: 4_200 }, { slots: 800, waiting: 300 })
    expect(fleet.takeSlots(1, 5_000)).toHaveLength(500)
  })

  test.each([
    ['held up where half of the slots wait for coordinators', { slots: 800, waiting: 400 }, true],
    ['not where most are at work', { slots: 800, waiting: 399 }, false],
    ['not where none is in use', { slots: 0, waiting: 0 }, false],
  ])('workers are %s', async (_, busy, expected) => {
    const { fleet, spares } = await among(180)
    spares.heard('w', { a: 180 }, busy)
    expect(fleet.isHeldUp(1)).toBe(expected)
  })

  test('small tasks go past a backlog that starts at once, every other one, and not before what is more urgent', async () => {
    const { fleet } = await among(1_000)
    fleet.setBacklog([1], new Map([[1, 2]]))
    expect(fleet.takeSlot(1, usual)).toBeNull() // none of it was started yet
    fleet.takeSlots(1, 2)
    expect(fleet.takeSlot(1, { priority: 2, small: false })).toBeNull()
    expect(fleet.takeSlot(1, { priority: 3, small: true })).toBeNull()
    expect([usual, usual, usual].map(task => fleet.takeSlot(1, task)?.ahead)).toEqual([true, true, undefined])
    fleet.takeSlots(1, 1)
    expect(fleet.takeSlot(1, { priority: 0, small: true })).toMatchObject({ ahead: true })
  })

  test('a backlog waits for the queue where there are few', async () => {
    const { fleet } = await among(9)
    expect([fleet.startsAtOnce(1), fleet.takeSlots(1, 5)]).toEqual([false, []])
    fleet.setBacklog([1])
    expect(fleet.awaitsSlots).toBe(false)
  })
})
