/** Faults 32 to 35 of the table in README.md: a coordinator is cut off; words of workers come twice, late, or out of order. */

import { failure, type ReportItem, type ReportReply, subjects } from '@baton/shared'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { choices, type FaultFleet, faultStage, type Ghost, type Held, reportOf, resultOf, startFaultFleet } from './kit/index.js'

const stage = faultStage()
vi.setConfig({ testTimeout: 90_000 }) // a few seconds on a machine of its own
const patience = { timeoutMs: 20_000 }

test('32: one coordinator cut from Postgres, then without an answer from it: a peer takes over', async () => {
  // Its workers come before its peer, so that they are its own.
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 2, proxies: { coordinator0: ['postgres'] } })
  const { driver } = fleet
  await fleet.addCoordinator()
  const [cutOff, peer] = [fleet.coordinator(0), fleet.coordinator(1)]
  const held = Array.from({ length: 20 }, (_, i) => ({ name: `s${i}`, capability: 'fault', input: { hold: 'gate' } }))
  await driver.known(() => driver.submit({ task_id: 'held', title: 'held', execute: true, subtasks: held }))
  await eventually(() => fleet.journal().filter(line => line.event === 'start').length === 20, patience)

  for (const how of ['cut', 'stall'] as const) {
    cutOff.proxies.postgres?.[how]()
    const names = Array.from({ length: 10 }, (_, i) => `${how}${i}`)
    const submitted = names.map(task_id => {
      const subtasks = [
        { name: 'a', capability: 'fault', input: { work: 50 } },
        { name: 'b', capability: 'fault', depends_on: ['a'] },
      ]
      return driver.known(() => driver.submit({ task_id, title: how, execute: true, subtasks }, { timeoutMs: 1_000 }))
    })
    for (const outcome of await Promise.all(submitted)) expect(outcome).toMatchObject({ fate: 'ok' })
    for (const name of names)
      await eventually(async () => (await driver.get(name, { coordinator: 1 })).body?.status === 'completed', patience)
    if (how === 'cut') expect(await driver.get('held', { coordinator: 0 })).toMatchObject({ fate: 'unknown', status: 503 })
    else expect(await driver.get('held', { coordinator: 0, timeoutMs: 300 })).toMatchObject({ fate: 'unknown' })
    // Longer than a lease, all in all: what is held was kept alive by the peer.
    await eventually(
      async () => {
        const [row] = await fleet.rows<{ renewed: boolean }>(
          `select min(lease_until) > max(started_at) + 3 * $1::int * interval '1 millisecond' as renewed from subtask_states where state = 'running'`,
          [fleet.leaseMs],
        )
        return row?.renewed === true
      },
      { ...patience, everyMs: 50 },
    )
    cutOff.proxies.postgres?.heal()
    if (how === 'cut') {
      await cutOff.said('leaves the group')
      await cutOff.said('is back in the group', 20_000)
    }
    await eventually(async () => (await driver.get('held', { coordinator: 0, timeoutMs: 500 })).fate === 'ok', patience)
  }
  expect(peer.lines.some(line => line.includes('leaves the group'))).toBe(false)
  fleet.release('gate')
  expect(await fleet.violations()).toEqual([])
  const { subtasks } = await fleet.history()
  expect(subtasks.filter(s => s.attempt !== 1 || s.state !== 'completed')).toEqual([])
})

/** Two coordinators and one real worker, for the rows below; nothing that they do outlasts them. */
let fleet: FaultFleet
beforeAll(async () => {
  fleet = await startFaultFleet(stage, { coordinators: 2, workers: 1, leaseMs: 1_500 })
})
afterAll(() => fleet?.stop())

/** A task of subtasks for this agent, which are claimed at once. */
async function running(ghost: Ghost, task_id: string, count: number): Promise<Held[]> {
  const subtasks = Array.from({ length: count }, (_, i) => ({ name: `s${i}`, capability: ghost.agent }))
  await fleet.driver.known(() => fleet.driver.submit({ task_id, title: task_id, execute: true, subtasks }))
  return ghost.claim(task_id, count)
}

