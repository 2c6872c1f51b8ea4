import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { baton, expectError, folder } from './baton.js'

interface Report {
  readonly files: number
  readonly findings: readonly { kind: string; path: string; line?: number }[]
  readonly totals: Readonly<Record<string, number>>
}
const reportOf = (cwd: string) => readFileSync(join(cwd, 'baton-report', 'report.json'), 'utf8')

test('the demo of an empty directory ends with 0 and writes its three files', async () => {
  const cwd = folder()
  const { code, out, err } = await baton(['demo'], { cwd })
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toMatch(/is completed after /)
  expect(readdirSync(join(cwd, 'baton-report')).sort()).toEqual(['report.json', 'report.md', 'timeline.svg'])
  expect(JSON.parse(reportOf(cwd))).toMatchObject({ files: 0, findings: [] })
})

test('the demo of a small directory finds what is there; its report is sorted and has no times', async () => {
  const cwd = folder()
  mkdirSync(join(cwd, 'shop', 'src'), { recursive: true })
  mkdirSync(join(cwd, 'shop', 'ignored'))
  const todo = `// ${'TO'}${'DO'}: later\n`
  for (const name of ['zebra.ts', 'ape.ts', 'src/bee.ts', 'ignored/cat.ts']) writeFileSync(join(cwd, 'shop', name), todo)
  writeFileSync(join(cwd, 'shop', '.gitignore'), 'ignored/\n')
  const first = await baton(['demo', 'shop'], { cwd })
  expect(first.code).toBe(0)
  expect(first.out).toMatch(/baton-report\/report\.json/)
  const text = reportOf(cwd)
  const report = JSON.parse(text) as Report
  expect(report.findings.filter(finding => finding.kind === 'todo').map(finding => finding.path)).toEqual([
    'ape.ts',
    'src/bee.ts',
    'zebra.ts',
  ])
  const keyOf = ({ kind, path, line }: Report['findings'][number]) => [path, kind, line]
  expect(text).not.toMatch(/\d{4}-\d\d-\d\dT|elapsed|duration|seconds/)
  // Again, with its own report beside it: nothing of it may differ.
  const second = await baton(['demo', 'shop', '--json'], { cwd })
  expect(second.code).toBe(0)
  expect(JSON.parse(second.out)).toMatchObject({ status: 'completed', written: expect.any(Array) })
  expect(reportOf(cwd)).toBe(text)
  expect(report.findings.map(keyOf)).toEqual((JSON.parse(reportOf(cwd)) as Report).findings.map(keyOf))
})

test('the demo of something that is no directory ends with 2', async () => {
  const ended = await baton(['demo', 'gone'], { cwd: folder() })
  expect(ended.code).toBe(2)
  expectError(ended, /gone is not a directory; name one: baton demo DIR/)
})
