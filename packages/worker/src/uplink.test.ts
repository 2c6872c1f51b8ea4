import { failure, subjects } from '@baton/shared'
import { MemoryBusHub, silentLogger } from '@baton/shared/node'
import { afterEach, expect, test } from 'vitest'
import { type Answer, startFakeCoordinator } from './testing/fake-coordinator.js'
import { Uplink, type UplinkRequest } from './uplink.js'

let hub = new MemoryBusHub()
const buses: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close()
  hub = new MemoryBusHub()
})
const connect = () => {
  const bus = hub.connect()
  buses.push(bus)
  return bus
}
const makeUplink = () => new Uplink({ bus: connect(), subjects: subjects('test'), log: silentLogger() })
const read: UplinkRequest = {
  type: 'read',
  worker_id: 'w1',
  subtask: '1',
  claim_id: 'c',
  what: { kind: 'input' },
  offset: 0,
}
const never = new AbortController().signal
const busy: Answer = { busy: failure('unavailable', 'not now') }

test('a request is repeated until it is answered', async () => {
  const coordinator = await startFakeCoordinator(connect(), { read: (_, n) => (n < 4 ? busy : { body: { n } }) })
  expect(await makeUplink().ask(read, never)).toEqual({ n: 4 })
  expect(coordinator.requests).toHaveLength(4)
})

test('a request waits for a coordinator that comes later', async () => {
  const asked = makeUplink().ask(read, never)
  await startFakeCoordinator(connect(), { read: () => ({ body: 'late' }) })
  expect(await asked).toBe('late')
})

test.each<[string, Answer]>([
  ['is busy', busy],
  ['fails in a way that passes', { error: failure('internal', 'a fault') }],
  ['does not answer in time', 'silence'],
])('a request whose coordinator %s goes to another', async (_, answer) => {
  const own = await startFakeCoordinator(connect(), { read: () => answer }, { id: 'own', alone: true })
  const other = await startFakeCoordinator(connect(), { read: () => ({ body: 'other' }) }, { id: 'other' })
  const uplink = makeUplink()
  uplink.stickTo('own', 400)
  expect(await uplink.ask(read, never)).toBe('other')
  expect([own.requests.length, other.requests.length]).toEqual([1, 1])
  // And it stays there.
  await other.stop()
  const third = await startFakeCoordinator(connect(), {}, { id: 'third' })
  await startFakeCoordinator(connect(), { read: () => ({ body: 'still' }) }, { id: 'other', alone: true })
  expect(await uplink.ask(read, never)).toBe('still')
  expect([own.requests.length, third.requests.length]).toEqual([1, 0])
})

test('a request is not handed to a silent coordinator twice: all are asked, whoever else the group would choose', async () => {
  const one = async (i: number) => {
    const named = subjects(`silent${i}`)
    const silent = await startFakeCoordinator(connect(), { read: () => 'silence' }, { id: 'silent', named })
    await startFakeCoordinator(connect(), { read: () => ({ body: 'heard' }) }, { id: 'other', named })
    const uplink = new Uplink({ bus: connect(), subjects: named, log: silentLogger() })
    uplink.stickTo('silent', 100)
    expect(await uplink.ask(read, never)).toBe('heard')
    expect(silent.requests.length).toBeLessThanOrEqual(2) // by name, and together with the other
  }
  await Promise.all(Array.from({ length: 20 }, (_, i) => one(i)))
})

test('coordinators that are not asked all together yet are reached through their group', async () => {
  const named = { ...subjects('test'), everyCoordinator: 'test.unknown' }
  await startFakeCoordinator(connect(), { read: (_, n) => (n === 1 ? 'silence' : { body: 'at last' }) }, { named })
  const uplink = makeUplink()
  uplink.stickTo('c1', 400)
  expect(await uplink.ask(read, never)).toBe('at last')
})

test('a request whose coordinator is gone goes to the group at once', async () => {
  await startFakeCoordinator(connect(), { read: () => ({ body: 'other' }) }, { id: 'other' })
  const uplink = makeUplink()
  uplink.stickTo('gone', 3_600_000)
  expect(await uplink.ask(read, never)).toBe('other')
})

test('while it is answered it stays with its coordinator', async () => {
  const own = await startFakeCoordinator(connect(), { read: () => ({ body: 1 }) }, { id: 'own', alone: true })
  const other = await startFakeCoordinator(connect(), {}, { id: 'other' })
  const uplink = makeUplink()
  uplink.stickTo('own', 6_000)
  for (let i = 0; i < 5; i++) await uplink.ask(read, never)
  expect([own.requests.length, other.requests.length]).toEqual([5, 0])
})

test('an error that will not pass is thrown, and not repeated', async () => {
  const coordinator = await startFakeCoordinator(connect(), { read: () => ({ error: failure('invalid_request', 'protocol version 9') }) })
  await expect(makeUplink().ask(read, never)).rejects.toMatchObject({ code: 'internal', message: 'protocol version 9' })
  expect(coordinator.requests).toHaveLength(1)
})

test('a request is given up when its signal is aborted, also while it waits for an answer', async () => {
  const controller = new AbortController()
  await startFakeCoordinator(connect(), {
    read: () => {
      controller.abort()
      return 'silence'
    },
  })
  await expect(makeUplink().ask(read, controller.signal)).rejects.toMatchObject({ code: 'attempt_aborted' })
  await expect(makeUplink().ask(read, AbortSignal.abort())).rejects.toMatchObject({ code: 'attempt_aborted' })
})

test('a request for a coordinator of its own goes there, and the worker stays with the other one', async () => {
  const usual = await startFakeCoordinator(connect(), { read: () => ({ body: 'usual' }) }, { id: 'usual' })
  const knowing = await startFakeCoordinator(connect(), { read: () => ({ body: 'knowing' }) }, { id: 'knowing', alone: true })
  const uplink = makeUplink()
  uplink.stickTo('usual', 400)
  expect(await uplink.ask(read, never, 'knowing')).toBe('knowing')
  expect(await uplink.ask(read, never)).toBe('usual')
  expect([usual.requests.length, knowing.requests.length]).toEqual([1, 1])
})

test.each<[string, Answer | undefined]>([
  ['is busy', busy],
  ['does not answer in time', 'silence'],
  ['is not there', undefined],
])('a request for a coordinator that %s goes to another, and the next one does at once', async (_, answer) => {
  const usual = await startFakeCoordinator(connect(), { read: () => ({ body: 'usual' }) }, { id: 'usual' })
  const knowing = answer && (await startFakeCoordinator(connect(), { read: () => answer }, { id: 'knowing', alone: true }))
  const uplink = makeUplink()
  uplink.stickTo('usual', 400)
  for (let n = 0; n < 3; n++) expect(await uplink.ask(read, never, 'knowing')).toBe('usual')
  expect(usual.requests).toHaveLength(3)
  expect(knowing?.requests.length ?? 1).toBe(1)
})
