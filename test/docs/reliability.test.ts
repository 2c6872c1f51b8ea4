/** docs/reliability.md names tests that exist, and every numbered fault test stands in its table. */
import { existsSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { repositoryFile, tableUnder } from './markdown-table.js'

const text = repositoryFile('docs/reliability.md')
const promises = tableUnder(text, 'What is promised')
const faults = tableUnder(text, 'Faults')

/** How many faults the list has. */
const faultCount = 46
const folder = 'test/faults'
const uncovered = 'not yet'

/** The titles of the tests of a file, as the documents write them: without backticks. */
function titlesIn(file: string): string[] {
  const calls = repositoryFile(file).matchAll(/\btest(?:\.each\([\s\S]*?\))?\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g)
  return [...calls].map(([, , title = '']) => title.replaceAll("\\'", "'").replaceAll('`', ''))
}

/** `41: …`, `27 and 28: …`: the rows that a test covers. */
function rowsOf(title: string): number[] {
  const numbers = /^(\d+(?:(?:, | and )\d+)*): /.exec(title)?.[1]
  return numbers?.match(/\d+/g)?.map(Number) ?? []
}

/** Row and file of every numbered test, in order, each once. */
function covered(): string[] {
  const files = readdirSync(new URL(`../../${folder}/`, import.meta.url)).filter(name => name.endsWith('.test.ts'))
  const pairs = files.flatMap(name =>
    titlesIn(`${folder}/${name}`).flatMap(title => rowsOf(title).map(row => [row, `${folder}/${name}`] as const)),
  )
  return inOrder(pairs)
}

const inOrder = (pairs: readonly (readonly [number, string])[]) => [
  ...new Set([...pairs].sort(([a, x], [b, y]) => a - b || x.localeCompare(y)).map(([row, file]) => `${row} ${file}`)),
]

describe('the faults of docs/reliability.md', () => {
  test('are those of the list, in order, each once', () => {
    expect(faults.map(([row]) => Number(row))).toEqual(Array.from({ length: faultCount }, (_, i) => i + 1))
  })

  test('name the files of their tests, and every numbered test is named', () => {
    const documented = faults.flatMap(([row, , , where = '']) =>
      where === uncovered ? [] : where.split(', ').map(file => [Number(row), file] as const),
    )
    expect(inOrder(documented)).toEqual(covered())
  })
})

describe('the promises of docs/reliability.md', () => {
  test('are the invariants, in order, each once', () => {
    expect(promises.map(([invariant]) => invariant)).toEqual(Array.from({ length: 16 }, (_, i) => `I${i + 1}`))
  })

  test('name tests that exist', () => {
    const recoveries = tableUnder(text, 'How soon it goes on')
    for (const where of [...promises.map(row => row[2]), ...recoveries.map(row => row[1])]) {
      if (where === undefined || where.startsWith('npm run ')) continue
      const [file = '', ...title] = where.split(': ')
      expect(existsSync(new URL(`../../${file}`, import.meta.url)), `there is no ${file}`).toBe(true)
      expect(titlesIn(file)).toContain(title.join(': '))
    }
  })
})
