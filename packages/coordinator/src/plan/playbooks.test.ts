import type { BatonError, Playbook } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { createPlanner } from './planner.js'
import { shippedPlaybooks } from './shipped-playbooks.js'
import { validateGraph } from './validate-graph.js'

const now = new Date('2026-11-20T09:00:00Z')
const playbook = (name: string, match: Playbook['match'], subtasks: Playbook['subtasks'] = [{ name, capability: 'x' }]): Playbook => ({
  name,
  match,
  subtasks,
})
const chosen = (playbooks: Playbook[], title: string, metadata = {}) =>
  createPlanner({ playbooks }).plan({ task_id: 't', title, description: 'Nothing else.', metadata }, now).subtasks[0]?.name

describe('shipped playbooks', () => {
  test.each(shippedPlaybooks.map(each => [each.name, each] as const))('%s is a valid graph', (_, each) => {
    expect(validateGraph(each.subtasks)).toEqual([])
  })

  test('repo-audit passes the root on and leaves outputs to the worker', () => {
    const plan = createPlanner().plan(
      { task_id: 't', title: 'Audit', description: 'Audit it', metadata: { playbook: 'repo-audit', root: '/srv/x y' } },
      now,
    )
    expect(plan.madeBy).toBe('playbook')
    expect(plan.subtasks.map(({ name, capability, dependsOn, input }) => ({ name, capability, dependsOn, input }))).toEqual([
      { name: 'inventory', capability: 'repo-inventory', dependsOn: [], input: '{"root":"/srv/x y"}' },
      { name: 'report', capability: 'repo-report', dependsOn: ['inventory'], input: '{"inventory":"{{inventory.outputs}}"}' },
    ])
  })

  test('what a playbook needs and the request lacks is told by its path', () => {
    try {
      createPlanner().plan({ task_id: 't', title: 'Audit', description: 'x', metadata: { playbook: 'repo-audit' } }, now)
      expect.unreachable()
    } catch (error) {
      expect((error as BatonError).fields?.map(({ path }) => path)).toEqual(['metadata.root'])
    }
  })

  test('can be left out', () => {
    const plan = createPlanner({ shippedPlaybooks: false }).plan(
      { task_id: 't', title: 'Audit', description: 'x', metadata: { playbook: 'repo-audit' } },
      now,
    )
    expect(plan.madeBy).toBe('rules')
  })
})

describe('which playbook applies', () => {
  test('words match whole words, whatever their case', () => {
    expect(chosen([playbook('p', { any: ['add'] })], 'ADD a page')).toBe('p')
    expect(chosen([playbook('p', { any: ['add'] })], 'The address')).not.toBe('p')
  })

  test('all conditions that are named must hold', () => {
    const both = [playbook('p', { any: ['add'], all: ['page', 'red'], metadata: { team: 'web' } })]
    expect(chosen(both, 'Add a red page', { team: 'web' })).toBe('p')
    expect(chosen(both, 'Add a red page')).not.toBe('p')
    expect(chosen(both, 'Add a page', { team: 'web' })).not.toBe('p')
  })

  test('the most specific wins; between equals the first', () => {
    const shelf = [
      playbook('loose', { any: ['add'] }),
      playbook('phrase', { any: ['add a page'] }),
      playbook('all', { all: ['add', 'page'] }),
      playbook('meta', { metadata: { team: 'web' } }),
      playbook('again', { metadata: { team: 'web' } }),
    ]
    expect(chosen(shelf.slice(0, 1), 'add a page')).toBe('loose')
    expect(chosen(shelf.slice(0, 2), 'add a page')).toBe('phrase')
    expect(chosen(shelf.slice(0, 3), 'add a page')).toBe('all')
    expect(chosen(shelf, 'add a page', { team: 'web' })).toBe('meta')
  })

  test("the user's come before the shipped ones", () => {
    expect(chosen([playbook('mine', { any: ['audit'] })], 'audit', { playbook: 'release' })).toBe('mine')
  })

  test('a playbook that is no valid graph is refused when the planner is made', () => {
    expect(() =>
      createPlanner({ playbooks: [playbook('p', { any: ['x'] }, [{ name: 'a', capability: 'x', depends_on: ['b'] }])] }),
    ).toThrow(
      expect.objectContaining({
        code: 'invalid_configuration',
        fields: [expect.objectContaining({ path: 'playbooks[0].subtasks[0].depends_on[0]' })],
      }),
    )
  })
})
