/** Streams of events over real sockets: their form, their limits, their end. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type EventView, RawJson } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { afterEach, expect, test, vi } from 'vitest'
import type { HttpLimits } from './limits.js'
import { createHttpServer } from './server.js'
import { FakeApi, taskOf } from './testing/fake-api.js'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(limits: Partial<HttpLimits> = {}) {
  const api = new FakeApi()
  const server = createHttpServer({ api, log: silentLogger(), host: '127.0.0.1', port: 0, version: '0', mode: 'local', limits })
  const { url } = await server.start()
  closing.push(() => server.stop())
  return { api, url, server }
}

const event = (n: number, data: unknown = null): EventView => ({
  id: `7-${n}`,
  at: '2026-01-01T00:00:00.000Z',
  name: 'task.completed',
  task_id: 't',
  orchestrator_id: 'default',
  subtask_id: null,
  subtask: null,
  attempt: null,
  agent: null,
  worker_id: null,
  data,
})

/** A connection that asked for a path and is read by the test. */
async function ask(url: string, path: string, headers = ''): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  closing.push(() => socket.destroy())
  let text = ''
  socket.setEncoding('utf8').on('data', chunk => {
    text = (text + chunk).slice(-10_000)
  })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`)
  return { socket, text: () => text }
}

const endless = (api: FakeApi) => {
  api.lastEvent = new Promise(() => undefined)
}

test('an event has its id, its name, and itself as data, line breaks and all', async () => {
  const { api, url } = await start()
  api.eventList = [event(1, new RawJson('{"a":\r\n 1.0}', { a: 1 }))]
  const response = await fetch(`${url}/events`)
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  const text = await response.text()
  expect(text.split('\n\n').slice(0, 2)).toEqual([
    'retry: 1000',
    `id: 7-1\nevent: task.completed\ndata: ${JSON.stringify(event(1)).replace('null}', '{"a":\ndata:  1.0}}')}`,
  ])
  expect(text.endsWith('event: end\ndata: {}\n\n')).toBe(true)
})

test('who takes JSON and no stream gets a page; a HEAD gets the head', async () => {
  const { api, url } = await start()
  api.eventList = [event(1), event(2)]
  const page = await fetch(`${url}/events?limit=1&names=task.*`, { headers: { accept: 'application/json' } })
  expect(await page.json()).toEqual({ events: [event(1)], next_cursor: null })
  expect(api.calls.at(-1)).toEqual(['events', { endless: true, names: ['task.*'], limit: 1 }])
  const head = await fetch(`${url}/events`, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
})

test('a position is taken from the header, which wins; a malformed one is refused, and so is the limit of a page', async () => {
  const { api, url } = await start()
  api.put(taskOf({ task_id: 't', title: 'T', subtasks: [] }))
  await (await fetch(`${url}/tasks/t/events?after=1-1`, { headers: { 'last-event-id': '2-2' } })).text()
  expect(api.calls.at(-1)).toEqual(['followEvents', { taskId: 't', after: '2-2' }])
  for (const path of [
    '/events?after=x',
    '/events?after=',
    '/events?names=nonsense',
    '/events?limit=0',
    '/events?other=1',
    '/events?names=',
  ])
    expect([path, (await fetch(url + path)).status]).toEqual([path, 400])
  expect(await (await fetch(`${url}/events?limit=5`)).json()).toMatchObject({ code: 'invalid_request', fields: [{ path: 'limit' }] })
  const refused = await fetch(`${url}/events`, { headers: { 'last-event-id': '7' } })
  expect(await refused.json()).toMatchObject({ code: 'invalid_request', fields: [{ path: 'Last-Event-ID' }] })
})

test('more streams than the limit get 429, and a place again when one has left', async () => {
  const { api, url } = await start({ maxStreams: 3 })
  endless(api)
  const open = await Promise.all([1, 2, 3].map(() => ask(url, '/events')))
  await vi.waitFor(() => expect(open.every(({ text }) => text().includes('retry:'))).toBe(true))
  const refused = await fetch(`${url}/events`)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
  open[0]?.socket.destroy()
  await vi.waitFor(async () => {
    const { text } = await ask(url, '/events')
    await vi.waitFor(() => expect(text()).toMatch(/HTTP\/1.1 200/))
  })
})

test('a quiet stream shows a sign of life now and then', async () => {
  const { api, url } = await start({ streamCommentMs: 10 })
  endless(api)
  const { text } = await ask(url, '/events')
  await vi.waitFor(() => expect(text().match(/: here\n/g)?.length).toBeGreaterThan(1))
  expect(text()).toContain('id: 0-0\n\n') // and says up to where it has come
})

test('a client that takes nothing is let go; nothing is gathered for it meanwhile', async () => {
  const { api, url } = await start({ streamStallMs: 100 })
  let pulled = 0
  let left = false
  const big = [event(1, 'x'.repeat(1_000_000))]
  api.followEvents = async () =>
    (async function* () {
      try {
        for (;;) {
          pulled++
          yield { events: big, position: '7-1' }
        }
      } finally {
        left = true
      }
    })()
  const { socket } = await ask(url, '/events')
  const gone = once(socket, 'close')
  socket.pause()
  await vi.waitFor(() => expect(left).toBe(true), { timeout: 20_000 })
  expect(pulled).toBeGreaterThan(0)
  expect(pulled).toBeLessThan(50) // what the kernel takes, and one more
  socket.resume()
  await gone
})

test('a server that stops ends its streams at once, without the word that the task has ended', async () => {
  const { api, url, server } = await start()
  endless(api)
  const { socket, text } = await ask(url, '/events')
  await vi.waitFor(() => expect(text()).toContain('retry:'))
  const gone = once(socket, 'close')
  await server.stop()
  await gone
  expect(text()).not.toContain('event: end')
})
