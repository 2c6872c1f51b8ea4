import type { OrchestrateRequest } from '@baton/shared'
import { expect, test } from 'vitest'
import { createPlanner } from './planner.js'

const words = (title: string, description: string): OrchestrateRequest => ({ task_id: 't', title, description })
const diagnosticsOf = (request: OrchestrateRequest, playbooks: Parameters<typeof createPlanner>[0] = {}) =>
  createPlanner(playbooks).plan(request, new Date('2026-11-20T09:00:00Z')).diagnostics

test('a plan of the rules names what is planned twice', () => {
  const said = words('Billing', 'Implement the PDF export of invoices. Then implement the PDF export of all invoices.')
  expect(diagnosticsOf(said, { shippedPlaybooks: false })).toContainEqual(
    expect.stringMatching(/^subtasks .* look like the same work for feature-dev$/),
  )
  const other = words('Billing', 'Implement the PDF export of invoices. Then add a login page.')
  expect(diagnosticsOf(other, { shippedPlaybooks: false }).join()).not.toContain('same work')
})

test('a plan of a playbook names the criteria that it tells nobody of, and what it does twice', () => {
  const request = words('Release it', 'Ship the release. The page must load within 2 seconds.')
  const playbook = (input: Record<string, unknown> | undefined) => ({
    name: 'release',
    match: { any: ['release'] },
    subtasks: [
      { name: 'build', title: 'Build the release package', capability: 'cicd', ...(input && { input: input as never }) },
      { name: 'again', title: 'Build the release package', capability: 'cicd', ...(input && { input: input as never }) },
    ],
  })
  const blind = diagnosticsOf(request, { playbooks: [playbook({ what: 'package' })] })
  expect(blind).toContainEqual(expect.stringMatching(/^no subtask serves the acceptance criterion ".*2 seconds.*"$/))
  expect(blind).toContain('subtasks build and again look like the same work for cicd')
  // Without an input of its own a subtask is given the whole description.
  expect(diagnosticsOf(request, { playbooks: [playbook(undefined)] }).join()).not.toContain('no subtask serves')
})

test('subtasks that are given are not judged', () => {
  const build = { capability: 'cicd', title: 'Build the release package' }
  const request = {
    ...words('Release', 'The page must load within 2 seconds.'),
    subtasks: [
      { name: 'a', ...build },
      { name: 'b', ...build },
    ],
  }
  expect(diagnosticsOf(request)).toEqual([])
})
