import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cleanUp } from '../harness/clean-up.js'
import { eventually } from '../harness/eventually.js'
import { type Received, type Receiver, signaturesBy, startReceiver } from '../harness/receiver.js'
import { databases } from './both-databases.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'

const echo = defineAgent({ name: 'echo', concurrency: 20, run: input => input })

describe.each(databases)('on %s', (_, open) => {
  let local: OpenLocal
  let tasks = 0
  beforeAll(async () => {
    local = await startOpenLocal(await open(), { timeScale: 0.1, webhookNetworks: ['127.0.0.1'] })
    await local.host([echo])
  })
  afterAll(() => local?.stop())

  const webhooks = () => local.client.webhooks
  const run = async (callback?: string) => {
    const task_id = `w${++tasks}`
    await local.client.tasks.submit({
      task_id,
      title: 'x',
      execute: true,
      subtasks: [{ name: 'a', capability: 'echo' }],
      ...(callback !== undefined && { callback_url: callback }),
    })
    await local.client.tasks.wait(task_id)
    return task_id
  }
  const receiver = async (...answer: Parameters<typeof startReceiver>): Promise<Receiver> => {
    const started = await startReceiver(...answer)
    cleanUp(() => started.stop())
    return started
  }
  const subscribe = async (request: Parameters<ReturnType<typeof webhooks>['create']>[0]) => {
    const made = await webhooks().create(request)
    cleanUp(
      async () =>
        void (await webhooks()
          .delete(made.id)
          .catch(() => undefined)),
    )
    return made
  }
  const ofTask = (all: readonly Received[], taskId: string) => all.filter(one => one.event.task_id === taskId)

  test('a subscription is told of the events that it names, each once, signed, from its creation on', async () => {
    const { url, received } = await receiver()
    const before = await run()
    const { id, secret } = await subscribe({ url: `${url}/hook`, events: ['task.*', 'subtask.completed'] })
    const taskId = await run()
    await eventually(() => expect(ofTask(received, taskId)).toHaveLength(4))
    expect(
      ofTask(received, taskId)
        .map(one => one.type)
        .sort(),
    ).toEqual(['subtask.completed', 'task.completed', 'task.planned', 'task.started'])
    expect(ofTask(received, before)).toEqual([])
    const events = (await local.client.events.list({ taskId, limit: 100 })).events
    for (const one of ofTask(received, taskId)) {
      expect(signaturesBy(secret, one)).toBe(1)
      expect(JSON.parse(one.body)).toEqual({
        type: one.type,
        timestamp: one.event.at,
        data: events.find(event => event.id === one.event.id),
      })
      expect(one.id).toBe(`${id}_${one.event.id.replace('-', '_')}`)
      expect(one.path).toBe('/hook')
    }
    expect(new Set(received.map(one => one.id)).size).toBe(received.length)
    await eventually(async () => {
      const { deliveries } = await webhooks().deliveries(id)
      expect(deliveries.map(({ state, tries }) => [state, tries.at(-1)?.status])).toEqual(received.map(() => ['delivered', 204]))
    })
  })

  test('a task calls back, and only to where it said; the keys of callbacks come by rotation', async () => {
    const { url, received } = await receiver()
    const { secret } = await webhooks().rotate('callbacks', { overlap_seconds: 0 }) // also before the first one
    await run(`${url}/first`)
    const [mine, other] = [await run(`${url}/mine`), await run(`${url}/other`)]
    await run()
    await eventually(() => expect(received.filter(one => one.type === 'task.completed')).toHaveLength(3))
    for (const [taskId, path] of [
      [mine, '/mine'],
      [other, '/other'],
    ] as const) {
      expect(
        ofTask(received, taskId)
          .map(one => one.type)
          .sort(),
      ).toEqual(['task.completed', 'task.planned', 'task.started'])
      for (const one of ofTask(received, taskId)) expect([one.path, signaturesBy(secret, one)]).toEqual([path, 1])
    }
    expect(await webhooks().get('callbacks')).toMatchObject({ kind: 'callbacks', url: null })
    await expect(webhooks().delete('callbacks')).rejects.toMatchObject({ code: 'state_conflict' })
  })

  test('after a rotation both keys sign for as long as was said; a key of one’s own is taken', async () => {
    const { url, received } = await receiver()
    const own = `whsec_${Buffer.alloc(24, 7).toString('base64')}`
    const { id, secret } = await subscribe({ url, events: ['task.completed'], secret: own })
    expect(secret).toBe(own)
    const next = await webhooks().rotate(id, { overlap_seconds: 3_600 })
    expect(next.previous_secret_until).not.toBeNull()
    await run()
    await eventually(() => expect(received).toHaveLength(1))
    expect([own, next.secret].map(key => received[0] && signaturesBy(key, received[0]))).toEqual([1, 1])
    const last = await webhooks().rotate(id, { overlap_seconds: 0 })
    await run()
    await eventually(() => expect(received).toHaveLength(2))
    expect([own, next.secret, last.secret].map(key => received[1] && signaturesBy(key, received[1]))).toEqual([0, 0, 1])
  })

  test('what agents stream cannot be asked for, since it is not sent', async () => {
    const asked = webhooks().create({ url: 'https://example.com/hook', events: ['task.*', 'subtask.output'] })
    await expect(asked).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('events[1]') })
    await expect(asked).rejects.toThrow(/not sent; follow the stream/)
  })

  test('secrets are shown once, and in nothing else', async () => {
    const { url } = await receiver()
    const { id, secret } = await subscribe({ url: `${url}/hook?token=hidden` })
    const shown = JSON.stringify([await webhooks().list(), await webhooks().get(id), await webhooks().update(id, { description: 'x' })])
    const told = await eventually(async () => {
      const all = JSON.stringify((await local.client.events.list({ names: ['webhook.*'], limit: 1_000 })).events)
      expect(all).toContain(id)
      return all
    })
    for (const hidden of [secret, secret.slice(6), 'hidden']) expect(shown + told).not.toContain(hidden)
  })

  test('what fails is tried again under the same id, with longer pauses, and given up when its time is over', async () => {
    let failing = true
    const { url, received } = await receiver((_, response) => void response.writeHead(failing ? 500 : 200).end('no\u001b[31mt now'))
    const { id } = await subscribe({ url, events: ['task.completed'] })
    await run()
    await eventually(() => expect(received.length).toBeGreaterThan(1), { timeoutMs: 10_000 })
    expect(new Set(received.map(one => one.id)).size).toBe(1)
    const [delivery] = (await webhooks().deliveries(id, { state: 'pending' })).deliveries
    expect(delivery?.tries[0]).toMatchObject({ status: 500, error: 'answered 500: no [31mt now' })
    // A day is over: the next failure is the last one.
    await local.database.query(
      { text: `update webhook_deliveries set give_up_at = clock_timestamp(), next_at = clock_timestamp() where pk = $1` },
      [delivery?.id],
    )
    await eventually(async () => expect((await webhooks().deliveries(id, { state: 'given_up' })).deliveries).toHaveLength(1), {
      timeoutMs: 10_000,
    })
    await eventually(async () => {
      const alerts = (await local.client.events.list({ names: ['alert.webhook'], limit: 100 })).events
      expect(alerts.at(-1)?.data).toMatchObject({ webhook_id: id, delivery_id: delivery?.id, event: 'task.completed' })
    })
    // A person replays it, by itself or since a time: the same id once more.
    failing = false
    await webhooks().replayDelivery(id, delivery?.id ?? '')
    await eventually(async () => expect((await webhooks().deliveries(id, { state: 'delivered' })).deliveries).toHaveLength(1))
    const count = received.length
    expect(await webhooks().replay(id, { since: new Date(0).toISOString(), state: 'given_up' })).toEqual({ replayed: 0 })
    expect(await webhooks().replay(id, { since: new Date(0).toISOString() })).toEqual({ replayed: 1 })
    await eventually(() => expect(received.length).toBe(count + 1))
    expect(new Set(received.map(one => one.id)).size).toBe(1)
  })

  test('while it is switched off nothing is sent; who is unknown is told so', async () => {
    const { url, received } = await receiver()
    const { id } = await subscribe({ url, events: ['task.completed'], enabled: false })
    const other = await receiver()
    await subscribe({ url: other.url, events: ['task.completed'] })
    await run()
    await eventually(() => expect(other.received).toHaveLength(1)) // by now it has been looked at
    await webhooks().update(id, { enabled: true })
    const taskId = await run()
    await eventually(() => expect(received.map(one => one.event.task_id)).toEqual([taskId]))
    await expect(webhooks().get('wh-nobody')).rejects.toMatchObject({ code: 'webhook_not_found' })
    for (const since of ['0000-01-01T00:00:00Z', 'yesterday'])
      await expect(webhooks().replay(id, { since })).rejects.toMatchObject({ code: 'invalid_request', fields: [{ path: 'since' }] })
    expect(await webhooks().replay(id, { since: '0001-01-01T00:00:00+23:00', until: '0001-01-01T00:00:00+23:00' })).toEqual({ replayed: 0 })
    await expect(webhooks().replayDelivery(id, '999999999')).rejects.toMatchObject({ code: 'delivery_not_found' })
    await webhooks().delete(id)
    await expect(webhooks().deliveries(id)).rejects.toMatchObject({ code: 'webhook_not_found' })
  })

  test('addresses that are not public are refused, at registration and for callbacks, and nothing is stored', async () => {
    for (const url of [
      'http://127.0.0.2/',
      'http://[::1]/',
      'http://10.0.0.1/',
      'http://169.254.169.254/latest',
      'file:///etc/passwd',
      'http://a@127.0.0.1/',
    ]) {
      await expect(webhooks().create({ url }), url).rejects.toMatchObject({ code: 'invalid_request', fields: [{ path: 'url' }] })
      await expect(run(url), url).rejects.toMatchObject({ code: 'invalid_request', fields: [{ path: 'callback_url' }] })
      await expect(local.client.tasks.get(`w${tasks}`)).rejects.toMatchObject({ code: 'task_not_found' })
    }
    expect((await webhooks().list()).webhooks.map(webhook => webhook.id)).toEqual(['callbacks'])
  })
})
