/** Faults 8, 44 and 45: what is told of events while coordinators die, receivers misbehave and clients stall. */
import { createServer } from 'node:http'
import { createClient } from '@baton/client'
import type { EventView } from '@baton/shared'
import { expect, test, vi } from 'vitest'
import { cleanUp } from '../harness/clean-up.js'
import { eventually } from '../harness/eventually.js'
import { type Received, signaturesBy, startReceiver } from '../harness/receiver.js'
import { faultStage, sharedFleet } from './kit/index.js'

vi.setConfig({ testTimeout: 90_000 })

const stage = faultStage()
/** The first two outlive all rows. */
const shared = sharedFleet(stage, { coordinators: 2, workers: 1, settings: { BATON_WEBHOOK_NETWORKS: '127.0.0.1' } })

const task = (task_id: string, callback_url?: string) => ({
  task_id,
  title: 'x',
  execute: true,
  subtasks: [{ name: 'a', capability: 'fault', input: {} }],
  ...(callback_url !== undefined && { callback_url }),
})

const completions = (received: readonly Received[]) => received.filter(one => one.type === 'task.completed')
/** Positions as the order of events has them. */
const inOrder = (a: string, b: string): number => {
  const [[ax = 0, as = 0], [bx = 0, bs = 0]] = [a.split('-').map(Number), b.split('-').map(Number)]
  return ax - bx || as - bs
}

async function receiver(...answer: Parameters<typeof startReceiver>) {
  const started = await startReceiver(...answer)
  cleanUp(() => started.stop())
  return started
}

test('8: killed before a webhook is sent: a peer delivers it, under the same id and with a valid signature', async () => {
  const fleet = shared()
  const { driver } = fleet
  const { url, received } = await receiver()
  const victim = await fleet.addCoordinator({ failpoint: 'notify.before-send:kill' })
  await driver.known(() => driver.submit(task('t8-first', `${url}/hook`)))
  const { secret } = await createClient({ url: fleet.coordinator(0).url }).webhooks.rotate('callbacks', { overlap_seconds: 0 })
  const sent = ['t8-first']
  // All coordinators look for what is due; sooner or later the victim leases some.
  for (let n = 0; victim.exit === undefined && n < 200; n++) {
    const taskId = `t8-${n}`
    await driver.submit(task(taskId, `${url}/hook`), { url: victim.url })
    sent.push(taskId)
  }
  await victim.reached('notify.before-send')
  expect(await victim.ended()).toEqual({ code: null, signal: 'SIGKILL' })
  const leased = await fleet.rows<{ event: string }>(
    `select xid::text || '-' || seq as event from webhook_deliveries where state = 'pending' and attempts > 0 and tries = '[]'`,
  )
  expect(leased.length).toBeGreaterThan(0) // by whoever has died, at least

  expect(await fleet.violations()).toEqual([])
  const stored = await fleet.rows<{ task_id: string }>(`select task_id from tasks where callback_url is not null`)
  await eventually(
    () => expect(new Set(completions(received).map(one => one.event.task_id))).toEqual(new Set(stored.map(row => row.task_id))),
    {
      timeoutMs: 30_000,
    },
  )
  await eventually(() => expect(leased.filter(({ event }) => !received.some(one => one.event.id === event))).toEqual([]), {
    timeoutMs: 30_000,
  })
  await eventually(async () => expect(await fleet.rows(`select from webhook_deliveries where state = 'pending'`)).toEqual([]), {
    timeoutMs: 15_000,
  })
  // At least once; whoever keeps the ids sees each message once, and each event has one.
  const idsOf = new Map<string, Set<string>>()
  for (const one of received) idsOf.set(one.event.id, (idsOf.get(one.event.id) ?? new Set()).add(one.id))
  expect([...idsOf.values()].every(ids => ids.size === 1)).toBe(true)
  const late = completions(received).filter(one => one.event.task_id !== 't8-first')
  expect(late.map(one => signaturesBy(secret, one))).toEqual(late.map(() => 1))
})

