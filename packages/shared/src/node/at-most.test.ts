import { expect, test } from 'vitest'
import { atMost } from './at-most.js'

const timers = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length

test('what ends in time is waited for, and no timer is left', async () => {
  const before = timers()
  await atMost(60_000, Promise.resolve('x'))
  await expect(atMost(60_000, Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(timers()).toBe(before)
})

test('what does not end is not waited for any longer', async () => {
  await atMost(5, new Promise(() => undefined))
})

test('what fails too late harms nobody', async () => {
  let fail = (_: Error) => {}
  await atMost(
    5,
    new Promise((_, reject) => {
      fail = reject
    }),
  )
  fail(new Error('late'))
  await new Promise(resolve => setImmediate(resolve))
})
