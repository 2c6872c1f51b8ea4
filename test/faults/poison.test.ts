/** Faults 37 to 39 of the table in README.md: agents that fail, that kill their process, that return what nobody can store. */
import { chunkBytes, type Failure, maxArtifactBytes } from '@baton/shared'
import { expect, test, vi } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { type FaultFleet, faultStage, type Ghost, type Held, reportOf, resultOf, startFaultFleet } from './kit/index.js'

vi.setConfig({ testTimeout: 120_000 }) // a few seconds on a machine of its own
const stage = faultStage()

const reviewsOf = (fleet: FaultFleet) =>
  fleet.rows<{ id: string; name: string; kind: string; status: string }>(
    'select r.id::text, d.name, r.kind, r.status from reviews r join subtasks d on d.id = r.subtask_pk order by r.id',
  )

test('37: an agent that always throws: 3 attempts, one review; one more for each retry that a person grants', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 1 })
  const { driver } = fleet
  const subtasks = [
    { name: 'throws', capability: 'fault', input: { fail: true } },
    { name: 'twice', capability: 'fault', input: { fail: true }, max_attempts: 2, on_failure: 'continue' as const },
    { name: 'after', capability: 'fault', depends_on: ['twice'] },
    ...Array.from({ length: 5 }, (_, i) => ({ name: `innocent${i}`, capability: 'fault' })),
  ]
  await driver.known(() => driver.submit({ task_id: 't', title: 't', execute: true, subtasks }))
  await fleet.drain()
  const starts = (n: number) => fleet.journal().filter(line => line.event === 'start' && line.subtask === `fault::t::${n}`).length
  expect([starts(1), starts(2), starts(3)]).toEqual([3, 2, 1])
  const [review, ...more] = await reviewsOf(fleet)
  expect([review, more]).toEqual([expect.objectContaining({ name: 'throws', kind: 'exhausted', status: 'open' }), []])
  expect(await driver.get('t')).toMatchObject({ body: { status: 'needs_review' } })

  await driver.known(() => driver.decide(review?.id ?? '', { decision: 'retry', reason: 'once more' }))
  await eventually(() => starts(1) === 4, { timeoutMs: 10_000 })
  expect(await fleet.violations()).toEqual([])
  expect((await reviewsOf(fleet)).map(({ name, status }) => [name, status])).toEqual([
    ['throws', 'decided'],
    ['throws', 'open'],
  ])
  expect(starts(1)).toBe(4)
})

test('38: an agent that kills its process, among 50 innocent neighbours: at most 4 deaths, one review, no neighbour reviewed', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 1, agents: [{ name: 'fault', concurrency: 60 }] })
  const { driver } = fleet
  const worker = fleet.worker(0)
  // The first two times it kills while all of them run; then they are quick.
  const neighbours = Array.from({ length: 50 }, (_, i) => ({
    name: `innocent${i}`,
    capability: 'fault',
    input: { work: [20_000, 20_000, 0] },
  }))
  const killer = { name: 'killer', capability: 'fault', input: { work: [500, 500, 0], die: true } }
  const subtasks = [...neighbours.slice(0, 25), killer, ...neighbours.slice(25)]
  await driver.known(() => driver.submit({ task_id: 't', title: 't', execute: true, subtasks }))
  const started = await eventually(
    () => {
      const all = fleet.journal().filter(line => line.event === 'start')
      return worker.exit ? all : false
    },
    { timeoutMs: 20_000 },
  )
  expect(started).toHaveLength(51) // it died with all of them

  // A process manager starts it again whenever it has died.
  let deaths = 0
  const settled = fleet.drain({ timeoutMs: 90_000 }).then(() => 'settled' as const)
  for (;;) {
    const next = await Promise.race([settled, eventually(() => worker.exit !== undefined, { timeoutMs: 90_000 })])
    if (next === 'settled') break
    expect(worker.exit).toEqual({ code: null, signal: 'SIGKILL' })
    deaths++
    await worker.restart()
  }
  expect(await fleet.violations()).toEqual([])
  expect(deaths).toBeGreaterThanOrEqual(3) // its limit is used up by its own deaths alone
  expect(deaths).toBeLessThanOrEqual(4)
  expect((await reviewsOf(fleet)).map(({ name, kind }) => [name, kind])).toEqual([['killer', 'exhausted']])
  const rows = await fleet.rows<{ name: string; state: string }>(
    'select d.name, s.state from subtask_states s join subtasks d on d.id = s.id',
  )
  expect(rows.filter(row => row.state !== 'completed')).toEqual([{ name: 'killer', state: 'needs_review' }])
})

