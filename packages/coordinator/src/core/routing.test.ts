import { describe, expect, test } from 'vitest'
import { type ProviderLoad, queueLimit, resolveRoute } from './routing.js'
import type { Insight, Measure } from './score.js'

const route = { pool: 'shared', capability: 'build', requires: [], agent: null }
const provider = (agent: string, more: Partial<ProviderLoad> = {}): ProviderLoad => ({
  ...{ pool: 'shared', agent, capabilities: ['build'], concurrency: 4, active: 0 },
  ...more,
})
const measured = (latencies: Record<string, number | null>): Insight => ({
  measureOf: (agent): Measure | undefined => {
    const latencyMs = latencies[agent]
    return latencyMs === undefined ? undefined : { attempts: 9, successRate: 1, latencyMs }
  },
  queuedFor: () => 0,
})

describe('how many jobs a queue may hold', () => {
  test.each<[string, Parameters<typeof queueLimit>[0], number]>([
    ['two rounds while nothing is measured', { slots: 10, free: 3, startsPerSecond: null }, 20],
    ['two rounds at most, however fast the work is', { slots: 10, free: 10, startsPerSecond: 10_000 }, 20],
    ['free slots, and a second of what the others start', { slots: 10, free: 3, startsPerSecond: 2.5 }, 6],
    ['one at least, where work is slow and no slot is free', { slots: 10, free: 0, startsPerSecond: 0.01 }, 1],
    ['no less for slots that were granted twice over', { slots: 10, free: -5, startsPerSecond: 0.01 }, 1],
    ['one where nobody is known to have a slot', { slots: 0, free: 0, startsPerSecond: null }, 1],
  ])('%s', (_, capacity, limit) => expect(queueLimit(capacity)).toBe(limit))

  test('what starts in a second is measured of every agent that takes from the queue', () => {
    const both = [provider('a'), provider('b', { concurrency: 2 })]
    const starts = (latencies: Record<string, number | null>) => resolveRoute(route, both, measured(latencies))?.startsPerSecond
    expect(starts({ a: 2_000, b: 500 })).toBe(6)
    expect(starts({ a: 2_000, b: null })).toBeNull()
    expect(starts({ a: 2_000 })).toBeNull()
    expect(starts({ a: 0, b: 0 })).toBe(6_000)
  })

  test('one agent’s own queue is measured by that agent', () => {
    const both = [provider('a'), provider('b', { capabilities: ['build', 'fast'] })]
    const resolved = resolveRoute({ ...route, requires: ['fast'] }, both, measured({ a: 1, b: 4_000 }))
    expect(resolved).toMatchObject({ queue: 'shared.a.b', startsPerSecond: 1 })
  })
})
