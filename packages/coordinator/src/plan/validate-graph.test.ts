import { maxSubtasks } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { type GraphNode, validateGraph } from './validate-graph.js'

const node = (name: string, depends_on: string[] = [], more: Partial<GraphNode> = {}): GraphNode => ({
  name,
  capability: 'build',
  depends_on,
  ...more,
})
const chainOf = (length: number, input?: (n: number) => unknown): GraphNode[] =>
  Array.from({ length }, (_, n) => node(`s${n}`, n === 0 ? [] : [`s${n - 1}`], { input: input?.(n) }))
const timed = <T>(work: () => T): { value: T; ms: number } => {
  const begin = process.cpuUsage()
  const value = work()
  // Time of this process only: what else the machine does is not the graph's.
  const { user, system } = process.cpuUsage(begin)
  return { value, ms: (user + system) / 1_000 }
}

describe('a valid graph', () => {
  test('a diamond has no problems', () => {
    expect(validateGraph([node('a'), node('b', ['a']), node('c', ['a']), node('d', ['b', 'c'])])).toEqual([])
  })

  test('a chain of 100,000 is valid, and is checked in well under a second', () => {
    const { value, ms } = timed(() => validateGraph(chainOf(maxSubtasks)))
    expect(value).toEqual([])
    expect(ms).toBeLessThan(900)
  })

  test('a chain of 100,000 given backwards, each referring to the first one, is valid', () => {
    const { value, ms } = timed(() => validateGraph(chainOf(maxSubtasks, n => (n === 0 ? undefined : '{{s0.outputs}}')).reverse()))
    expect(value).toEqual([])
    expect(ms).toBeLessThan(2_000)
  })
})

describe('bad graphs', () => {
  test('every problem is told at once, with its path', () => {
    const issues = validateGraph([node('a', ['a']), node('b', ['nope', 'a', 'a']), node('a'), node('c', [], { capability: 'a:b' })])
    expect(issues.map(({ path }) => path)).toEqual([
      'subtasks[2].name',
      'subtasks[3].capability',
      'subtasks[0].depends_on[0]',
      'subtasks[1].depends_on[0]',
      'subtasks[1].depends_on[2]',
    ])
  })

  test('an unknown dependency that differs in case is met with a suggestion', () => {
    expect(validateGraph([node('build-it'), node('b', ['Build_It'])])[0]?.issue).toContain('did you mean "build-it"?')
  })

  test('a cycle of two is named', () => {
    const issues = validateGraph([node('a', ['b']), node('b', ['a'])])
    expect(issues).toHaveLength(1)
    expect(issues[0]?.issue).toMatch(/cycle: (a → b → a|b → a → b);/)
  })

  test('a cycle of 1,000 is named by its ends', () => {
    const nodes = chainOf(1_000)
    nodes[0] = node('s0', ['s999'])
    const [issue, ...more] = validateGraph(nodes)
    expect(more).toEqual([])
    expect(issue?.issue).toContain('… 993 more …')
    expect(issue?.issue.length).toBeLessThan(200)
  })

  test('each of two separate cycles is told', () => {
    expect(validateGraph([node('a', ['b']), node('b', ['a']), node('c', ['d']), node('d', ['c']), node('e', ['a'])])).toHaveLength(2)
  })

  test('100,001 subtasks are too many', () => {
    expect(validateGraph(chainOf(maxSubtasks + 1))).toEqual([
      { path: 'subtasks', issue: 'must hold at most 100000 subtasks, and holds 100001' },
    ])
  })

  test.each(['a:b', '{x}', '../x', 'x'.repeat(10_000), 'bui1d\u0430', 'Build', ''])('capability %j is refused', capability => {
    expect(validateGraph([node('a', [], { capability })]).map(({ path }) => path)).toEqual(['subtasks[0].capability'])
  })

  test('a list of problems without end is cut and counted', () => {
    const issues = validateGraph(Array.from({ length: 5_000 }, (_, n) => node(`s${n}`, ['nope'])))
    expect(issues).toHaveLength(1_001)
    expect(issues.at(-1)?.issue).toBe('4000 more problems are not listed')
  })
})

describe('references', () => {
  test('an input may refer to a dependency through others', () => {
    expect(
      validateGraph([node('a'), node('b', ['a']), node('x'), node('c', ['x', 'b'], { input: { branch: '{{a.outputs.branch}}' } })]),
    ).toEqual([])
  })

  test('a reference to something that is no dependency says what to do', () => {
    const issues = validateGraph([node('a'), node('b', [], { input: ['{{a.outputs.branch}}'] })])
    expect(issues).toEqual([
      {
        path: 'subtasks[1].input',
        issue: '{{a.outputs.branch}}: add "a" to depends_on, so that its outputs exist when this subtask starts',
      },
    ])
  })

  test('a subtask cannot refer to itself, nor to one that does not exist', () => {
    const issues = validateGraph([node('a', [], { input: '{{a.outputs}} {{b.outputs}}' })])
    expect(issues.map(({ issue }) => issue)).toEqual([
      '{{b.outputs}}: there is no subtask "b"',
      '{{a.outputs}}: a subtask cannot refer to its own outputs',
    ])
  })
})

describe('subtasks that are added to a graph', () => {
  const existing = new Set(['plan', 'build'])

  test('may depend on existing ones and refer to them', () => {
    expect(validateGraph([node('extra', ['build'], { input: '{{build.outputs}}' })], { existing, path: 'spawn' })).toEqual([])
  })

  test('may not take their names', () => {
    expect(validateGraph([node('plan')], { existing, path: 'spawn' })).toEqual([
      { path: 'spawn[0].name', issue: '"plan" is already the name of a subtask of this task; choose another' },
    ])
  })

  test('must depend on what they refer to', () => {
    expect(validateGraph([node('extra', [], { input: '{{build.outputs}}' })], { existing })[0]?.issue).toContain(
      'add "build" to depends_on',
    )
  })
})
