import { expect, test } from 'vitest'
import { durationsAt } from './durations.js'

test('one factor scales every duration', () => {
  const flat = (scale: number) => {
    const { backoff, webhookBackoff, ...rest } = durationsAt(scale)
    return [...Object.values(backoff), ...Object.values(webhookBackoff), ...Object.values(rest)]
  }
  expect(flat(0.25)).toEqual(flat(1).map(ms => Math.round(ms / 4)))
  expect(flat(0.000001).every(ms => ms >= 1)).toBe(true)
})
