import { expect, test } from 'vitest'
import { HeldUp } from './held-up.js'

const place = { priority: 2, owner: 1, task_pk: '7' }

test('a look that was broken off goes on where it ended', () => {
  const heldUp = new HeldUp()
  expect(heldUp.after(1)).toEqual([])
  heldUp.looked(1, [place], false)
  expect(heldUp.after(1)).toEqual([place])
  expect(heldUp.after(2)).toEqual([])
})

test('one that came to the end begins anew; one that found all it had room for stays', () => {
  const heldUp = new HeldUp()
  heldUp.looked(1, [place], false)
  heldUp.looked(1, [], true)
  expect(heldUp.after(1)).toEqual([place])
  heldUp.looked(1, [], false)
  expect(heldUp.after(1)).toEqual([])
})

test('what comes first waits for two seconds at most, however often the rest is full', () => {
  let now = 0
  const heldUp = new HeldUp(() => now)
  heldUp.looked(1, [place], false)
  for (now = 500; now <= 2_000; now += 500) {
    expect(heldUp.after(1)).toEqual([place])
    heldUp.looked(1, [place], false)
  }
  expect(heldUp.after(1)).toEqual([])
})

test('each owner has a place of its own', () => {
  const heldUp = new HeldUp()
  const other = { ...place, owner: 2 }
  heldUp.looked(1, [place], false)
  heldUp.looked(1, [other], false)
  expect(heldUp.after(1)).toEqual([place, other])
})
