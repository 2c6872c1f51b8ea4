/** docs/performance.md and the bench know the same parts, and the document shows no results. */
import { expect, test } from 'vitest'
import { suites, workloads } from '../bench/parts.js'
import { repositoryFile, tableUnder } from './markdown-table.js'

const text = repositoryFile('docs/performance.md')

test('every part of the bench stands in the table, and nothing else does', () => {
  expect(
    tableUnder(text, 'Parts')
      .map(([name]) => name)
      .sort(),
  ).toEqual(Object.keys(workloads).sort())
})

test('suites are made of parts that exist', () => {
  for (const parts of Object.values(suites)) for (const part of parts) expect(Object.keys(workloads)).toContain(part)
})

test('commands that it shows name parts, suites and files that exist', () => {
  const asked = [...text.matchAll(/npm run bench -- ([a-z0-9 -]+?)(?= --|`|\s{2}|\n)/g)].flatMap(([, names = '']) => names.split(' '))
  expect(asked.length).toBeGreaterThan(3)
  for (const name of asked.filter(each => !each.startsWith('-') && Number.isNaN(Number(each))))
    expect(Object.keys({ ...workloads, ...suites })).toContain(name)
  for (const [, file = ''] of text.matchAll(/\b(test\/[a-z/-]+\.(?:ts|mjs))/g)) expect(repositoryFile(file)).not.toBe('')
})
