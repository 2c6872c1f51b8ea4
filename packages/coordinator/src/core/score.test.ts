import { describe, expect, test } from 'vitest'
import { type ProviderLoad, resolveRoute } from './routing.js'
import { type Insight, type Measure, noInsight, scoreAgents, scoreWeights } from './score.js'

const host = (agent: string, changes: Partial<ProviderLoad> = {}): ProviderLoad => ({
  pool: 'shared',
  agent,
  capabilities: ['build', 'fast'],
  concurrency: 4,
  active: 0,
  lagging: false,
  sla_ms: 60_000,
  ...changes,
})
/** Two that are alike, and one that makes it a choice: it offers the capability, and not the further one. */
const pair = (a: Partial<ProviderLoad> = {}, b: Partial<ProviderLoad> = {}) => [
  host('a', a),
  host('b', b),
  host('plain', { capabilities: ['build'] }),
]
const needs = { pool: 'shared', capability: 'build', requires: ['fast'], agent: null, slaMs: null }
const measured = (measures: Record<string, Measure>, queued: Record<string, number> = {}): Insight => ({
  measureOf: agent => measures[agent],
  queuedFor: (_, agent) => queued[agent] ?? 0,
})
const queueOf = (hosts: readonly ProviderLoad[], insight: Insight = noInsight, slaMs: number | null = null) =>
  resolveRoute(needs, hosts, insight, slaMs)?.queue

test('who is not eligible is told why, also who offers all that is needed', () => {
  const whyOf = (which: typeof needs | (Omit<typeof needs, 'agent'> & { agent: string }), hosts: readonly ProviderLoad[]) =>
    Object.fromEntries(scoreAgents(which, hosts, noInsight).map(({ agent, why }) => [agent, why]))
  expect(whyOf(needs, pair({ concurrency: 0 }, { capabilities: ['build'] }))).toMatchObject({
    a: 'no worker that takes work hosts it at present',
    b: 'it does not offer `fast`',
  })
  expect(whyOf({ ...needs, agent: 'a' }, pair({}, { concurrency: 0 }))).toMatchObject({
    a: null,
    b: 'the work is pinned to `a`; no worker that takes work hosts it at present',
  })
})

describe('each term alone changes who gets the work', () => {
  test('between equals it is the first by name, and their terms are all 1', () => {
    expect(queueOf(pair())).toBe('shared.a.a')
    const [best] = scoreAgents(needs, pair(), noInsight)
    expect(best).toEqual({
      agent: 'a',
      eligible: true,
      score: 1,
      terms: { coverage: 1, health: 1, load: 1, sla_fit: 1, success: 1 },
      missing: [],
      why: null,
    })
    expect(Object.values(scoreWeights).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1)
  })

  test.each<[string, readonly ProviderLoad[], Insight?, (number | null)?]>([
    ['coverage', pair({ capabilities: ['build'] })],
    ['health', pair({ lagging: true })],
    ['load, by what runs', pair({ active: 1 })],
    ['load, by what waits', pair(), measured({}, { a: 1 })],
    ['SLA fit, by what was measured', pair(), measured({ a: { attempts: 9, successRate: 1, latencyMs: 90_000 } })],
    ['SLA fit, by what the work demands', pair({ sla_ms: 60_000 }, { sla_ms: 10_000 }), noInsight, 10_000],
    [
      'success',
      pair(),
      measured({ a: { attempts: 9, successRate: 0.8, latencyMs: 1 }, b: { attempts: 9, successRate: 0.9, latencyMs: 1 } }),
    ],
  ])('%s', (_, hosts, insight, slaMs) => {
    expect(queueOf(hosts, insight, slaMs)).toBe('shared.a.b')
    const changed = scoreAgents({ ...needs, slaMs: slaMs ?? null }, hosts, insight ?? noInsight).find(c => c.agent === 'a')
    const others = Object.entries(changed?.terms ?? {}).filter(([, term]) => term !== 1)
    expect(others).toHaveLength(1)
  })
})

test('who is not eligible is behind whoever is, and it is said what is missing', () => {
  const away = host('away', { concurrency: 0 })
  const candidates = scoreAgents(
    needs,
    [host('plain', { capabilities: ['build'] }), away, host('busy', { active: 40, lagging: true })],
    noInsight,
  )
  expect(candidates.map(({ agent, eligible, missing }) => [agent, eligible, missing])).toEqual([
    ['busy', true, []],
    ['plain', false, ['fast']],
    ['away', false, []],
  ])
})

test('an agent on several workers is scored as a whole', () => {
  const [spread] = scoreAgents(needs, [host('a', { active: 4 }), host('a', { lagging: true })], noInsight)
  expect(spread?.terms).toMatchObject({ health: 0.5, load: 1 / 1.5 })
})

test('one bad attempt of an unknown agent is not the end of it', () => {
  const insight = measured({ a: { attempts: 1, successRate: 0, latencyMs: null } })
  expect(scoreAgents(needs, [host('a')], insight)[0]?.terms.success).toBeCloseTo(5 / 6)
})

test('where every provider may do the work, it goes to the queue of the capability, whatever their scores', () => {
  expect(resolveRoute({ ...needs, requires: [] }, pair({ active: 4 }))?.queue).toBe('shared.c.build')
})
