/** The commands that tell what happens, and those about webhooks and keys. */
import { type FakeAnswer, type FakeRequest, type FakeServer, fakeSubtask, fakeTask, problem, startFakeServer } from '@baton/client/testing'
import type { DeliveryView, EventView, KeyView, WebhookView } from '@baton/shared'
import { afterEach, describe, expect, test } from 'vitest'
import { run } from './program.js'
import { testIo } from './testing/test-io.js'

let server: FakeServer | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

async function baton(argv: readonly string[], answer: (request: FakeRequest, n: number) => FakeAnswer) {
  const started = await startFakeServer(answer)
  server = started
  const io = testIo({ env: { BATON_URL: started.url } })
  const code = await run(argv, io)
  return { code, out: io.out(), err: io.err(), requests: started.requests }
}

const event = (n: number, changes: Partial<EventView> = {}): EventView => ({
  id: `7-${n}`,
  at: '2026-01-01T00:00:00.000Z',
  name: 'subtask.completed',
  task_id: 'feature-7',
  orchestrator_id: 'default',
  subtask_id: 'build::feature-7::1',
  subtask: 'build',
  attempt: 1,
  agent: 'dev',
  worker_id: null,
  data: null,
  ...changes,
})
const frames = (...events: EventView[]) => events.map(one => `id: ${one.id}\nevent: ${one.name}\ndata: ${JSON.stringify(one)}\n\n`).join('')
const stream = (text: string): FakeAnswer => ({ bytes: Buffer.from(text), headers: { 'content-type': 'text/event-stream' } })

describe('events', () => {
  test('a line for each event, until the task has ended; a stream that breaks is resumed', async () => {
    const evil = event(2, { name: 'subtask.output', data: { from: 0, chunks: ['\u001b[31mred'] } })
    const { code, out, requests } = await baton(['events', 'feature-7', '--names', 'subtask.*'], (_, n) =>
      n === 1 ? stream(`retry: 1000\n\n: here\n\n${frames(event(1))}`) : stream(`${frames(evil)}event: end\ndata: {}\n\n`),
    )
    expect(code).toBe(0)
    expect(out).toBe(
      '2026-01-01T00:00:00.000Z 7-1 subtask.completed feature-7 build #1 (dev)\n' +
        '2026-01-01T00:00:00.000Z 7-2 subtask.output feature-7 build #1 (dev) {"from":0,"chunks":["\\u001b[31mred"]}\n',
    )
    expect(requests.map(({ path, query, headers }) => [path, query, headers['last-event-id']])).toEqual([
      ['/tasks/feature-7/events', { names: 'subtask.*' }, undefined],
      ['/tasks/feature-7/events', { names: 'subtask.*' }, '7-1'],
    ])
  })

  test('what is about no task names its worker, if it has one', async () => {
    const none = { task_id: null, orchestrator_id: null, subtask_id: null, subtask: null, attempt: null, agent: null }
    const { out } = await baton(['events', 'feature-7'], () =>
      stream(
        `${frames(event(1, { ...none, name: 'worker.lost', worker_id: 'w-1' }), event(2, { ...none, name: 'system.paused' }))}event: end\ndata: {}\n\n`,
      ),
    )
    expect(out).toBe('2026-01-01T00:00:00.000Z 7-1 worker.lost w-1\n2026-01-01T00:00:00.000Z 7-2 system.paused\n')
  })

  test('--json prints one event a line', async () => {
    const { out } = await baton(['events', 'feature-7', '--json', '--after', '7-0'], () =>
      stream(`${frames(event(1))}event: end\ndata: {}\n\n`),
    )
    expect(JSON.parse(out)).toEqual(event(1))
  })
})

test('--after of something else is said by the name of the flag, before anybody is asked', async () => {
  const { code, err, requests } = await baton(['events', '--after', 'x'], () => stream(''))
  expect([code, requests]).toEqual([2, []])
  expect(err).toContain('--after takes the id of an event, such as 1234-56, not "x"')
})

