import { expect, test } from 'vitest'
import { ManualClock } from './manual-clock.js'

test('stands still until it is moved, and then says so everywhere', () => {
  const clock = new ManualClock(new Date('2026-01-01T00:00:00Z'))
  const begin = clock.monotonicMs()
  clock.advance(1_500)
  expect(clock.monotonicMs() - begin).toBe(1_500)
  expect(clock.now()).toEqual(new Date('2026-01-01T00:00:01.500Z'))
})

test('calls what is due in order, at its own time, also what was set meanwhile', () => {
  const clock = new ManualClock()
  const begin = clock.monotonicMs()
  const calls: string[] = []
  const note = (name: string) => () => calls.push(`${name} ${clock.monotonicMs() - begin}`)
  clock.after(30, note('c'))
  clock.after(10, () => {
    note('a')()
    clock.after(10, note('b'))
    clock.after(100, note('never'))
  })
  clock.after(10, note('a2'))
  clock.advance(30)
  expect(calls).toEqual(['a 10', 'a2 10', 'b 20', 'c 30'])
})

test('what was taken back is not called', () => {
  const clock = new ManualClock()
  const calls: string[] = []
  const cancel = clock.after(10, () => calls.push('x'))
  cancel()
  cancel()
  clock.advance(20)
  expect(calls).toEqual([])
})
