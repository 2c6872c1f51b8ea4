import { maxBatchBytes, type StartReply, type StartRequest, subjects } from '@baton/shared'
import { type Bus, MemoryBusHub, silentLogger } from '@baton/shared/node'
import { afterEach, expect, test, vi } from 'vitest'
import type { Queryable } from '../store/database.js'
import { Spares } from './spares.js'
import { type StartedRow, Starts } from './starts.js'

const named = subjects('test')
const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** What a worker answers, or nothing at all. */
type Worker = (request: StartRequest, n: number) => StartReply | 'silence'

/** `Starts` beside workers of the test's, on a database that returns whatever it is asked to return. */
async function stage(workers: Record<string, Worker>, { heartbeatMs = 200, fails = 0 } = {}) {
  const hub = new MemoryBusHub()
  const [ours, theirs] = [hub.connect(), hub.connect()]
  const requests: StartRequest[] = []
  for (const [id, answer] of Object.entries(workers))
    await theirs.serve(named.starts(id), {}, async payload => {
      const request = JSON.parse(payload) as StartRequest
      requests.push(request)
      const body = answer(request, requests.length)
      if (body === 'silence') throw new Error('left unanswered')
      return JSON.stringify({ v: 1, status: 'ok', body })
    })
  const returned: string[] = []
  const spares = new Spares(60_000)
  let failures = 0
  const database = {
    query: async (_: unknown, [ids]: [string[]]) => {
      if (failures++ < fails) throw Object.assign(new Error('connection lost'), { code: '08006' })
      return { rows: ids.map(id => ({ id })) }
    },
  } as unknown as Queryable // it returns rows, and nothing else
  const onBegun = vi.fn()
  const starts = new Starts({
    ...{
      bus: ours as Bus,
      subjects: named,
      coordinatorId: 'c1',
      spares,
      database,
      leaseMs: 400,
      heartbeatMs,
      traces: async () => undefined,
      onBegun,
      log: silentLogger(),
    },
    onReturned: async rows => void returned.push(...rows.map(row => row.id)),
  })
  ends.push(async () => {
    await starts.stop()
    await ours.close()
    await theirs.close()
  })
  const row = (id: string, worker: string, grant: string | null = '{"input":"1"}'): StartedRow => {
    const slots = spares.of(worker, 'a')
    slots.open++
    return { id, attempt: 1, dispatch: 1, queue: 'q', route_id: 1, task_pk: '9', claim_id: `claim-${id}`, slots, waited: 0, grant }
  }
  return { starts, requests, returned, spares, row, onBegun }
}

const all = ({ items }: StartRequest): StartReply => ({ started: items.map(() => true), spare: { a: 7 } })

test('each worker is sent its own, with their grants, and says what it has to spare then', async () => {
  const { starts, requests, returned, spares, row, onBegun } = await stage({ v: all, w: all })
  const rows = [row('1', 'v'), row('2', 'w'), row('3', 'w')]
  starts.send(rows)
  await starts.stop()
  expect(requests.map(({ coordinator, items }) => [coordinator, items.map(item => item.subtask)])).toEqual([
    ['c1', ['1']],
    ['c1', ['2', '3']],
  ])
  expect(requests[0]?.items[0]).toEqual({
    ...{ subtask: '1', attempt: 1, job: '1-1-1', agent: 'a', queue: 'q', claim_id: 'claim-1' },
    grant: { input: '1' },
  })
  expect(onBegun.mock.calls).toEqual([[rows.slice(0, 1)], [rows.slice(1)]])
  expect(returned).toEqual([])
  expect([spares.of('v', 'a'), spares.of('w', 'a')].map(({ free, open }) => ({ free, open }))).toEqual([
    { free: 7, open: 0 },
    { free: 7, open: 0 },
  ])
})

test('what a worker does not start goes back to its queue', async () => {
  const { starts, returned, spares, row, onBegun } = await stage({ w: () => ({ started: [true, false], spare: {} }) })
  const rows = [row('1', 'w'), row('2', 'w')]
  starts.send(rows)
  await starts.stop()
  expect(returned).toEqual(['2'])
  expect(onBegun.mock.calls).toEqual([[rows.slice(0, 1)]]) // what began is counted, no more
  expect(starts.takeUnanswered(0)).toEqual([])
  expect(spares.of('w', 'a')).toMatchObject({ free: 0, open: 0 })
})

test('so does everything of a worker that is not there', async () => {
  const { starts, returned, row } = await stage({})
  starts.send([row('1', 'w'), row('2', 'w')])
  await starts.stop()
  expect(returned).toEqual(['1', '2'])
})

test('a request that is not answered is repeated as the same one, without grants; then the leases have to tell', async () => {
  const { starts, requests, returned, row } = await stage({ w: () => 'silence' }, { heartbeatMs: 300 })
  starts.send([row('1', 'w')])
  await vi.waitFor(() => expect(requests.length).toBeGreaterThan(1))
  await starts.stop()
  expect(new Set(requests.map(({ id }) => id)).size).toBe(1)
  expect(requests.map(({ items }) => items[0]?.grant !== undefined)).toEqual([true, ...requests.slice(1).map(() => false)])
  expect(returned).toEqual([])
  // Who watches the leases asks for these, once.
  expect(starts.takeUnanswered(60_000)).toEqual([])
  expect(starts.takeUnanswered(0)).toEqual([{ id: '1', claim_id: 'claim-1' }])
  expect(starts.takeUnanswered(0)).toEqual([])
})

test('a large batch travels in several messages', async () => {
  const { starts, requests, row } = await stage({ w: all })
  const large = JSON.stringify('x'.repeat(maxBatchBytes))
  starts.send([...Array.from({ length: 510 }, (_, n) => row(String(n + 1), 'w')), row('511', 'w', large), row('512', 'w')])
  await starts.stop()
  expect(requests.map(({ items }) => items.length)).toEqual([500, 10, 1, 1])
})

test('what may have been started by a statement that failed is taken back as soon as that can be committed', async () => {
  const { starts, returned } = await stage({}, { fails: 2 })
  starts.takeBack([{ id: '1', claim_id: 'claim-1' }])
  await vi.waitFor(() => expect(returned).toEqual(['1']))
})
