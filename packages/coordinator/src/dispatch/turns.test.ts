import { expect, test } from 'vitest'
import { Turns } from './turns.js'

const place = { priority: 2, owner: 1, task_pk: '7' }
/** What lies before it is not looked at for a while. */
const heldUp = { ...place, wraps: false }
const left = { full: false, rows: [] }

test('a look that was broken off goes on where it ended', () => {
  const turns = new Turns()
  expect(turns.after(1)).toEqual([])
  turns.looked(1, [place], left)
  expect(turns.after(1)).toEqual([heldUp])
  expect(turns.after(2)).toEqual([])
})

test('one that came to the end begins anew; one that found all it had room for stays', () => {
  const turns = new Turns()
  turns.looked(1, [place], left)
  turns.looked(1, [], { full: true, rows: [] })
  expect(turns.after(1)).toEqual([heldUp])
  turns.looked(1, [], left)
  expect(turns.after(1)).toEqual([])
})

test('what comes first waits for two seconds at most, however often the rest is full', () => {
  let now = 0
  const turns = new Turns(() => now)
  turns.looked(1, [place], left)
  for (now = 500; now <= 2_000; now += 500) {
    expect(turns.after(1)).toEqual([heldUp])
    turns.looked(1, [place], left)
  }
  expect(turns.after(1)).toEqual([])
})

test('each owner has a place of its own', () => {
  const turns = new Turns()
  const other = { ...place, owner: 2 }
  turns.looked(1, [place], left)
  turns.looked(1, [other], left)
  expect(turns.after(1)).toEqual([heldUp, { ...other, wraps: false }])
})

test('where there is no room for all, the next look begins behind the task that was served last, however long ago that was', () => {
  let now = 0
  const turns = new Turns(() => now)
  const served = (owner: number, ...tasks: string[]) => ({ full: true, rows: tasks.map(task_pk => ({ priority: 2, owner, task_pk })) })
  turns.looked(1, [], served(1, '9', '10'))
  now = 60_000
  expect(turns.after(1)).toEqual([{ priority: 2, owner: 1, task_pk: '10', wraps: true }])
  turns.looked(1, [], served(1, '11'))
  expect(turns.after(1)).toEqual([{ priority: 2, owner: 1, task_pk: '11', wraps: true }])
  turns.looked(1, [], { ...served(1, '12'), full: false }) // nothing more
  expect(turns.after(1)).toEqual([])
})

test('an owner with nothing left begins anew, though others fill the room', () => {
  const turns = new Turns()
  const row = (owner: number, task_pk: string) => ({ priority: 2, owner, task_pk })
  turns.looked(1, [], { full: true, rows: [row(1, '3'), row(2, '7')] })
  turns.looked(1, [], { full: true, rows: [row(2, '8')] })
  expect(turns.after(1)).toEqual([{ ...row(2, '8'), wraps: true }])
})

test('the turns go round: the last one is the last in turn among those that got most', () => {
  const turns = new Turns()
  const served = (...tasks: string[]) => ({ full: true, rows: tasks.map(task_pk => ({ priority: 2, owner: 1, task_pk })) })
  const place = () => turns.after(1)[0]?.task_pk
  turns.looked(1, [], served('1', '2', '3', '1', '2'))
  expect(place()).toBe('2')
  turns.looked(1, [], served('3', '1')) // behind 2 comes 3, and then the first again
  expect(place()).toBe('1')
  turns.looked(1, [], served('2', '3', '1', '2'))
  expect(place()).toBe('2')
  turns.looked(1, [], served('30', '1'))
  expect(place()).toBe('1')
})

test('owners take turns, too', () => {
  const turns = new Turns()
  const served = (...owners: number[]) => ({ full: true, rows: owners.map(owner => ({ priority: 2, owner, task_pk: '1' })) })
  expect(turns.lastOwner(1)).toBe(0)
  turns.looked(1, [], served(2))
  expect(turns.lastOwner(1)).toBe(2)
  turns.looked(1, [], served(5, 1)) // behind 2 comes 5, and then the first again
  expect(turns.lastOwner(1)).toBe(1)
  expect(turns.lastOwner(2)).toBe(0)
})
