import { expect, test } from 'vitest'
import { type TimelineRow, timelineSvg } from './timeline.js'

function rows(count: number): TimelineRow[] {
  return Array.from({ length: count }, (_, n) => ({
    lane: `agent-${n % 3} @ worker-${n % 4}`,
    label: `subtask ${n}`,
    startedAt: 1_000_000 + n * 10,
    finishedAt: 1_000_000 + n * 10 + 35,
    state: n % 50 === 7 ? 'failed' : 'completed',
  }))
}

/** Throws unless every tag is closed, every attribute is quoted and no character stands where XML forbids it. */
function requireWellFormed(xml: string): void {
  const open: string[] = []
  const rest = xml.replace(
    /<(\/?)([a-z]+)((?: [A-Za-z0-9:-]+="[^"<>&]*(?:&#\d+;[^"<>&]*)*")*)(\/?)>/g,
    (_, closing, name, _attributes, empty) => {
      if (closing) {
        if (open.pop() !== name) throw new Error(`</${name}> closes nothing`)
      } else if (!empty) open.push(name)
      return ''
    },
  )
  if (open.length > 0) throw new Error(`<${open.at(-1)}> is not closed`)
  if (/[<>]|&(?!#\d+;)/.test(rest)) throw new Error('a character is not escaped')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(xml) || !xml.isWellFormed()) throw new Error('a character is not allowed')
}

test.each([0, 1, 2_000])('the picture of %i rows is well-formed and of a sensible size', count => {
  const svg = timelineSvg(rows(count))
  requireWellFormed(svg)
  expect(svg.match(/<title>subtask/g)?.length ?? 0).toBe(count)
  expect(Number(/ height="(\d+)"/.exec(svg)?.[1])).toBeLessThan(3_000)
})

test('hostile text is escaped', () => {
  const hostile = '</title><script>"\'&\u0000\ud800\n\ufffe'
  const svg = timelineSvg([{ lane: `${hostile} @ ${hostile}`, label: hostile, startedAt: 0, finishedAt: 1e6, state: hostile }], {
    title: hostile,
  })
  requireWellFormed(svg)
  expect(svg).not.toContain('<script')
})

test('attempts that overlap stand side by side', () => {
  const row = { lane: 'a @ w', label: 'x', state: 'completed' }
  const svg = timelineSvg([
    { ...row, startedAt: 0, finishedAt: 100 },
    { ...row, startedAt: 50, finishedAt: 150 },
    { ...row, startedAt: 100, finishedAt: 200 },
  ])
  const tops = [...svg.matchAll(/<\/title><rect x="[\d.]+" y="([\d.]+)"/g)].map(match => match[1])
  expect(new Set(tops).size).toBe(2)
})

test('a time that is no number, or a span of nothing, spoils no picture', () => {
  const row = { lane: 'a @ w', label: 'x', state: 'running' }
  for (const times of [
    { startedAt: Number.NaN, finishedAt: 1 },
    { startedAt: 5, finishedAt: 5 },
    { startedAt: 9, finishedAt: 3 },
  ]) {
    const svg = timelineSvg([{ ...row, ...times }])
    requireWellFormed(svg)
    expect(svg).not.toMatch(/NaN|Infinity/)
  }
})
