import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  agentCapability,
  intakeQueue,
  jobId,
  nameSchema,
  namespaceSchema,
  parseQueueName,
  poolSchema,
  queueName,
  subjects,
  subtaskId,
  taskIdSchema,
} from './names.js'

const name = fc.stringMatching(/^[a-z0-9][a-z0-9_.-]{0,20}$/)
const pool = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/)
const key = fc.record({ kind: fc.constantFrom('capability' as const, 'agent' as const), name })

describe('queue names', () => {
  test('say what they are keyed by', () => {
    expect(queueName('shared', { kind: 'capability', name: 'code-review' })).toBe('shared.c.code-review')
    expect(queueName('shared', { kind: 'agent', name: 'a.c.b' })).toBe('shared.a.a.c.b')
  })

  test('mean one pool and one key, whatever these are called', () => {
    fc.assert(
      fc.property(pool, key, (p, k) => {
        expect([poolSchema.safeParse(p).success, nameSchema.safeParse(k.name).success]).toEqual([true, true])
        expect(parseQueueName(queueName(p, k))).toEqual({ pool: p, ...k })
      }),
    )
  })

  test.each(['', intakeQueue, 'shared', 'shared.x.y', 'shared.c.', '.c.x', 'Shared.c.x', 'shared:c:x'])('%j is none', text => {
    expect(parseQueueName(text)).toBeUndefined()
  })

  test('a pool has no dots, because two of them could mean one queue', () => {
    expect(queueName('a.c', { kind: 'capability', name: 'b' })).toBe(queueName('a', { kind: 'capability', name: 'c.b' }))
    expect(poolSchema.safeParse('a.c').success).toBe(false)
  })
})

describe('job ids', () => {
  test('are what BullMQ takes: no colon, not only digits', () => {
    expect(jobId('7', 1, 2)).toBe('7-1-2')
  })
})

describe('subtask ids and capabilities', () => {
  test('are built as documented', () => {
    expect(subtaskId('code-review', 'feature-7', 3)).toBe('code-review::feature-7::3')
    expect(agentCapability('echo')).toBe('agent:echo')
  })

  test('an implied capability is no name, so nobody can declare it', () => {
    expect(nameSchema.safeParse(agentCapability('echo')).success).toBe(false)
  })
})

describe('subjects', () => {
  test('are all under the namespace, and different', () => {
    const named = subjects('prod-1')
    const all = [named.coordinators, named.everyCoordinator, named.coordinator('x'), named.worker('x'), named.workers, named.pulses]
    expect(new Set(all).size).toBe(all.length)
    for (const subject of all) expect(subject).toMatch(/^prod-1\.[a-z.]+/)
  })
})

describe('what users may choose', () => {
  test.each([
    [taskIdSchema, ['a', 'Feature-7', '7', 'a.b_c-d', 'x'.repeat(128)], ['', '-a', '.a', 'a b', 'a:b', 'ä', 'a/b', 'a\n', 'x'.repeat(129)]],
    [nameSchema, ['a', '7', 'code-review', 'a.b_c', 'x'.repeat(64)], ['', 'A', '-a', 'a b', 'a:b', 'a\n', 'x'.repeat(65)]],
    [namespaceSchema, ['baton', 'prod-1', 'a_b'], ['', 'a.b', 'A', '*', '>', 'a b', 'a\n', 'x'.repeat(65)]],
  ] as const)('a name has its form: %#', (schema, good, bad) => {
    expect(good.filter(text => !schema.safeParse(text).success)).toEqual([])
    expect(bad.filter(text => schema.safeParse(text).success)).toEqual([])
  })
})
