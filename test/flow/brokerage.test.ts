/** Who would get some work, and how well agents do it, as it is seen from outside. */
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { measureAgents } from '../../packages/coordinator/src/store/measures.js' // a turn of its own is ten seconds away
import { freshDatabase } from '../harness/index.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'
import { createScene } from './scene.js'

let local: OpenLocal
const scene = createScene('b', () => local)
const { start, untilStatus } = scene
beforeAll(async () => {
  local = await startOpenLocal(await openPostgres({ url: await freshDatabase(), log: silentLogger() }))
  const sure = defineAgent({
    name: 'sure',
    capabilities: ['paint', 'walls'],
    concurrency: 4,
    sla: '10s',
    domain: 'house',
    run: () => 'done',
  })
  const shaky = defineAgent({
    name: 'shaky',
    capabilities: ['paint', 'walls'],
    concurrency: 4,
    run: (_, { attempt }) => {
      if (attempt < 3) throw new Error('it fell off the ladder')
      return 'done'
    },
  })
  const plain = defineAgent({ name: 'plain', capabilities: ['paint'], run: () => 'done' })
  await local.host([sure, shaky, plain])
  await vi.waitFor(async () => expect((await local.client.agents.list()).map(a => a.health)).toEqual(Array(3).fill('healthy')), {
    timeout: 10_000,
    interval: 10,
  })
})
afterAll(() => local?.stop())

const measure = () => measureAgents(local.database, { everyMs: 0, sample: 1_000 })
const measuredOf = async (name: string) => (await local.client.agents.list()).find(agent => agent.name === name)?.measured
/** Events are read up to the oldest transaction that is open on the server, whoever's it is: the newest may have to wait. */
const untilMeasured = (name: string, attempts: number) =>
  vi.waitFor(
    async () => {
      await measure()
      expect((await measuredOf(name))?.[0]?.attempts).toBe(attempts)
    },
    { timeout: 15_000, interval: 50 },
  )

describe('POST /agents/match', () => {
  test('with a choice to be made, it names the one and says how all are placed', async () => {
    const found = await local.client.agents.match({ capability: 'paint', requires: ['walls'] })
    expect(found).toMatchObject({
      agent: 'shaky',
      queue: { kind: 'agent', name: 'shaky' },
      why: '`shaky` has the best score of those that offer `paint`, `walls`',
    })
    expect(found.candidates.map(({ agent, eligible, missing }) => [agent, eligible, missing])).toEqual([
      ['shaky', true, []],
      ['sure', true, []],
      ['plain', false, ['walls']],
    ])
    expect(found.candidates[0]?.terms).toEqual({ coverage: 1, health: 1, load: 1, sla_fit: 1, success: 1 })
  })

  test('it agrees with where the work goes', async () => {
    const id = await start([{ name: 'a', capability: 'paint', requires: ['walls'], max_attempts: 5 }])
    expect((await untilStatus(id, 'completed')).subtasks[0]?.agent).toBe('shaky')
  })

  test('without a choice, any of them may take it', async () => {
    expect(await local.client.agents.match({ capability: 'paint' })).toMatchObject({
      queue: { kind: 'capability', name: 'paint' },
      why: expect.stringMatching(/^every live agent that offers `paint` may take it/),
    })
    expect(await local.client.agents.match({ capability: 'paint', agent: 'plain' })).toMatchObject({
      agent: 'plain',
      why: 'it is pinned to `plain`',
    })
    expect(await local.client.agents.match({ agent: 'plain' })).toMatchObject({ agent: 'plain', queue: { kind: 'agent', name: 'plain' } })
  })

  test('nobody is an answer too', async () => {
    expect(await local.client.agents.match({ capability: 'sing' })).toEqual({
      agent: null,
      queue: null,
      why: 'no live agent offers `sing`',
      candidates: [],
    })
    expect(await local.client.agents.match({ capability: 'paint', requires: ['sing'] })).toMatchObject({
      agent: null,
      candidates: [{ eligible: false, missing: ['sing'] }, {}, {}],
    })
    await expect(local.client.agents.match({})).rejects.toMatchObject({ code: 'invalid_request', fields: [{ path: 'capability' }] })
  })
})

describe('what is measured', () => {
  test('is how often attempts succeed and how long they take, by capability', async () => {
    const ids = await Promise.all([
      start([{ name: 'a', capability: 'paint', agent: 'sure' }]),
      start([{ name: 'a', capability: 'paint', agent: 'shaky', max_attempts: 5 }]),
    ])
    for (const id of ids) await untilStatus(id, 'completed')
    await untilMeasured('sure', 1)
    await untilMeasured('shaky', 6)
    expect(await measuredOf('sure')).toEqual([{ capability: 'paint', attempts: 1, success_rate: 1, latency_ms: expect.any(Number) }])
    const [shaky] = (await measuredOf('shaky')) ?? []
    expect(shaky).toMatchObject({ capability: 'paint', attempts: 6 })
    expect(shaky?.success_rate).toBeCloseTo(1 / 3)
    await measure()
    expect((await measuredOf('shaky'))?.[0]?.attempts).toBe(6) // nothing is counted twice
  })

  test('moves with the newest attempts, each of which counts a twentieth', async () => {
    await local.database.query({
      text: `update agent_measures set attempts = 100, success_rate = 0, latency_ms = 1000000 where agent = 'sure'`,
    })
    const id = await start([{ name: 'a', capability: 'paint', agent: 'sure' }])
    await untilStatus(id, 'completed')
    await untilMeasured('sure', 101)
    const [sure] = (await measuredOf('sure')) ?? []
    expect(sure?.success_rate).toBeCloseTo(0.05)
    expect(sure?.latency_ms).toBeGreaterThan(949_000)
    expect(sure?.latency_ms).toBeLessThan(960_000)
  })

  test('a turn that another coordinator has just had is not taken', async () => {
    const id = await start([{ name: 'a', capability: 'paint', agent: 'sure' }])
    await untilStatus(id, 'completed')
    await measureAgents(local.database, { everyMs: 3_600_000, sample: 1_000 })
    expect((await measuredOf('sure'))?.[0]?.attempts).toBe(101)
    await untilMeasured('sure', 102)
  })
})

test('agents are found by domain, capability and health, with their SLA and load', async () => {
  const { agents } = local.client
  const names = async (filters: Parameters<typeof agents.list>[0]) => (await agents.list(filters)).map(a => a.name)
  expect(await names({ domain: 'house' })).toEqual(['sure'])
  expect(await names({ capability: 'walls' })).toEqual(['shaky', 'sure'])
  expect(await names({ capability: 'walls', health: 'offline' })).toEqual([])
  expect((await agents.list({ domain: 'house' }))[0]).toMatchObject({
    sla_seconds: 10,
    load: { active: 0, slots: 4, workers: 1, queued: 0 },
  })
})
