import { BatonError, type FieldIssue, type OrchestrateRequest, RawJson } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { createPlanner } from './planner.js'

const now = new Date('2026-11-20T09:00:00Z')
const planner = createPlanner()
const request = (more: Partial<OrchestrateRequest>): OrchestrateRequest => ({ task_id: 't-1', title: 'Work', ...more })
const fieldsOf = (act: () => unknown): readonly FieldIssue[] => {
  try {
    act()
  } catch (error) {
    if (error instanceof BatonError && error.code === 'invalid_request') return error.fields ?? []
    throw error
  }
  throw new Error('nothing was refused')
}

describe('explicit subtasks', () => {
  test('are planned as they are, with inputs byte for byte', () => {
    const plan = planner.plan(
      request({
        subtasks: [
          { name: 'a', capability: 'x', input: new RawJson('{"b":1,  "a":2}', { b: 1, a: 2 }), sla_seconds: 1.5, on_failure: 'skip' },
        ],
      }),
      now,
    )
    expect(plan.madeBy).toBe('explicit')
    expect(plan.subtasks[0]).toMatchObject({
      name: 'a',
      capability: 'x',
      agent: null,
      input: '{"b":1,  "a":2}',
      slaMs: 1_500,
      onFailure: 'skip',
      dependsOn: [],
    })
  })

  test('one that only names an agent takes its name as capability; one that names neither takes the default agent, else the fallback', () => {
    const subtasks = [{ name: 'a', agent: 'ann' }, { name: 'b' }, { name: 'c', capability: 'x' }]
    const places = (options: { defaultAgent?: string }) =>
      planner.plan(request({ subtasks }), now, options).subtasks.map(({ capability, agent }) => [capability, agent])
    expect(places({})).toEqual([
      ['ann', 'ann'],
      ['general', null],
      ['x', null],
    ])
    expect(places({ defaultAgent: 'bob' })).toEqual([
      ['ann', 'ann'],
      ['bob', 'bob'],
      ['x', null],
    ])
  })

  test('win over a playbook and over words, which are read all the same', () => {
    const plan = planner.plan(
      request({ description: 'Deploy it. The API must not change.', metadata: { playbook: 'release' }, subtasks: [{ name: 'a' }] }),
      now,
    )
    expect(plan.subtasks).toHaveLength(1)
    expect(plan.constraints).toEqual(['The API must not change'])
  })

  test('problems of graph and metadata are told together', () => {
    const fields = fieldsOf(() =>
      planner.plan(request({ metadata: { sla: -1 }, subtasks: [{ name: 'a', depends_on: ['x'] }, { name: 'a' }] }), now),
    )
    expect(fields.map(({ path }) => path)).toEqual(['metadata.sla', 'subtasks[1].name', 'subtasks[0].depends_on[0]'])
  })
})

describe('defaults', () => {
  test('the SLA of a subtask is its own, else the task says it, else the default', () => {
    const withDefaults = createPlanner({ defaults: { slaMs: 5_000, maxAttempts: 2, onFailure: 'fail' } })
    expect(withDefaults.plan(request({ subtasks: [{ name: 'a' }] }), now).subtasks[0]).toMatchObject({
      slaMs: 5_000,
      maxAttempts: 2,
      onFailure: 'fail',
    })
    expect(
      withDefaults
        .plan(request({ metadata: { sla: '2h' }, subtasks: [{ name: 'a' }, { name: 'b', sla_seconds: 1 }] }), now)
        .subtasks.map(subtask => subtask.slaMs),
    ).toEqual([7_200_000, 1_000])
  })

  test.each([0, -5, 400 * 86_400, '0s', '9999d'])('metadata.sla %j is refused', sla => {
    expect(fieldsOf(() => planner.plan(request({ description: 'x', metadata: { sla } }), now))).toHaveLength(1)
  })

  test('a due date that is past and an SLA that is no duration are diagnostics', () => {
    const plan = planner.plan(request({ description: 'Add x', metadata: { sla: 'gold', due_date: '2025-11-22' } }), now)
    expect(plan.dueDate).toBe('2025-11-22')
    expect(plan.diagnostics).toHaveLength(2)
  })
})

describe('words that fit nothing', () => {
  test('become one subtask of the fallback, or of the default agent', () => {
    const words = request({ title: 'Call Mrs. Miller', description: 'She has a question.' })
    expect(planner.plan(words, now).subtasks.map(({ capability, agent }) => [capability, agent])).toEqual([['general', null]])
    expect(createPlanner({ fallbackCapability: 'desk' }).plan(words, now).subtasks[0]?.capability).toBe('desk')
    expect(planner.plan(words, now, { defaultAgent: 'bob' }).subtasks[0]).toMatchObject({ capability: 'bob', agent: 'bob' })
  })
})