describe('an outage', () => {
  test('of events is said once, and once when it is over; a stream that is open again at once is none', async () => {
    const { code, out, err } = await baton(['events', 'feature-7'], (_, n) => {
      if (n === 2) return stream(frames(event(2)))
      if (n >= 3 && n <= 6) return 'break'
      return n === 1 ? stream(frames(event(1))) : stream(`${frames(event(3))}event: end\ndata: {}\n\n`)
    })
    expect(code).toBe(0)
    expect(out.split('\n')).toHaveLength(4)
    expect(err.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^baton: the connection to http:.* is lost, it is tried again: /),
      expect.stringMatching(/^baton: http:.* answers again$/),
    ])
  })

  test('of a task that is watched likewise', async () => {
    let asked = 0
    const { code, err } = await baton(['status', 'feature-7', '--watch'], ({ path }) => {
      if (path !== '/tasks/feature-7') return problem('task_not_found', 'no stream here')
      asked++
      if (asked >= 2 && asked <= 4) return 'break'
      return { body: fakeTask({ status: asked === 1 ? 'running' : 'completed' }), headers: { etag: `"${asked}"` } }
    })
    expect(code).toBe(0)
    expect(err.trimEnd().split('\n')).toEqual([expect.stringContaining(' is lost, '), expect.stringContaining(' again')])
  })
})