test('44: a receiver hangs, one answers 500, one redirects: backed off, not followed, and nobody else waits for them', async () => {
  const fleet = shared()
  const { driver } = fleet
  let healed = false
  const hanging = await receiver((_, response) => void (healed && response.writeHead(204).end()))
  const failing = await receiver((_, response) => void response.writeHead(healed ? 204 : 500).end())
  const elsewhere: string[] = []
  const target = createServer((request, response) => {
    elsewhere.push(request.url ?? '')
    response.writeHead(204).end()
  })
  await new Promise<void>(resolve => target.listen(0, '127.0.0.1', resolve))
  cleanUp(() => new Promise<void>(resolve => target.close(() => resolve())))
  const address = target.address()
  const to = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/elsewhere`
  const redirecting = await receiver((_, response) => void response.writeHead(healed ? 204 : 307, { location: to }).end())
  const well = await receiver()

  const sick = [hanging, failing, redirecting]
  for (const [i, { url }] of sick.entries()) for (let n = 0; n < 5; n++) await driver.known(() => driver.submit(task(`t44-${i}-${n}`, url)))
  for (const { received } of sick) await eventually(() => expect(received.length).toBeGreaterThan(0), { timeoutMs: 15_000 })
  // Five tasks with three messages each wait at each of them; the healthy one is served meanwhile.
  await driver.known(() => driver.submit(task('t44-well', well.url)))
  await eventually(() => expect(completions(well.received)).toHaveLength(1), { timeoutMs: 15_000 })

  // Each is tried again under its id, later each time.
  const again = (received: readonly Received[]) => {
    const times = new Map<string, number[]>()
    for (const one of received) times.set(one.id, [...(times.get(one.id) ?? []), one.at])
    return [...times.values()].filter(all => all.length >= 3)
  }
  await eventually(() => expect(again(failing.received).length).toBeGreaterThan(0), { timeoutMs: 30_000 })
  for (const [first = 0, second = 0, third = 0] of again(failing.received)) {
    expect(second - first).toBeGreaterThan(300) // half of the first pause, at this scale of time
    expect(third - second).toBeGreaterThan(700)
  }
  const tried = await fleet.rows<{ error: string }>(
    `select distinct tries -> 0 ->> 'error' as error from webhook_deliveries where state = 'pending' and tries <> '[]'`,
  )
  const errors = tried.map(row => row.error)
  for (const said of [/no answer within/, /answered 500/, /answered 307; redirects are not followed/])
    expect(errors.join('\n')).toMatch(said)

  healed = true
  await eventually(
    () => {
      for (const [i, { received }] of sick.entries())
        expect(new Set(completions(received).map(one => one.event.task_id))).toEqual(new Set([0, 1, 2, 3, 4].map(n => `t44-${i}-${n}`)))
    },
    { timeoutMs: 45_000 },
  )
  await eventually(async () => expect(await fleet.rows(`select from webhook_deliveries where state = 'pending'`)).toEqual([]), {
    timeoutMs: 45_000,
  })
  expect(elsewhere).toEqual([])
  expect(await fleet.violations()).toEqual([])
})

test('45: a client stalls while megabytes wait for it, loses its coordinator, and resumes at another: no gap, no repeat', async () => {
  const fleet = shared()
  const { driver } = fleet
  const lost = await fleet.addCoordinator()
  const [present] = await fleet.rows<{ id: string }>(`select xid::text || '-' || seq as id from events order by xid desc, seq desc limit 1`)
  const from = present?.id ?? '0-0'
  const told: EventView[] = []
  const follow = async (url: string, after: string, enough: () => boolean, onEvent: () => Promise<void> | void = () => undefined) => {
    for await (const event of createClient({ url, retry: false }).events.follow({ after, patienceMs: 0 })) {
      told.push(event)
      await onEvent()
      if (enough()) return
    }
  }
  let goOn = () => {}
  const stalled = new Promise<void>(resolve => {
    goOn = resolve
  })
  // It takes three events, and nothing more: what comes then fills its connection, and waits.
  const following = follow(
    lost.url,
    from,
    () => false,
    () => (told.length === 3 ? stalled : undefined),
  )
  for (let n = 0; n < 10; n++) await driver.known(() => driver.submit(task(`t45-${n}`)))
  await eventually(() => expect(told).toHaveLength(3))
  for (let n = 0; n < 10; n++)
    await fleet.rows(
      `insert into events (tenant_id, name, data) select 1, 'alert.blocked', json_build_object('n', n, 'text', repeat('x', 16000))::text from generate_series(1, 60) n`,
    )
  for (let n = 10; n < 20; n++) await driver.known(() => driver.submit(task(`t45-${n}`)))
  expect(await fleet.violations()).toEqual([])
  await lost.kill()
  const broken = expect(following).rejects.toMatchObject({ code: 'unreachable' })
  goOn()
  await broken
  const before = told.length

  const stored = await fleet.rows<{ id: string }>(`select xid::text || '-' || seq as id from events`)
  const expected = stored
    .map(row => row.id)
    .filter(id => inOrder(id, from) > 0)
    .sort(inOrder)
  expect(before).toBeLessThan(expected.length) // it had not had everything yet
  await follow(fleet.coordinator(0).url, told.at(-1)?.id ?? from, () => inOrder(told.at(-1)?.id ?? '', expected.at(-1) ?? '') >= 0)
  expect(told.map(event => event.id).filter(id => inOrder(id, expected.at(-1) ?? '') <= 0)).toEqual(expected)
})
