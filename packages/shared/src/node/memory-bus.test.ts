import { expect, test, vi } from 'vitest'
import { silentLogger } from './logger.js'
import { MemoryBusHub } from './memory-bus.js'

// What it has in common with NATS is held by test/contract/bus.test.ts.

test('a word is delivered on a later turn, never within the call', async () => {
  const bus = new MemoryBusHub().connect()
  const heard: string[] = []
  await bus.subscribe('words', {}, word => heard.push(word))
  bus.publish('words', 'x')
  expect(heard).toEqual([])
  await vi.waitFor(() => expect(heard).toEqual(['x']))
  await bus.close()
})

test('hubs do not hear each other', async () => {
  const [here, there] = [new MemoryBusHub().connect(), new MemoryBusHub().connect()]
  await there.serve('echo', {}, async text => text)
  await expect(here.request('echo', '', { timeoutMs: 100 })).rejects.toMatchObject({ reason: 'no_responders' })
  await here.close()
  await there.close()
})

test('what a listener or a handler throws is logged with its subject', async () => {
  const log = { ...silentLogger(), error: vi.fn() }
  const bus = new MemoryBusHub(log).connect()
  const fail = () => {
    throw new Error('no')
  }
  await bus.subscribe('words', {}, fail)
  await bus.serve('questions', {}, fail)
  bus.publish('words', 'x')
  await expect(bus.request('questions', '', { timeoutMs: 20 })).rejects.toMatchObject({ reason: 'timeout' })
  expect(log.error.mock.calls.map(([{ subject }]) => subject)).toEqual(['words', 'questions'])
  await bus.close()
})

test('an aborted request leaves no timer behind', async () => {
  const bus = new MemoryBusHub().connect()
  await bus.serve('silent', {}, () => new Promise(() => undefined))
  const before = process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
  const giveUp = new AbortController()
  const requests = Array.from({ length: 5 }, () => bus.request('silent', '', { timeoutMs: 60_000, signal: giveUp.signal }))
  giveUp.abort()
  await Promise.allSettled(requests)
  expect(process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length).toBe(before)
  await bus.close()
})
