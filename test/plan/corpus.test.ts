/** Checks the planner against requests as people write them; README.md says what each expectation means. */
import { readFileSync } from 'node:fs'
import { type OrchestrateRequest, orchestrateRequestSchema, type Plan, type PlannedSubtask } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { createPlanner } from '../../packages/coordinator/src/plan/planner.js'
import { shippedPlaybooks } from '../../packages/coordinator/src/plan/shipped-playbooks.js'

interface Expectation {
  readonly capabilities?: readonly string[]
  readonly capabilities_any?: readonly (readonly string[])[]
  readonly order?: readonly (readonly [string, string])[]
  readonly parallel?: readonly (readonly [string, string])[]
  readonly objectives_mention?: readonly string[]
  readonly constraints_mention?: readonly string[]
  readonly acceptance_mention?: readonly string[]
  readonly sla_seconds?: number | null
  readonly due_date?: string | null
  readonly approval?: readonly string[]
}
interface Case {
  readonly id: string
  readonly request: OrchestrateRequest
  readonly expect: Expectation
}

const cases: readonly Case[] = JSON.parse(readFileSync(new URL('corpus.json', import.meta.url), 'utf8'))
const today = new Date('2026-11-20T09:00:00Z')
const planner = createPlanner()

describe('requests as people write them', () => {
  for (const { id, request, expect: expected } of cases) {
    test(id, () => {
      const plan = planner.plan(orchestrateRequestSchema.parse(request), today)
      const labels = labelled(plan.subtasks)
      const sorted = plan.subtasks.map(subtask => subtask.capability).sort()
      if (expected.capabilities) expect(sorted).toEqual([...expected.capabilities].sort())
      if (expected.capabilities_any) expect(expected.capabilities_any.map(each => [...each].sort())).toContainEqual(sorted)
      for (const [earlier, later] of expected.order ?? [])
        expect(comesAfter(plan, labels, later, earlier), `${later} depends on ${earlier}`).toBe(true)
      for (const [a, b] of expected.parallel ?? []) {
        expect(comesAfter(plan, labels, a, b), `${a} does not depend on ${b}`).toBe(false)
        expect(comesAfter(plan, labels, b, a), `${b} does not depend on ${a}`).toBe(false)
      }
      expectMentions(plan.objectives, expected.objectives_mention, 'objectives')
      expectMentions(plan.constraints, expected.constraints_mention, 'constraints')
      expectMentions(plan.acceptanceCriteria, expected.acceptance_mention, 'acceptance criteria')
      if (expected.sla_seconds !== undefined) expect(plan.slaMs).toBe(expected.sla_seconds === null ? null : expected.sla_seconds * 1_000)
      if (expected.due_date !== undefined) expect(plan.dueDate).toBe(expected.due_date)
      if (expected.approval) {
        const gated = [...labels].filter(([, subtask]) => subtask.requiresApproval).map(([label]) => label)
        expect(gated.sort()).toEqual([...expected.approval].sort())
      }
    })
  }
})

test('no request of the corpus stands word for word in a playbook', () => {
  const playbooks = JSON.stringify(shippedPlaybooks).toLowerCase()
  for (const { request } of cases)
    for (const text of [request.title, request.description ?? ''].filter(Boolean))
      expect(playbooks).not.toContain(JSON.stringify(text.toLowerCase()).slice(1, -1))
})

/** `feature-dev#2` is the second subtask of that capability in plan order. */
function labelled(subtasks: readonly PlannedSubtask[]): Map<string, PlannedSubtask> {
  const counts = new Map<string, number>()
  return new Map(
    subtasks.map(subtask => {
      const count = (counts.get(subtask.capability) ?? 0) + 1
      counts.set(subtask.capability, count)
      return [`${subtask.capability}#${count}`, subtask]
    }),
  )
}

function comesAfter(plan: Plan, labels: ReadonlyMap<string, PlannedSubtask>, later: string, earlier: string): boolean {
  const [from, target] = [labels.get(later), labels.get(earlier)]
  if (!from || !target) throw new Error(`the plan has no ${from ? earlier : later}`)
  const byName = new Map(plan.subtasks.map(subtask => [subtask.name, subtask]))
  const open = [...from.dependsOn]
  const seen = new Set<string>()
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (name === target.name) return true
    if (seen.has(name)) continue
    seen.add(name)
    open.push(...(byName.get(name)?.dependsOn ?? []))
  }
  return false
}

function expectMentions(entries: readonly string[], mentions: readonly string[] | undefined, what: string): void {
  for (const mention of mentions ?? [])
    expect(
      entries.some(entry => entry.toLowerCase().includes(mention.toLowerCase())),
      `${what} mention "${mention}": ${JSON.stringify(entries)}`,
    ).toBe(true)
}
