/** Orchestrators whose own agent plans: it is asked first, its draft is held to the guardrails, others stand in for it. */
import { openPostgres } from '@baton/coordinator'
import type { TaskView } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { defineAgent } from '@baton/worker'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { freshDatabase } from '../harness/index.js'
import { draft, drafted } from './model-server.js'
import { contradictions, type OpenLocal, startOpenLocal } from './open-local.js'

let local: OpenLocal
let count = 0
const asked: unknown[] = []
let answer: () => unknown = () => undefined

beforeAll(async () => {
  local = await startOpenLocal(await openPostgres({ url: await freshDatabase(), log: silentLogger() }))
  const boss = defineAgent({
    name: 'boss',
    capabilities: ['plan'],
    run: input => {
      asked.push(input)
      return answer()
    },
  })
  const echo = defineAgent({ name: 'echo', capabilities: ['echo', 'general'], concurrency: 8, run: input => ({ got: input }) })
  await local.host([boss, echo])
  for (const [id, agent_id] of [
    ['bossy', 'boss'],
    ['orphaned', 'nobody'],
  ] as const) {
    await local.client.orchestrators.create({ id, name: id, agent_id })
    await local.client.orchestrators.setStatus(id, 'running')
  }
  await vi.waitFor(async () => expect((await local.client.agents.match({ capability: 'plan' })).agent).toBe('boss'), {
    timeout: 10_000,
    interval: 10,
  })
})
afterAll(() => local?.stop())
afterEach(async () => {
  await vi.waitFor(async () => expect(await contradictions(local.database)).toEqual([]), { timeout: 10_000, interval: 20 })
})

const request = (orchestrator_id: string) => ({
  task_id: `d${++count}`,
  title: 'Call Mrs. Miller',
  description: 'She has a question about {{task.metadata}}. The answer must be polite.',
  orchestrator_id,
  execute: true,
})
const finished = (taskId: string): Promise<TaskView> =>
  vi.waitFor(
    async () => {
      const task = await local.client.tasks.get(taskId)
      expect(task.status).toBe('completed')
      return task
    },
    { timeout: 15_000, interval: 20 },
  )

test('its plan takes the place that was kept for it', async () => {
  answer = () => draft([drafted('look-up'), drafted('call', { depends_on: ['look-up'], serves: ['C1'] })])
  const stored = await local.client.tasks.submit(request('bossy'))
  expect(stored.plan.diagnostics[0]).toBe('the agent boss is asked for the plan when the task starts')
  expect(stored.subtasks.map(s => s.name)).toEqual(['plan', 'rest'])
  const task = await finished(stored.task_id)
  expect(asked.at(-1)).toMatchObject({
    task: { title: 'Call Mrs. Miller', description: expect.stringContaining('task.metadata') },
    criteria: [{ id: 'C1', text: 'The answer must be polite' }],
    capabilities: ['echo', 'general', 'plan'],
  })
  expect(task.plan).toMatchObject({
    made_by: 'model',
    objectives: ['An answer for Mrs. Miller'],
    diagnostics: ['planned by the agent boss'],
  })
  expect(task.subtasks.map(s => [s.name, s.agent])).toEqual([
    ['plan', 'boss'],
    ['look-up', 'echo'],
    ['call', 'echo'],
  ])
})

test.each<[string, () => unknown, RegExp]>([
  [
    'a draft that breaks a guardrail',
    () => draft([drafted('a', { capability: 'root-shell' })]),
    /subtasks\[0\]\.capability: is not one of/,
  ],
  ['no draft at all', () => 'I would call her', /answer/],
  [
    'a failure',
    () => {
      throw Object.assign(new Error('no idea'), { retryable: false })
    },
    /answer: there is none/,
  ],
])('%s: the next in the chain plans', async (_, said, why) => {
  answer = said
  const { task_id } = await local.client.tasks.submit(request('bossy'))
  const task = await finished(task_id)
  expect(task.plan).toMatchObject({ made_by: 'rules' })
  expect(task.plan.diagnostics[0]).toMatch(/^the agent boss gave no plan that can be used/)
  expect(task.plan.diagnostics[0]).toMatch(why)
  expect(task.subtasks.map(s => s.capability)).toEqual(['plan', 'general'])
})

test('it is not asked where it is not live, nor for what is given as subtasks', async () => {
  const before = asked.length
  expect((await local.client.tasks.submit(request('orphaned'))).subtasks.map(s => s.capability)).toEqual(['general'])
  const { description: _, ...bare } = request('bossy')
  expect((await local.client.tasks.submit({ ...bare, subtasks: [{ name: 'a', capability: 'echo' }] })).plan.made_by).toBe('explicit')
  for (const n of [count - 1, count]) await finished(`d${n}`)
  expect(asked).toHaveLength(before)
})