test('39: results of 50 MB, depth 100,000, NUL, lone surrogates: refused with a clear code, batch-mates are accepted', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 1, leaseMs: 3_000 }) // 50 MB of text take an event loop a while
  const { driver } = fleet
  const awkward = { huge: 'result_too_large', deep: 'result_invalid', nul: 'result_invalid', surrogate: 'result_invalid' } as const
  const mates = Array.from({ length: 20 }, (_, i) => ({ name: `mate${i}`, capability: 'fault', input: { echo: { i } } }))
  const refused = Object.keys(awkward).map(result => ({
    name: result,
    capability: 'fault',
    input: { result },
    on_failure: 'skip' as const,
  }))
  await driver.known(() => driver.submit({ task_id: 'agents', title: 'agents', execute: true, subtasks: [...mates, ...refused] }))

  // What a worker's own checks would not let through, by one that has none.
  const ghost = await fleet.addGhost({ agent: 'careless' })
  const deep = nested(100_000)
  const causes = `${'{"code":"a","message":"b","retryable":true,"cause":'.repeat(2_000)}null${'}'.repeat(2_000)}`
  const child = (input: string) => ({ kind: 'completed', output: '1', spawn: [{ name: 'child', capability: 'fault', input }] })
  /** The outcome of each, as JSON, some of it deeper than `JSON.stringify` goes. */
  const bad: readonly (readonly [name: string, code: string, outcome: string])[] = [
    ['nul', 'result_invalid', completed('{"text":"a\\u0000b"}')],
    ['nul-itself', 'result_invalid', completed('"a\u0000b"')],
    ['surrogate', 'result_invalid', completed('"a\\ud800b"')],
    ['surrogate-itself', 'result_invalid', completed('"a\ud800b"')],
    ['deep', 'result_invalid', completed(deep)],
    ['no-json', 'result_invalid', completed('{"a":')],
    ['infinite', 'result_invalid', completed('1e999')],
    ['no-text', 'result_invalid', JSON.stringify({ kind: 'completed', output: { a: 1 } })],
    ['deep-itself', 'result_invalid', JSON.stringify({ kind: 'completed', output: 'deep' }).replace('"deep"', deep)],
    ['deep-spawn', 'spawn_invalid', JSON.stringify(child('deep')).replace('"deep"', deep)],
    ['nul-spawn', 'spawn_invalid', JSON.stringify(child('a\u0000b'))],
    ['deep-failure', 'result_invalid', `{"kind":"failed","failure":${causes}}`],
    ['unknown', 'result_invalid', JSON.stringify({ kind: 'exploded' })],
  ]
  const good = Array.from({ length: 40 }, (_, i) => ({ name: `good${i}`, capability: 'careless' }))
  const kinds = bad.map(([name]) => ({ name, capability: 'careless', on_failure: 'skip' as const }))
  const large = { name: 'large', capability: 'careless', on_failure: 'skip' as const }
  await driver.known(() => driver.submit({ task_id: 'ghost', title: 'ghost', execute: true, subtasks: [...good, ...kinds, large] }))
  const held = await ghost.claim('ghost', good.length + kinds.length + 1)
  const named = new Map(held.map(each => [each.grant.name, each]))
  const heldOf = (name: string) => named.get(name) as Held // all were granted
  expect((await sendLarge(ghost, heldOf('large'), 50 * 1024 * 1024)).failure).toMatchObject({ code: 'result_too_large', retryable: false })

  // All in one batch, each bad one between two good ones.
  const items = good.flatMap(({ name }, i) => {
    const kind = bad[i]
    return [JSON.stringify(resultOf(heldOf(name), { name })), ...(kind ? [reportText(heldOf(kind[0]), kind[2])] : [])]
  })
  const replies = await ghost.reportTexts(items)
  const codes = replies.map(reply => (reply.status === 'rejected' ? reply.failure.code : reply.status))
  expect(codes).toEqual(good.flatMap((_, i) => ['accepted', ...(bad[i] ? [bad[i][1]] : [])]))
  for (const reply of replies) if (reply.status === 'rejected') expect(reply.failure.message.length).toBeGreaterThan(20)
  // As a worker does that was told so: the attempt failed, and says why.
  const failures = replies.flatMap(reply => (reply.status === 'rejected' ? [reply.failure] : []))
  const tooLarge: Failure = { code: 'result_too_large', message: 'too large', retryable: false }
  const failed = [...bad.map(([name], i) => failing(heldOf(name), failures[i] ?? tooLarge)), failing(heldOf('large'), tooLarge)]
  expect((await ghost.report(failed)).map(reply => reply.status)).toEqual(failed.map(() => 'accepted'))

  expect(await fleet.violations()).toEqual([])
  const stored = await fleet.rows<{ name: string; state: string; code: string | null; attempts: number }>(
    `select d.name, s.state, s.charged as attempts, (select a.failure::json ->> 'code' from attempts a where a.subtask_pk = d.id order by a.attempt desc limit 1) as code
       from subtasks d join subtask_states s on s.id = d.id join tasks k on k.id = d.task_pk order by k.id, d.ordinal`,
  )
  const expected = [
    ...mates.map(({ name }) => [name, 'completed', null]),
    ...Object.entries(awkward).map(([name, code]) => [name, 'skipped', code]),
    ...good.map(({ name }) => [name, 'completed', null]),
    ...bad.map(([name, code]) => [name, 'skipped', code]),
    ['large', 'skipped', 'result_too_large'],
  ]
  expect(stored.map(({ name, state, code }) => [name, state, code])).toEqual(expected)
  // None of them is tried again: it would come to the same.
  expect(fleet.journal().filter(line => line.event === 'start')).toHaveLength(mates.length + refused.length)
  expect(fleet.worker(0).exit).toBeUndefined()
})

const completed = (output: string) => JSON.stringify({ kind: 'completed', output })
const failing = (held: Held, failure: Failure) => reportOf(held, { kind: 'failed', failure })
const reportText = ({ subtask, attempt, claimId }: Held, outcome: string) =>
  `{"subtask":"${subtask}","attempt":${attempt},"claim_id":"${claimId}","outcome":${outcome}}`

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

/** Sends an output of so many bytes in chunks, until one is refused. */
async function sendLarge(ghost: Ghost, held: Held, bytes: number): Promise<{ failure?: Failure }> {
  const data = Buffer.alloc(chunkBytes, 'x').toString('base64')
  for (let n = 0; n * chunkBytes < bytes; n++) {
    const claim = { worker_id: ghost.id, subtask: held.subtask, claim_id: held.claimId }
    const reply = await ghost.ask<{ status: string; failure?: Failure }>({ type: 'chunk', ...claim, name: '$output', n, data })
    if (reply.status !== 'rejected') continue
    expect(n * chunkBytes).toBe(maxArtifactBytes) // not before
    return reply.failure ? { failure: reply.failure } : {}
  }
  return {}
}
