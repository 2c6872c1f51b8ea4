/** Two coordinators on one database, and the repeats of one request at both. */
import { type Database, migrate, openPostgres } from '@baton/coordinator'
import type { OrchestrateRequest, Plan } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { ManualClock } from '@baton/shared/testing'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createKnowledge } from '../../packages/coordinator/src/commands/knowledge.js'
import { Thinker } from '../../packages/coordinator/src/commands/thinker.js'
import type { ModelPlanner, ModelRequest } from '../../packages/coordinator/src/plan/model/model-planner.js'
import { createPlanner } from '../../packages/coordinator/src/plan/planner.js'
import { freshDatabase } from '../harness/index.js'

let database: Database
let count = 0
beforeAll(async () => {
  database = await openPostgres({ url: await freshDatabase(), log: silentLogger(), max: 4 })
  await migrate(database)
})
afterAll(() => database?.close())

const request = (): OrchestrateRequest => ({ task_id: `t${++count}`, title: 'Call Mrs. Miller', description: 'She has a question.' })
const rulesFor = (asked: OrchestrateRequest) => createPlanner().plan(asked, new Date())

/** A coordinator whose model answers when the test says. */
function coordinator(coordinatorId: string, timeoutMs = 20_000) {
  const clock = new ManualClock()
  const asked: { request: ModelRequest; answer: (made: Plan) => void }[] = []
  const model: Pick<ModelPlanner, 'plan'> = { plan: one => new Promise(answer => asked.push({ request: one, answer })) }
  const thinker = new Thinker({
    database,
    model,
    coordinatorId,
    timeoutMs,
    knowledge: createKnowledge(database, { rules: [{ verbs: ['call'], capability: 'desk' }] }),
    clock,
    log: silentLogger(),
  })
  return {
    clock,
    asked,
    thinker,
    think: (one: OrchestrateRequest) => thinker.think({ tenantId: 1, taskId: one.task_id, digest: 'd' }, one, rulesFor(one)),
  }
}
const untilAsked = (one: ReturnType<typeof coordinator>) =>
  vi.waitFor(() => expect(one.asked).toHaveLength(1), { timeout: 25_000, interval: 5 })
const byModel = (one: OrchestrateRequest): Plan => ({ ...rulesFor(one), madeBy: 'model' })
/** Lets time pass for whoever waits, step by step, until `done`. */
const pass = async (clock: ManualClock, done: () => boolean) =>
  vi.waitFor(
    () => {
      clock.advance(250)
      expect(done()).toBe(true)
    },
    { timeout: 25_000, interval: 5 },
  )

test('one coordinator asks once for all repeats, and with what is known before any agent is', async () => {
  const a = coordinator('a')
  const one = request()
  const thoughts = [a.think(one), a.think(one)]
  await untilAsked(a)
  expect([...(a.asked[0]?.request.knowledge.capabilities ?? [])].sort()).toEqual([
    'cicd',
    'code-review',
    'desk',
    'documentation',
    'feature-dev',
    'infrastructure',
  ])
  a.asked[0]?.answer(byModel(one))
  for (const { plan, done } of await Promise.all(thoughts)) {
    expect(plan.madeBy).toBe('model')
    done()
  }
})

test('another coordinator waits, and plans itself once the first has ended without storing it', async () => {
  const [a, b] = [coordinator('a'), coordinator('b', 3_600_000)]
  const one = request()
  const first = a.think(one)
  await untilAsked(a)
  const second = b.think(one)
  for (let n = 0; n < 8; n++) {
    a.clock.advance(1_000) // it renews its claim
    b.clock.advance(1_000)
    await new Promise(resolve => setImmediate(resolve))
  }
  expect(b.asked).toHaveLength(0)
  a.asked[0]?.answer(byModel(one))
  ;(await first).done()
  await pass(b.clock, () => b.asked.length === 1)
  expect(b.asked[0]?.request.withinMs).toBeLessThan(3_600_000)
  b.asked[0]?.answer(byModel(one))
  ;(await second).done()
})

test('whoever waits for another for longer than the time limit gets the plan of the rules', async () => {
  const [a, b] = [coordinator('a'), coordinator('b', 2_000)]
  const one = request()
  const first = a.think(one)
  await untilAsked(a)
  let plan: Plan | undefined
  void b.think(one).then(thought => {
    plan = thought.plan
  })
  await pass(b.clock, () => plan !== undefined)
  expect(plan?.diagnostics[0]).toMatch(/another coordinator was still planning/)
  a.asked[0]?.answer(byModel(one))
  ;(await first).done()
})

test('a coordinator that ended in the middle of it is waited for a moment only', async () => {
  const [a, b] = [coordinator('a'), coordinator('b', 3_600_000)]
  const one = request()
  void a.think(one)
  await untilAsked(a)
  // Nothing of `a` moves any more; its claim is three seconds of the database's clock.
  await database.query({ text: `update plannings set until_at = clock_timestamp() where task_id = $1` }, [one.task_id])
  const second = b.think(one)
  await pass(b.clock, () => b.asked.length === 1)
  b.asked[0]?.answer(byModel(one))
  ;(await second).done()
})
