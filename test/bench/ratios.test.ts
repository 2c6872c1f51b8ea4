import { expect, test } from 'vitest'
import { figure, floorText, isMet, sectionLines, verdictOf } from './figures.js'
import { median, quantile } from './measure.js'
import { bestVariant, latenciesOf, ratiosOf, spreadOf } from './ratios.js'

test('a quantile is the smallest value that the share does not exceed', () => {
  const values = Array.from({ length: 200 }, (_, i) => 200 - i) // 200 to 1: order does not matter
  expect(quantile(values, 0.5)).toBe(100)
  expect(quantile(values, 0.99)).toBe(198)
  expect(quantile(values, 1)).toBe(200)
  expect(quantile(values, 0)).toBe(1)
  expect(median([3, 1, 2])).toBe(2)
  expect(median([])).toBeNaN()
  expect(latenciesOf(values)).toEqual({ p50Ms: 100, p99Ms: 198 })
})

test('the best variant is the one with the best median, not with the best run', () => {
  const lucky = { inFlight: 100, rates: [9_000, 1_000, 1_100] }
  const steady = { inFlight: 400, rates: [2_000, 2_100, 1_900] }
  expect(bestVariant([lucky, steady])).toBe(steady)
  expect(bestVariant([steady])).toBe(steady)
  expect(() => bestVariant([])).toThrow('no variant')
})

test('ratios are taken round by round, so that a slow moment of the machine meets both sides', () => {
  expect(ratiosOf([1_200, 600, 1_500], [1_000, 500, 1_000])).toEqual([1.2, 1.2, 1.5])
  expect(() => ratiosOf([1, 2], [1])).toThrow('2 rounds on one side, 1 on the other')
})

test('a spread reaches from the lowest to the highest', () => {
  expect(spreadOf([1.2, 0.9, 1.1])).toEqual({ low: 0.9, high: 1.2 })
  expect(spreadOf([])).toEqual({ low: Number.NaN, high: Number.NaN })
})

test('a target that is missed is called MISSED, and whether the floor holds is said beside it', () => {
  const of = (...runs: number[]) => figure('W1', '×', runs, { atLeast: 1.2 }, { atLeast: 1 })
  expect(verdictOf(of(1.3))).toBe('>= 1.20 met')
  expect(verdictOf(of(1.1))).toBe('>= 1.20 MISSED, the floor >= 1.00 holds')
  expect(verdictOf(of(0.9))).toBe('>= 1.20 MISSED, the floor >= 1.00 MISSED too')
  expect(verdictOf(of(Number.NaN))).toContain('MISSED too')
  expect(isMet(of(0.9, 1.3, 1.2))).toBe(true)
  expect(floorText(figure('W1', '×', [1]))).toBe('')
  expect(verdictOf(figure('CPU', '×', [1.3], { atMost: 1.1 }, { atMost: 1.4 }))).toBe('<= 1.10 MISSED, the floor <= 1.40 holds')
})

test('a table shows value, spread and every run', () => {
  const lines = sectionLines({ title: 'W1', how: ['how'], figures: [figure('ratio', '×', [1.2, 0.9, 1.1], { atLeast: 1 })] })
  expect(lines.at(-2)).toMatch(/ratio +1\.10 +× +0\.900–1\.20 +1\.20 0\.900 1\.10 +>= 1\.00 met/)
})