describe('watching what agents stream', () => {
  const output = (n: number, from: number, chunks: string[]) => event(n, { name: 'subtask.output', data: { from, chunks } })
  const task = (status: 'running' | 'completed') =>
    fakeTask({
      status,
      subtasks: [fakeSubtask('build', { subtask_id: 'build::feature-7::1', state: status, attempt: 1 })],
    })

  test('lines are shown when they are whole, and what is left when the subtask has ended, before the end of the task', async () => {
    let asked = 0
    const { code, out, requests } = await baton(['status', 'feature-7', '--watch'], ({ path }) => {
      if (path === '/tasks/feature-7/events')
        return stream(`${frames(output(1, 0, ['Hel', 'lo\nwor']), output(2, 2, ['ld \u001b[31m']))}event: end\ndata: {}\n\n`)
      if (path === '/events') return stream('')
      asked++
      return { body: task(asked === 1 ? 'running' : 'completed'), headers: { etag: `"${asked}"` } }
    })
    expect(code).toBe(0)
    expect(out).toMatch(/ build │ Hello\n[\s\S]* build │ world \\u001b\[31m\n[\s\S]*feature-7 completed/)
    expect(requests.filter(({ path }) => path === '/tasks/feature-7/events').map(({ query }) => query)).toEqual([
      { names: 'subtask.output' },
    ])
  })

  test('--json prints snapshots only, and asks for no more', async () => {
    const { out, requests } = await baton(['status', 'feature-7', '--watch', '--json'], () => ({
      body: task('completed'),
      headers: { etag: '"1"' },
    }))
    expect(out.trim().split('\n')).toHaveLength(1)
    expect(requests.map(({ path }) => path)).toEqual(['/tasks/feature-7'])
  })
})

const webhook: WebhookView = {
  id: 'wh-1',
  kind: 'subscription',
  url: 'https://example.com/hook',
  events: ['task.*'],
  description: '',
  enabled: true,
  previous_secret_until: null,
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
}
const delivery: DeliveryView = {
  id: '9',
  webhook_id: 'wh-1',
  message_id: 'wh-1_7_8',
  event_id: '7-8',
  event: 'task.completed',
  at: '2026-01-01T00:00:00.000Z',
  task_id: 'feature-7',
  state: 'given_up',
  attempts: 30,
  next_at: null,
  ended_at: '2026-01-02T00:00:00.000Z',
  tries: [{ at: '2026-01-02T00:00:00.000Z', ms: 3, status: 500, error: 'answered 500' }],
}

const key: KeyView = {
  id: 'key-1',
  name: 'ci',
  scope: 'submit',
  tenant: 'default',
  created_at: '2026-01-01T00:00:00.000Z',
  created_by: 'api_key',
  revoked_at: null,
  last_used_at: null,
}

describe('keys', () => {
  test('are listed without a verb', async () => {
    const { out, requests } = await baton(['keys', '--revoked'], () => ({ body: { keys: [key], next_cursor: null } }))
    expect(out).toMatch(/^KEY +NAME +SCOPE +STATE +MADE +LAST USED\nkey-1 +ci +submit +in force +2026-01-01T00:00:00.000Z +never\n$/)
    expect(requests[0]).toMatchObject({ path: '/keys', query: { revoked: 'true', limit: '100' } })
  })

  test('are made with the scope that was asked for, and shown once; and revoked', async () => {
    const made = await baton(['keys', 'create', 'ci', '--scope', 'submit'], () => ({ status: 201, body: { ...key, secret: 'baton_x' } }))
    expect([made.code, made.requests[0]?.body]).toEqual([0, '{"name":"ci","scope":"submit"}'])
    expect(made.out).toMatch(/\nbaton_x\n$/)
    await server?.stop()
    const revoked = await baton(['keys', 'revoke', 'key-1'], () => ({ body: { ...key, revoked_at: '2026-01-02T00:00:00.000Z' } }))
    expect(revoked.requests.map(({ method, path }) => [method, path])).toEqual([['DELETE', '/keys/key-1']])
    expect(revoked.out).toContain('is revoked')
  })

  test.each([[['nonsense']], [['create', 'ci']], [['create', '--scope', 'read']], [['create', 'ci', '--scope', 'root']], [['revoke']]])(
    '%j is refused before anything is asked',
    async argv => {
      const { code, err, requests } = await baton(['keys', ...argv], () => ({ body: {} }))
      expect([code, requests.length]).toEqual([2, 0])
      expect(err).not.toBe('')
    },
  )
})

describe('webhooks', () => {
  test('are listed without a verb, and show where they send what', async () => {
    const { out } = await baton(['webhooks'], () => ({ body: { webhooks: [webhook], next_cursor: null } }))
    expect(out).toMatch(/^WEBHOOK +STATE +EVENTS +URL +DESCRIPTION\nwh-1 +enabled +task\.\* +https:\/\/example\.com\/hook\n$/)
  })

  test.each<[string, string[], FakeAnswer, [string, string, string], RegExp]>([
    [
      'add',
      ['https://example.com/hook', '--events', 'task.*, alert.*'],
      { status: 201, body: { ...webhook, secret: 'whsec_x' } },
      ['POST', '/webhooks', '{"url":"https://example.com/hook","events":["task.*","alert.*"]}'],
      /whsec_x/,
    ],
    ['remove', ['wh-1'], { body: { deleted_id: 'wh-1' } }, ['DELETE', '/webhooks/wh-1', ''], /gone/],
    ['disable', ['wh-1'], { body: { ...webhook, enabled: false } }, ['PATCH', '/webhooks/wh-1', '{"enabled":false}'], /sends nothing/],
    [
      'rotate',
      ['wh-1', '--overlap', '1h'],
      { body: { ...webhook, secret: 'whsec_y' } },
      ['POST', '/webhooks/wh-1/rotate', '{"overlap_seconds":3600}'],
      /whsec_y/,
    ],
    [
      'deliveries',
      ['wh-1', '--state', 'given_up'],
      { body: { deliveries: [delivery], next_cursor: null } },
      ['GET', '/webhooks/wh-1/deliveries', ''],
      /given up +task\.completed +feature-7 .*answered 500/,
    ],
    ['replay', ['wh-1', '9'], { status: 202, body: delivery }, ['POST', '/webhooks/wh-1/deliveries/9/replay', ''], /wh-1_7_8/],
    [
      'replay',
      ['wh-1', '--since', '2026-01-01T00:00:00Z'],
      { status: 202, body: { replayed: 2 } },
      ['POST', '/webhooks/wh-1/replay', '{"since":"2026-01-01T00:00:00Z"}'],
      /2 deliveries/,
    ],
  ])('%s %j', async (verb, rest, answer, [method, path, body], said) => {
    const { code, out, requests } = await baton(['webhooks', verb, ...rest], () => answer)
    expect([code, requests.map(one => [one.method, one.path, one.body])]).toEqual([0, [[method, path, body]]])
    expect(out).toMatch(said)
  })

  test.each([
    [['nonsense']],
    [['add']],
    [['replay', 'wh-1']],
    [['deliveries', 'wh-1', '--state', 'x']],
    [['rotate', 'wh-1', '--overlap', 'x']],
    [['replay', 'wh-1', '--since', 'x']],
  ])('%j is refused before anything is asked', async rest => {
    const { code, requests } = await baton(['webhooks', ...rest], () => ({ body: {} }))
    expect([code, requests.length]).toEqual([2, 0])
  })
})
