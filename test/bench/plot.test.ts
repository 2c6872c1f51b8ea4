import { expect, test } from 'vitest'
import { figure, type Section } from './figures.js'
import { plotOf, ticksUpTo } from './plot.js'

const section = (...figures: Section['figures']): Section => ({ title: 'W1', how: [], figures })
const bars = (svg: string) => [...svg.matchAll(/<rect x="360" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width))

test('bars are as long as their ratios, on one scale with the targets', () => {
  const svg = plotOf({
    title: 'Baton',
    sections: [
      section(figure('W1', '×', [0.5, 0.6, 0.4], { atLeast: 1.2 }, { atLeast: 1 }), figure('throughput', 'subtasks/s', [2_000])),
      section(figure('W2 & more', '×', [1], { atLeast: 1 })),
    ],
  })
  const [w1 = 0, w2 = 0, ...others] = bars(svg)
  expect(w1 / w2).toBeCloseTo(0.5, 2)
  expect(others).toEqual([])
  expect(svg).toContain('0.500 ×, &gt;= 1.20 MISSED')
  expect(svg).toContain('1.00 ×, &gt;= 1.00<')
  expect(svg).toContain('W2 &amp; more')
  expect(svg.match(/stroke-dasharray/g)).toHaveLength(1)
  expect(svg).not.toMatch(/NaN|Infinity|undefined/)
})

test('what could not be measured, and a run without ratios, are drawn without breaking the picture', () => {
  const svg = plotOf({ title: 'Baton', sections: [section(figure('W1', '×', [Number.NaN], { atLeast: 1 }))] })
  expect(svg).toContain('- ×, &gt;= 1.00 MISSED')
  expect(bars(svg)).toEqual([0])
  expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  expect(plotOf({ title: 'Baton', sections: [] })).toMatch(/^<svg [\s\S]+<\/svg>\n$/)
})

test('a value far beyond its target ends at the edge, and does not squeeze the others', () => {
  const svg = plotOf({
    title: 'Baton',
    sections: [section(figure('W3', '×', [40], { atMost: 3 }), figure('W1', '×', [1], { atLeast: 1 }))],
  })
  const [w3 = 0, w1 = 0] = bars(svg)
  expect(w3).toBe(460)
  expect(w1).toBeGreaterThan(100)
  expect(svg).toContain('40.0 ×, &lt;= 3.00 MISSED')
})

test('ticks are round numbers', () => {
  expect(ticksUpTo(1.3)).toEqual([0, 0.5, 1])
  expect(ticksUpTo(12)).toEqual([0, 2, 4, 6, 8, 10, 12])
})
