import { describe, expect, test } from 'vitest'
import { RawJson } from './json.js'
import { findReferences, lookupIn, resolveTemplates, withoutReferences } from './templates.js'

const lookup = lookupIn({
  task: { task_id: 't-1', title: 'Export', metadata: new RawJson('{"root":"/x","n":7}', { root: '/x', n: 7 }) },
  outputs: new Map<string, unknown>([
    ['build', { branch: 'b-1', files: ['a', 'b'], nested: { ok: true } }],
    ['a.b', 'text'],
  ]),
})
const resolved = (value: unknown): unknown => {
  const result = resolveTemplates(value, lookup)
  return result.ok ? result.value : result.failure.message
}

describe('resolving', () => {
  test('a string that is exactly one reference takes the value with its type', () => {
    expect(resolved({ a: '{{build.outputs.files}}', b: '{{ task.metadata.n }}', c: ['{{build.outputs.nested.ok}}'] })).toEqual({
      a: ['a', 'b'],
      b: 7,
      c: [true],
    })
  })

  test('inside longer text a value becomes text', () => {
    expect(resolved('{{task.title}} on {{build.outputs.branch}}: {{build.outputs.nested}} {{build.outputs.files.1}}')).toBe(
      'Export on b-1: {"ok":true} b',
    )
  })

  test('names of subtasks may hold dots', () => {
    expect(resolved('{{a.b.outputs}}')).toBe('text')
  })

  test('what has not the form of a reference stays', () => {
    for (const text of [
      '{{ not a reference }}',
      '{{build}}',
      '{{task.titel}}',
      '{{}}',
      '{ {task.title} }',
      '{{task.title.x}}',
      '{{build.outputs.}}',
      '{{{{',
    ])
      expect(resolved(text)).toBe(text)
  })

  test('a value that looks like a reference is not resolved again', () => {
    const result = resolveTemplates(
      '{{build.outputs}}!',
      lookupIn({ task: { title: 'secret' }, outputs: new Map([['build', '{{task.title}}']]) }),
    )
    expect(result).toEqual({ ok: true, value: '{{task.title}}!' })
  })

  test('a lookup may leave a reference for later', () => {
    expect(resolveTemplates('{{build.outputs}}', () => ({ kind: 'later' }))).toEqual({ ok: true, value: '{{build.outputs}}' })
  })
})

describe('what is missing', () => {
  test('is told all at once, with what there is instead', () => {
    const result = resolveTemplates(['{{build.outputs.brnch}}', '{{test.outputs.x}}', '{{task.context.y}}'], lookup)
    expect(result).toMatchObject({ ok: false, failure: { code: 'input_invalid', retryable: false } })
    expect(resolved(['{{build.outputs.brnch}}', '{{test.outputs.x}}'])).toMatch(
      /"brnch"; it has "branch", "files", "nested"; .*no outputs of "test"/,
    )
  })

  test.each([
    '{{build.outputs.__proto__}}',
    '{{build.outputs.constructor}}',
    '{{build.outputs.nested.toString}}',
    '{{build.outputs.files.length}}',
    '{{build.outputs.branch.length}}',
    '{{task.metadata.constructor}}',
    '{{build.outputs.files.2}}',
  ])('%s is never looked up past own properties', text => {
    expect(resolveTemplates(text, lookup).ok).toBe(false)
  })
})

test('references are found in reading order, whatever they stand in', () => {
  expect(findReferences({ a: ['x {{build.outputs.b}} {{task.title}}'], c: '{{nope}}' }).map(({ source }) => source)).toEqual([
    'build.outputs.b',
    'task.title',
  ])
})

test('words of people can be kept from being references', () => {
  expect(withoutReferences(['{{build.outputs}} {{x}}'])).toEqual(['{ {build.outputs}} {{x}}'])
  expect(findReferences(withoutReferences({ a: '{{{task.title}}}' }))).toEqual([])
})

test('100,000 opening braces take no time', () => {
  const begin = process.cpuUsage() // of this process only, whatever else the machine does
  for (const text of ['{'.repeat(100_000), '{{ '.repeat(33_000), `{{${'a'.repeat(100_000)}`, `{{${' '.repeat(100_000)}`])
    expect(findReferences(text)).toEqual([])
  expect(process.cpuUsage(begin).user / 1_000).toBeLessThan(200)
})
