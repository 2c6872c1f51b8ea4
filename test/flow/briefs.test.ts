/** A brief from memory is word for word what Postgres would have said, or it is not used. */
import { randomUUID } from 'node:crypto'
import { migrate } from '@baton/coordinator'
import type { SubtaskRequest } from '@baton/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Briefs } from '../../packages/coordinator/src/collect/briefs.js'
import { judgeClaims } from '../../packages/coordinator/src/collect/judge-claims.js'
import { judgeResults } from '../../packages/coordinator/src/collect/judge-results.js'
import { type ClaimVerdict, grantClaims } from '../../packages/coordinator/src/store/claims.js'
import { completeRunning } from '../../packages/coordinator/src/store/complete-running.js'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import type { NewSubtask } from '../../packages/coordinator/src/store/submit.js'
import { registerWorker } from '../../packages/coordinator/src/store/workers.js'
import { databases } from './both-databases.js'
import { storeGraph } from './stored-graph.js'

const times = { leaseMs: 6_000, defaultSlaMs: 3_600_000, deferMs: 1_000 }
const queue = 'shared.c.x'

describe.each(databases)('on %s', (_, open) => {
  let database: Database
  beforeAll(async () => {
    database = await open()
    await migrate(database)
    const agent = { description: '', domain: null, skills: [], concurrency: 9, kind: 'module' }
    await registerWorker(database, {
      ...{ id: 'w', host: 'h', pid: 1, version: '1', pool: 'shared', concurrency: 9 },
      agents: [
        { ...agent, name: 'plain', capabilities: ['x'], sla_ms: null },
        { ...agent, name: 'strict', capabilities: ['x'], sla_ms: 90_000, deadline_ms: 60_000, lease_ms: 20_000 },
      ],
    })
  })
  afterAll(() => database?.close())

  /** Stores a task as a submission does; its roots are queued. */
  async function stored(subtasks: SubtaskRequest[], more: { title?: string; context?: string; briefs: Briefs }) {
    const { briefs, ...how } = more
    const { task, graph } = await storeGraph(database, subtasks, { times, place: () => ({ queue }), ...how })
    briefs.stored(task, graph.subtasks, graph.edges)
    return Object.fromEntries(graph.subtasks.map(s => [s.name, s])) as Record<string, NewSubtask>
  }

  const claimOf = ({ id }: NewSubtask, agent = 'plain') => ({ id, attempt: 1, claim_id: randomUUID(), agent, worker_id: 'w' })
  const grantOf = ({ status, grant }: ClaimVerdict | undefined = {} as ClaimVerdict) => {
    expect(status).toBe('granted')
    return JSON.parse(grant ?? '') as Record<string, unknown>
  }
  /** The grant of a claim by way of memory, and what the same claim is told from the tables alone. */
  async function bothWays(briefs: Briefs, subtask: NewSubtask, agent?: string) {
    const claim = claimOf(subtask, agent)
    let known = false
    const watched = {
      of: (id: string) => {
        const brief = briefs.of(id)
        if (!brief) return undefined
        const grant: typeof brief.grant = started => {
          known = true
          return brief.grant(started)
        }
        return { ...brief, grant }
      },
    }
    const [first] = await judgeClaims({ database, briefs: watched, ...times }, [claim])
    const [again] = await grantClaims(database, [claim], times)
    return { claim, known, first: grantOf(first), again: grantOf(again) }
  }
  async function complete(briefs: Briefs, { id }: NewSubtask, claimId: string, output: string) {
    const { accepted } = await completeRunning(
      database,
      [{ id, attempt: 1, claim_id: claimId, output }],
      [{ route_id: await routeOf(id), queue, room: 9 }],
      times,
    )
    expect(accepted).toEqual([0])
    briefs.completed(id, output)
  }
  describe('a worker goes on with what follows', () => {
    const pair = (more: Partial<SubtaskRequest> = {}): SubtaskRequest[] => [
      { name: 'a', capability: 'x' },
      { name: 'b', capability: 'x', depends_on: ['a'], ...more },
    ]
    /** Subtask `a` runs; `report` completes it, and says what became of `b`. */
    async function running(subtasks: SubtaskRequest[], { agent, context }: { agent?: string; context?: string } = {}) {
      const briefs = new Briefs()
      const { a, b } = (await stored(subtasks, { briefs, ...(context !== undefined && { context }) })) as { a: NewSubtask; b: NewSubtask }
      const claim = claimOf(a, agent)
      await judgeClaims({ database, briefs, ...times }, [claim])
      const room = await Promise.all([a, b].map(async ({ id }) => ({ route_id: await routeOf(id), queue, room: 9 })))
      const next = { claim_id: randomUUID(), spare: true }
      const report = async ({ spare = true, idle = false } = {}) => {
        const jobs: unknown[] = []
        const { verdicts, handed } = await judgeResults(
          { database, briefs, room: () => room, idle: () => idle, ...times, onSettled: async effects => void jobs.push(...effects.jobs) },
          [{ id: a.id, attempt: 1, claim_id: claim.claim_id, output: '{"n": 1.0}', next: { ...next, spare } }],
        )
        return { verdict: verdicts[0], handed: handed.get(0), jobs }
      }
      return { a, b, next, claim: { ...claimOf(b, agent), claim_id: next.claim_id }, report }
    }
    const events = async (id: string) =>
      (await database.query<{ name: string }>({ text: 'select name from events where subtask_pk = $1 order by xid, seq' }, [id])).rows.map(
        ({ name }) => name,
      )

    test.each<[string, Partial<SubtaskRequest>, { agent?: string; context?: string }]>([
      ['plain', {}, {}],
      ['with limits of its own', { sla_seconds: 7, deadline_seconds: 5, lease_seconds: 30, max_attempts: 7 }, { context: '{"a": 1.0}' }],
      ['with limits of its agent', {}, { agent: 'strict' }],
    ])('%s: it is granted with the commit of the result, and told the same as by a claim', async (_name, more, how) => {
      const { b, claim, next, report } = await running(pair(more), how)
      const { verdict, handed, jobs } = await report()
      expect([verdict, jobs]).toEqual(['accepted', []])
      expect(handed).toMatchObject({ id: b.id, attempt: 1, dispatch: 1, queue, claim_id: next.claim_id, again: false })
      const [again] = await grantClaims(database, [claim], times)
      const [told, asked] = [JSON.parse(handed?.grant ?? '') as Record<string, unknown>, grantOf(again)]
      // Until a deadline time goes by between the two.
      const [before, after] = [told.deadline_in_ms, asked.deadline_in_ms]
      if (before === null) expect(after).toBeNull()
      else expect(Math.abs(Number(before) - Number(after))).toBeLessThan(5_000)
      expect({ ...told, deadline_in_ms: 0 }).toEqual({ ...asked, deadline_in_ms: 0 })
      expect(await events(b.id)).toEqual(['subtask.queued', 'subtask.started'])
    })

    test('the answer was lost: the repeated report is told the same', async () => {
      const { b, claim, next, report } = await running(pair())
      await report()
      const { verdict, handed, jobs } = await report()
      expect([verdict, jobs]).toEqual(['duplicate', []])
      expect(handed).toMatchObject({ id: b.id, attempt: 1, dispatch: 1, claim_id: next.claim_id, grant: null, again: true })
      expect((await grantClaims(database, [claim], times))[0]?.status).toBe('granted')
      await completeRunning(database, [{ id: b.id, attempt: 1, claim_id: next.claim_id, output: '1' }], [], times)
      expect((await report()).handed).toBeUndefined() // it has ended
    })

    test('without slots to spare only while nothing waits in the queue', async () => {
      expect((await (await running(pair())).report({ spare: false, idle: true })).handed).toBeDefined()
      const { handed, jobs } = await (await running(pair())).report({ spare: false, idle: false })
      expect([handed, jobs.length]).toEqual([undefined, 1])
    })

    test.each<[string, Partial<SubtaskRequest>, string]>([
      [
        'it has another graph than is known here',
        {},
        'insert into dependencies (from_id, to_id) values ($1::bigint - 1000000, $2::bigint)',
      ],
      ['its orchestrator is paused', {}, "update orchestrators set status = 'paused' where id = 'default' and $1::bigint < $2::bigint"],
      ['its worker does not offer all that it requires', { requires: ['y'] }, 'select $1::bigint, $2::bigint'],
      ['its worker is not known any more', {}, "update worker_agents set agent = 'gone' where agent = 'plain' and $1::bigint < $2::bigint"],
    ])('it is queued as ever where %s', async (_name, more, change) => {
      const { a, b, report } = await running(pair(more))
      await database.query({ text: change }, [a.id, b.id])
      try {
        const { verdict, handed, jobs } = await report()
        expect([verdict, handed]).toEqual(['accepted', undefined])
        expect(jobs).toMatchObject([{ id: b.id, attempt: 1 }])
      } finally {
        await database.query({ text: `update orchestrators set status = 'running' where id = 'default'` })
        await database.query({ text: `update worker_agents set agent = 'plain' where agent = 'gone'` })
      }
    })

    test('a gate holds it', async () => {
      const { b, report } = await running(pair({ requires_approval: true }))
      expect(await report()).toMatchObject({ verdict: 'accepted', handed: undefined, jobs: [] })
      expect(await events(b.id)).toEqual(['subtask.awaiting_approval', 'review.created'])
    })

    test('of two results that bring the same, in one batch, the last one is asked', async () => {
      const briefs = new Briefs()
      const { a, b, c } = (await stored(
        [...['a', 'b'].map(name => ({ name, capability: 'x' })), { name: 'c', capability: 'x', depends_on: ['a', 'b'] }],
        { briefs },
      )) as Record<'a' | 'b' | 'c', NewSubtask>
      const claims = [a, b].map(each => claimOf(each))
      await judgeClaims({ database, briefs, ...times }, claims)
      const room = [{ route_id: await routeOf(a.id), queue, room: 9 }]
      const { handed } = await judgeResults(
        { database, briefs, room: () => room, idle: () => false, ...times, onSettled: async () => undefined },
        claims.map(({ id, claim_id }) => ({ id, attempt: 1, claim_id, output: '1', next: { claim_id: randomUUID(), spare: true } })),
      )
      expect([...handed]).toMatchObject([[1, { id: c.id }]])
      expect((JSON.parse(handed.get(1)?.grant ?? '') as { dependencies: unknown[] }).dependencies).toHaveLength(2)
    })
  })

  const routeOf = async (id: string) => {
    const { rows } = await database.query<{ route_id: number }>({ text: 'select route_id from subtask_states where id = $1' }, [id])
    return rows[0]?.route_id ?? 0
  }

  test.each<[string, Partial<SubtaskRequest>, { title?: string; context?: string; agent?: string }]>([
    ['a bare one', {}, {}],
    [
      'words of all kinds',
      { title: 'Ü "quoted" \n 🧪', input: { text: 'é🧪\u2028', n: 1 } },
      { title: '🧪 "t"', context: '{"a": 1.0, "b":"ü"}' },
    ],
    ['limits of its own', { sla_seconds: 7, deadline_seconds: 5, lease_seconds: 30, isolation: 'process', max_attempts: 7 }, {}],
    ['limits of the agent', {}, { agent: 'strict' }],
  ])('%s', async (_name, subtask, { agent, ...more }) => {
    const briefs = new Briefs()
    const { a } = await stored([{ name: 'a', capability: 'x', ...subtask }], { ...more, briefs })
    const { known, first, again } = await bothWays(briefs, a as NewSubtask, agent)
    expect(known).toBe(true)
    // Until a deadline time goes by between the two.
    const [before, after] = [first.deadline_in_ms, again.deadline_in_ms]
    if (before === null) expect(after).toBeNull()
    else expect(Number(before) - Number(after)).toBeLessThan(5_000)
    expect({ ...first, deadline_in_ms: 0 }).toEqual({ ...again, deadline_in_ms: 0 })
  })

  test('what it depends on, in order, with outputs as they were sent', async () => {
    const briefs = new Briefs()
    const names = ['b', 'a', 'c']
    const { last, ...before } = await stored(
      [...names.map(name => ({ name, capability: 'x' })), { name: 'last', capability: 'x', depends_on: ['c', 'b', 'a'] }],
      { briefs },
    )
    for (const [n, name] of names.entries()) {
      const claim = claimOf(before[name] as NewSubtask)
      await judgeClaims({ database, briefs, ...times }, [claim])
      await complete(briefs, before[name] as NewSubtask, claim.claim_id, `{"n": ${n}.0, "é":"🧪"}`)
    }
    const { known, first, again } = await bothWays(briefs, last as NewSubtask)
    expect(known).toBe(true)
    expect(first).toEqual(again)
    expect((first.dependencies as { name: string }[]).map(d => d.name)).toEqual(names)
  })

  test('with another graph than it was stored with, memory is not asked', async () => {
    const briefs = new Briefs()
    const { a, b, c } = await stored(
      [...['a', 'b'].map(name => ({ name, capability: 'x' })), { name: 'c', capability: 'x', depends_on: ['a'] }],
      { briefs },
    )
    for (const each of [a, b] as NewSubtask[]) {
      const claim = claimOf(each)
      await judgeClaims({ database, briefs, ...times }, [claim])
      await complete(briefs, each, claim.claim_id, JSON.stringify(each.name))
    }
    await database.query({ text: 'insert into dependencies (from_id, to_id) values ($1, $2)' }, [b?.id, c?.id])
    const { known, first, again } = await bothWays(briefs, c as NewSubtask)
    expect(known).toBe(false)
    expect(first).toEqual(again)
    expect((first.dependencies as { output: string }[]).map(d => d.output)).toEqual(['"a"', '"b"'])
  })

  test('of a dependency whose result is not known here, memory knows nothing', async () => {
    const briefs = new Briefs()
    const { a, b } = await stored(
      [
        { name: 'a', capability: 'x' },
        { name: 'b', capability: 'x', depends_on: ['a'] },
      ],
      { briefs },
    )
    const claim = claimOf(a as NewSubtask)
    await judgeClaims({ database, briefs, ...times }, [claim])
    await complete(new Briefs(), a as NewSubtask, claim.claim_id, '1') // by way of another coordinator
    expect(briefs.of((b as NewSubtask).id)).toBeUndefined()
    expect((await bothWays(briefs, b as NewSubtask)).first.dependencies).toMatchObject([{ name: 'a', output: '1' }])
  })

  test('an orchestrator that is paused, and an agent that does not offer it, are refused as ever', async () => {
    const briefs = new Briefs()
    const { a, b } = await stored(
      ['a', 'b'].map(name => ({ name, capability: 'x' })),
      { briefs },
    )
    const status = async (subtask: NewSubtask | undefined, agent?: string) =>
      (await judgeClaims({ database, briefs, ...times }, [claimOf(subtask as NewSubtask, agent)]))[0]?.status
    expect(await status(a, 'nobody')).toBe('not_eligible')
    await database.query({ text: `update orchestrators set status = 'paused' where id = 'default'` })
    expect(await status(b)).toBe('held')
    await database.query({ text: `update orchestrators set status = 'running' where id = 'default'` })
    expect(await status({ ...(a as NewSubtask), id: '999999999' })).toBe('gone')
  })

  test('a result under another claim than the one that runs is not accepted', async () => {
    const briefs = new Briefs()
    const { a } = await stored([{ name: 'a', capability: 'x' }], { briefs })
    const { claim } = await bothWays(briefs, a as NewSubtask)
    const under = (claimId: string) =>
      completeRunning(database, [{ id: (a as NewSubtask).id, attempt: 1, claim_id: claimId, output: '1' }], [], times)
    expect((await under(randomUUID())).accepted).toEqual([])
    expect((await under(claim.claim_id)).accepted).toEqual([0])
  })
})
