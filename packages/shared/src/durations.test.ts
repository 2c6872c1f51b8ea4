import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { durationSchema, formatDuration, maxDurationMs, parseDuration, secondsSchema } from './durations.js'

describe('a duration as people write it', () => {
  test.each([
    ['250ms', 250],
    ['90s', 90_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['1.5h', 5_400_000],
    ['0s', 0],
    [' 1h 30m ', 5_400_000],
    ['1 h', 3_600_000],
  ])('%j is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each(['', '10', 'm', '-5m', '1h,30m', '5mh', '1.h', '.5h', '1e3s', '10 minutes', '1h30', 'x1h', '1hx', '٣m', '1H', '1..5h', '1 0m'])(
    '%j is none',
    text => {
      expect(parseDuration(text)).toBeUndefined()
    },
  )

  test('is accepted from more than nothing up to a year', () => {
    for (const text of ['1ms', '366d', '1h30m']) expect(durationSchema.safeParse(text).success).toBe(true)
    for (const text of ['0s', '367d', 'soon', '']) expect(durationSchema.safeParse(text).success).toBe(false)
  })
})

describe('a duration for people', () => {
  test.each([
    [0, '0ms'],
    [250, '250ms'],
    [999.6, '1s'],
    [1_000, '1s'],
    [1_499, '1s'],
    [59_999, '1m'],
    [90_000, '1m 30s'],
    [3_600_000, '1h'],
    [5_025_000, '1h 23m'],
    [86_400_000 + 5 * 60_000, '1d 5m'],
    [maxDurationMs, '366d'],
  ])('%d ms is %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  test('can be read back, to within its last unit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: maxDurationMs }), ms => {
        const back = parseDuration(formatDuration(ms)) ?? Number.NaN
        expect(Math.abs(back - ms)).toBeLessThanOrEqual(Math.max(500, ms / 24))
      }),
    )
  })
})

test('seconds in a request are positive, finite and at most a year', () => {
  for (const seconds of [0.001, 1, maxDurationMs / 1_000]) expect(secondsSchema.safeParse(seconds).success).toBe(true)
  for (const seconds of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, maxDurationMs, '1'])
    expect(secondsSchema.safeParse(seconds).success).toBe(false)
})
