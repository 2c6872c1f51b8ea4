import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs, defaultRetryBackoff } from './backoff.js'

const plain = { initialMs: 100, factor: 2, maxMs: 1_000, jitter: 0 }

test('the delay doubles up to its limit', () => {
  expect([1, 2, 3, 4, 5, 6].map(n => backoffMs(plain, n, 0.5))).toEqual([100, 200, 400, 800, 1_000, 1_000])
})

test('a thousandth repeat waits no longer than the limit', () => {
  expect(backoffMs(plain, 10_000, 0)).toBe(1_000)
})

test('chance decides over the share that is jitter, and no more', () => {
  const policy = { ...plain, jitter: 0.5 }
  expect(backoffMs(policy, 2, 0)).toBe(100)
  expect(backoffMs(policy, 2, 0.5)).toBe(150)
  expect(backoffMs(policy, 2, 0.999_999)).toBe(200)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (n, random) => {
      const delay = backoffMs(defaultRetryBackoff, n, random)
      const full = Math.min(defaultRetryBackoff.maxMs, defaultRetryBackoff.initialMs * 2 ** (n - 1))
      expect(Number.isInteger(delay) && delay >= full / 2 && delay <= full).toBe(true)
    }),
  )
})
