import { expect, test } from 'vitest'
import { HeldUp } from './held-up.js'

const place = { priority: 2, owner: 1, task_pk: '7' }
const left = { full: false, rows: [] }

test('a look that was broken off goes on where it ended', () => {
  const heldUp = new HeldUp()
  expect(heldUp.after(1)).toEqual([])
  heldUp.looked(1, [place], left)
  expect(heldUp.after(1)).toEqual([place])
  expect(heldUp.after(2)).toEqual([])
})

test('one that came to the end begins anew; one that found all it had room for stays', () => {
  const heldUp = new HeldUp()
  heldUp.looked(1, [place], left)
  heldUp.looked(1, [], { full: true, rows: [] })
  expect(heldUp.after(1)).toEqual([place])
  heldUp.looked(1, [], left)
  expect(heldUp.after(1)).toEqual([])
})

test('what comes first waits for two seconds at most, however often the rest is full', () => {
  let now = 0
  const heldUp = new HeldUp(() => now)
  heldUp.looked(1, [place], left)
  for (now = 500; now <= 2_000; now += 500) {
    expect(heldUp.after(1)).toEqual([place])
    heldUp.looked(1, [place], left)
  }
  expect(heldUp.after(1)).toEqual([])
})

test('each owner has a place of its own', () => {
  const heldUp = new HeldUp()
  const other = { ...place, owner: 2 }
  heldUp.looked(1, [place], left)
  heldUp.looked(1, [other], left)
  expect(heldUp.after(1)).toEqual([place, other])
})

test('where there is no room for all, the next look begins behind the task that was served last, however long ago that was', () => {
  let now = 0
  const heldUp = new HeldUp(() => now)
  const served = (owner: number, ...tasks: string[]) => ({ full: true, rows: tasks.map(task_pk => ({ priority: 2, owner, task_pk })) })
  heldUp.looked(1, [], served(1, '9', '10'))
  now = 60_000
  expect(heldUp.after(1)).toEqual([{ priority: 2, owner: 1, task_pk: '10' }])
  heldUp.looked(1, [], served(1, '11'))
  expect(heldUp.after(1)).toEqual([{ priority: 2, owner: 1, task_pk: '11' }])
  heldUp.looked(1, [], { ...served(1, '12'), full: false }) // nothing more behind it
  expect(heldUp.after(1)).toEqual([])
})

test('an owner with nothing behind his place begins anew, though others fill the room', () => {
  const heldUp = new HeldUp()
  const row = (owner: number, task_pk: string) => ({ priority: 2, owner, task_pk })
  heldUp.looked(1, [], { full: true, rows: [row(1, '3'), row(2, '7')] })
  heldUp.looked(1, [], { full: true, rows: [row(2, '8')] })
  expect(heldUp.after(1)).toEqual([row(2, '8')])
})

test('owners take turns, too', () => {
  const heldUp = new HeldUp()
  const served = (...owners: number[]) => ({ full: true, rows: owners.map(owner => ({ priority: 2, owner, task_pk: '1' })) })
  expect(heldUp.lastOwner(1)).toBe(0)
  heldUp.looked(1, [], served(2))
  expect(heldUp.lastOwner(1)).toBe(2)
  heldUp.looked(1, [], served(5, 1)) // behind 2 comes 5, and then the first again
  expect(heldUp.lastOwner(1)).toBe(1)
  expect(heldUp.lastOwner(2)).toBe(0)
})