const outputs = async (taskId: string) =>
  (
    await fleet.rows<{ output: string }>(
      `select a.output from tasks k join subtasks d on d.task_pk = k.id join attempts a on a.subtask_pk = d.id
         where k.task_id = $1 and a.outcome = 'completed' order by d.ordinal`,
      [taskId],
    )
  ).map(row => JSON.parse(row.output) as unknown)

test('33: every report duplicated tenfold to two coordinators: one accepted, the rest duplicate', async () => {
  // Of a real worker under load: what is heard is said ten times more, to both.
  const { between } = choices('duplicated reports')
  const bus = await fleet.bus()
  const answers = new Map<string, ReportReply['status'][]>()
  const copies: Promise<void>[] = []
  const copy = async (to: number, items: unknown[]) => {
    const subject = subjects(fleet.namespace).coordinator(fleet.coordinator(to).id)
    const text = JSON.stringify({ v: 1, type: 'report', worker_id: 'copy', items })
    const reply = JSON.parse(await bus.request(subject, text, { timeoutMs: 10_000 })) as { body: { results: ReportReply[] } } // ours
    for (const [n, item] of items.entries()) {
      const { claim_id } = item as { claim_id: string } // as the worker made it
      answers.set(claim_id, [...(answers.get(claim_id) ?? []), reply.body.results[n]?.status ?? 'rejected'])
    }
  }
  const heard = [0, 1].map(n =>
    fleet.overhear(n, request => {
      if (request.type !== 'report' || request.worker_id === 'copy') return
      for (let i = 0; i < 10; i++) copies.push(copy(i % 2, request.items))
    }),
  )
  await Promise.all(heard)
  const tasks = Array.from({ length: 30 }, (_, i) => ({
    task_id: `load${i}`,
    title: 'load',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: between(0, 30) } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { work: between(0, 30) } },
      { name: 'c', capability: 'fault', depends_on: ['a'], input: { fail: 1 } },
    ],
  }))
  await Promise.all(tasks.map(task => fleet.driver.known(() => fleet.driver.submit(task))))
  await fleet.drain()
  for (const subscription of heard) await (await subscription).unsubscribe()
  await Promise.all(copies)
  expect(answers.size).toBe(120) // 90 subtasks, a third of them with two attempts
  for (const statuses of answers.values()) {
    expect(statuses.length).toBeGreaterThanOrEqual(10)
    expect(statuses.filter(status => status === 'accepted').length).toBeLessThanOrEqual(1)
    expect(statuses.filter(status => status !== 'accepted' && status !== 'duplicate' && status !== 'stale')).toEqual([])
  }

  // Of a worker that says nothing else: every answer is known.
  const ghost = await fleet.addGhost({ agent: 'tenfold' })
  const held = await running(ghost, 'tenfold', 20)
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      ghost.report(
        held.map((each, n) => resultOf(each, { n })),
        { to: i % 2 },
      ),
    ),
  )
  for (const [n] of held.entries()) {
    const statuses = all.map(results => results[n]?.status)
    expect(statuses.filter(status => status === 'accepted')).toHaveLength(1)
    expect(statuses.filter(status => status === 'duplicate')).toHaveLength(19)
  }
  expect(await outputs('tenfold')).toEqual(held.map((_, n) => ({ n })))
  expect(await fleet.violations()).toEqual([])
})

/** Attempts that were lost with their worker, and those that replaced them. */
async function replaced(agent: string, count: number) {
  const [first, second] = [await fleet.addGhost({ agent }), await fleet.addGhost({ agent })]
  const old = await running(first, agent, count)
  first.silence()
  const present = await second.claim(agent, count)
  expect(present.map(held => held.subtask)).toEqual(old.map(held => held.subtask))
  for (const [n, held] of present.entries()) expect(held.attempt).toBeGreaterThan(old[n]?.attempt ?? 0)
  return { first, second, pairs: old.map((held, n) => ({ old: held, present: present[n] as Held })) } // of the same length
}

