/** docs/configuration.md says what is so, both ways. */
import { readFileSync } from 'node:fs'
import { environmentTable } from '@baton/shared/node'
import { expect, test } from 'vitest'
import { checkConfig } from './config/check.js'
import { exitCodes } from './exit-codes.js'
import { run } from './program.js'
import { testIo } from './testing/test-io.js'

const text = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8')

/** The cells of the table under a heading, without the head. */
function table(heading: string): string[][] {
  const section = text.split(/^## /m).find(part => part.startsWith(heading)) ?? ''
  const rows = section
    .split('\n')
    .filter(line => line.startsWith('|'))
    .map(line =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
  return rows.slice(2)
}

const unquoted = (cell: string | undefined): string => cell?.replaceAll('`', '') ?? ''

test('the documented environment is the one that is read', () => {
  const documented = table('Environment variables').map(([name, value]) => [unquoted(name), unquoted(value)])
  expect(documented).toEqual(Object.entries(environmentTable).map(([name, entry]) => [name, entry.default]))
})

test('the documented flags are those that the commands take', async () => {
  const documented = table('Commands and flags').map(([usage, flags]) => [
    unquoted(usage).split(' [')[0]?.split(' <')[0],
    [...(flags ?? '').matchAll(/--[a-z-]+/g)].map(String).sort(),
  ])
  const program = testIo()
  await run(['--help'], program)
  const names = [...program.out().matchAll(/^ {2}([a-z]+)\b/gm)]
    .map(match => match[1] ?? '')
    .filter(name => name !== 'help' && name !== 'config')
  const actual: [string, string[]][] = []
  for (const name of [...names, 'config schema']) {
    const io = testIo()
    await run([...name.split(' '), '--help'], io)
    const flags = [...io.out().matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(match => match[1] ?? '').filter(flag => flag !== '--help')
    actual.push([`baton ${name}`, flags.sort()])
  }
  expect(documented).toEqual(actual)
})

test('the documented exit codes are those of the table', () => {
  expect(table('Exit codes').map(([code]) => Number(code))).toEqual(Object.values(exitCodes).sort((a, b) => a - b))
})

test('the example is a valid configuration', () => {
  const example = /```json\n([\s\S]*?)```/.exec(text)?.[1] ?? ''
  expect(() => checkConfig(JSON.parse(example), 'example')).not.toThrow()
})