test('34: reports reordered, attempt 1 after attempt 2: the result is the newest attempt’s', async () => {
  const { first, second, pairs } = await replaced('reordered', 6)
  const [after, before, together, turned, failed, raced] = pairs as [Pair, Pair, Pair, Pair, Pair, Pair] // six
  type Pair = (typeof pairs)[number]
  const [late, good] = [(pair: Pair) => resultOf(pair.old, { attempt: 1 }), (pair: Pair) => resultOf(pair.present, { attempt: 2 })]
  const statuses = async (ghost: Ghost, items: ReportItem[], to: number) => (await ghost.report(items, { to })).map(reply => reply.status)

  expect(await statuses(second, [good(after)], 0)).toEqual(['accepted'])
  expect(await statuses(first, [late(after)], 1)).toEqual(['stale'])
  expect(await statuses(first, [late(before)], 1)).toEqual(['stale'])
  expect(await statuses(second, [good(before)], 0)).toEqual(['accepted'])
  expect(await statuses(second, [good(together), late(together)], 0)).toEqual(['accepted', 'stale'])
  expect(await statuses(second, [late(turned), good(turned)], 1)).toEqual(['stale', 'accepted'])
  const fatal = reportOf(failed.old, { kind: 'failed', failure: failure('input_invalid', 'no use') })
  // Another's number does not make a claim the present one.
  const forged = { ...late(failed), attempt: failed.present.attempt }
  expect(await statuses(first, [fatal, forged], 1)).toEqual(['stale', 'stale'])
  expect(await statuses(second, [good(failed)], 0)).toEqual(['accepted'])
  const both = await Promise.all([statuses(first, [late(raced)], 0), statuses(second, [good(raced)], 1)])
  expect(both).toEqual([['stale'], ['accepted']])

  expect(await outputs('reordered')).toEqual(pairs.map(() => ({ attempt: 2 })))
  expect(await fleet.violations()).toEqual([])
})

test('35: a heartbeat after replacement renews no lease, by its own claim or by another’s', async () => {
  const { first, second, pairs } = await replaced('replaced', 1)
  second.silence()
  const leases = () =>
    fleet.rows<{ id: string; claim_id: string; lease_until: string }>(
      `select s.id::text, s.claim_id::text, s.lease_until::text from subtask_states s join subtasks d on d.id = s.id
       where d.capability = 'replaced' and s.state = 'running' order by s.id`,
    )
  // What the second had on its way when it fell silent has arrived.
  let rested = await leases()
  await eventually(
    async () => {
      const before = JSON.stringify(rested)
      rested = await leases()
      return JSON.stringify(rested) === before
    },
    { ...patience, everyMs: 50 },
  )
  expect(rested.map(row => row.claim_id)).toEqual(pairs.map(({ present }) => present.claimId))
  const claims = pairs.flatMap(({ old, present }) => [old, present])
  const renewals = await Promise.all([0, 1, 0, 1].map(to => first.heartbeat(claims, { to })))
  for (const reply of renewals) {
    expect(reply.known).toBe(false) // it was lost: it is to register anew
    expect([...reply.abort].sort()).toEqual(claims.map(held => held.claimId).sort())
  }
  const present = await leases()
  for (const row of present) expect(rested).toContainEqual(row)

  // The second's leases run out, however often the first beats.
  const beating = setInterval(() => void first.heartbeat(claims).catch(() => undefined), 100)
  const third = await fleet.addGhost({ agent: 'replaced' })
  const held = await third.claim('replaced', 1).finally(() => clearInterval(beating))
  expect(await third.report(held.map(each => resultOf(each, { attempt: 3 })))).toEqual([{ status: 'accepted' }])
  expect(await outputs('replaced')).toEqual([{ attempt: 3 }])
  expect(await fleet.violations()).toEqual([])
})
