import { BatonError, RawJson } from '@baton/shared'
import { afterEach, describe, expect, test } from 'vitest'
import { inBatches } from './batches.js'
import { createClient } from './client.js'
import { type FakeAnswer, type FakeRequest, type FakeServer, fakeTask, problem, startFakeServer } from './testing/index.js'

let server: FakeServer | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

const retry = { initialMs: 1, maxMs: 2 }

async function clientOf(answer: (request: FakeRequest, n: number) => FakeAnswer | Promise<FakeAnswer>) {
  server = await startFakeServer(answer)
  return { baton: createClient({ url: server.url, retry }), server }
}

async function errorOf(promise: Promise<unknown>): Promise<BatonError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof BatonError)) throw new Error(`a BatonError was expected, not ${String(error)}`)
  return error
}

describe('requests', () => {
  test('a submission travels as JSON with the key', async () => {
    const started = await startFakeServer(() => ({ status: 201, body: fakeTask() }))
    server = started
    const baton = createClient({ url: `${started.url}/`, apiKey: 'a-key-of-16-chars' })
    const task = await baton.tasks.submit({ task_id: 'feature-7', title: 'Search', description: 'Add search' })
    expect(task.task_id).toBe('feature-7')
    const [request] = started.requests
    expect(request).toMatchObject({ method: 'POST', path: '/orchestrate', query: {} })
    expect(request?.headers.authorization).toBe('Bearer a-key-of-16-chars')
    expect(request?.headers['content-type']).toBe('application/json')
    expect(JSON.parse(request?.body ?? '')).toEqual({ task_id: 'feature-7', title: 'Search', description: 'Add search' })
  })

  test('values known by their text leave byte for byte', async () => {
    const { baton, server } = await clientOf(() => ({ status: 201, body: fakeTask() }))
    await baton.tasks.submit({
      task_id: 'a',
      title: 'A',
      subtasks: [{ name: 'x', capability: 'x', input: new RawJson('{ "n": 1.0 }', { n: 1 }) }],
    })
    expect(server.requests[0]?.body).toContain('"input":{ "n": 1.0 }')
  })

  test('a dry run asks for one', async () => {
    const { baton, server } = await clientOf(() => ({ body: fakeTask() }))
    await baton.tasks.submit({ task_id: 'a', title: 'A', description: 'a' }, { dryRun: true })
    expect(server.requests[0]?.query).toEqual({ dry_run: 'true' })
  })

  test('names are encoded in paths', async () => {
    const { baton, server } = await clientOf(() => ({ bytes: new Uint8Array([1, 2, 255]) }))
    const bytes = await baton.tasks.artifact('feature-7', 'build::feature-7::1', 'logs/out 1.txt')
    expect([...bytes]).toEqual([1, 2, 255])
    expect(server.requests[0]?.path).toBe('/tasks/feature-7/artifacts/build%3A%3Afeature-7%3A%3A1/logs%2Fout%201.txt')
  })

  test('filters of a list become its query', async () => {
    const { baton, server } = await clientOf(() => ({ body: { tasks: [], next_cursor: null } }))
    await baton.tasks.list({ status: ['running', 'blocked'], metadata: { team: 'web' }, limit: 5 })
    expect(server.requests[0]?.query).toEqual({ status: 'running,blocked', 'metadata.team': 'web', limit: '5' })
  })

  test('lists are read to their last page', async () => {
    const { baton } = await clientOf(({ path, query }) => {
      const first = query.cursor === undefined
      if (path === '/agents') return { body: { agents: [{ name: first ? 'a' : 'b' }], next_cursor: first ? 'c1' : null } }
      return { body: { artifacts: [{ name: first ? 'one' : 'two' }], next_cursor: first ? 'c1' : null } }
    })
    expect((await baton.agents.list()).map(agent => agent.name)).toEqual(['a', 'b'])
    expect((await baton.tasks.artifacts('t')).map(artifact => artifact.name)).toEqual(['one', 'two'])
  })

  test('health joins what lives with what is ready', async () => {
    const { baton } = await clientOf(({ path }) =>
      path === '/healthz'
        ? { body: { status: 'ok', version: '0.1.0', mode: 'fleet' } }
        : problem('unavailable', 'postgres cannot be used', { checks: { postgres: 'failing' } }),
    )
    expect(await baton.health()).toEqual({ ready: false, checks: { postgres: 'failing' }, version: '0.1.0', mode: 'fleet' })
  })
})

describe('errors', () => {
  test('a problem document becomes an error with its code, fields and extras', async () => {
    const fields = [{ path: 'title', issue: 'is required' }]
    const { baton, server } = await clientOf(() => problem('invalid_request', 'the request has a problem', { fields }))
    const error = await errorOf(baton.tasks.submit({ task_id: 'a', title: '', description: 'a' }))
    expect(error).toMatchObject({ code: 'invalid_request', message: 'the request has a problem', fields, extra: { request_id: 'r-1' } })
    expect(server.requests).toHaveLength(1)
  })

  test('a code that this version does not know is taken by its status', async () => {
    const { baton } = await clientOf(() => ({ status: 409, body: { code: 'brand_new', detail: 'not now' } }))
    expect(await errorOf(baton.tasks.get('a'))).toMatchObject({ code: 'task_conflict', message: 'not now' })
  })

  test('a server that is not a coordinator is told apart, and not asked again', async () => {
    const { baton, server } = await clientOf(() => ({
      status: 404,
      bytes: Buffer.from('<html>'),
      headers: { 'content-type': 'text/html' },
    }))
    const error = await errorOf(baton.tasks.get('a'))
    expect(error.code).toBe('unreachable')
    expect(error.message).toBe(`${server.url} answered 404 (text/html), but not as a Baton coordinator does; check BATON_URL or --url`)
    expect(server.requests).toHaveLength(1)
  })

  test('nobody at the URL is `unreachable`, with the URL and the remedy', async () => {
    const gone = await startFakeServer(() => 'break')
    await gone.stop()
    const error = await errorOf(createClient({ url: gone.url, retry }).health())
    expect(error.code).toBe('unreachable')
    expect(error.message).toBe(
      `${gone.url} does not answer (connection refused); start a coordinator there with \`baton up\`, or name another with BATON_URL or --url`,
    )
  })

  test('a server that stays silent is `unreachable` after the time limit', async () => {
    const started = await startFakeServer(() => new Promise<FakeAnswer>(() => undefined))
    server = started
    const error = await errorOf(createClient({ url: started.url, timeoutMs: 20, retry: false }).tasks.get('a'))
    expect(error.message).toContain(`${started.url} did not answer within 0.02 s`)
  })

  test('a URL that is none is refused when the client is made', () => {
    expect(() => createClient({ url: 'localhost:7420' })).toThrow('"localhost:7420" is not the URL of a coordinator')
  })
})

describe('repeats', () => {
  test('a broken connection is tried again', async () => {
    const { baton, server } = await clientOf((_, n) => (n < 3 ? 'break' : { status: 200, body: fakeTask() }))
    await baton.tasks.submit({ task_id: 'feature-7', title: 'Search', description: 'x' })
    expect(server.requests).toHaveLength(3)
  })

  test('a 503 that passes is tried again', async () => {
    const { baton, server } = await clientOf((_, n) =>
      n === 1 ? problem('unavailable', 'Postgres does not answer') : { body: fakeTask() },
    )
    await baton.tasks.get('feature-7')
    expect(server.requests).toHaveLength(2)
  })

  test('a 503 about missing agents is not', async () => {
    const { baton, server } = await clientOf(() => problem('agent_unavailable', 'no live worker offers review'))
    expect(await errorOf(baton.tasks.execute('feature-7'))).toMatchObject({ code: 'agent_unavailable' })
    expect(server.requests).toHaveLength(1)
  })

  test('repeats are bounded', async () => {
    const { baton, server } = await clientOf(() => problem('unavailable', 'Postgres does not answer'))
    expect(await errorOf(baton.tasks.get('feature-7'))).toMatchObject({ code: 'unavailable' })
    expect(server.requests).toHaveLength(5)
  })
})

describe('batches', () => {
  const request = (n: number) => ({ task_id: `t-${n}`, title: 'T', description: 'd' })

  test('are bounded by count and by size, and keep the order', () => {
    const requests = [1, 2, 3, 4, 5].map(request)
    const ids = (bounds: { maxItems: number; maxLength: number }) =>
      [...inBatches(requests, bounds)].map(batch => batch.tasks.map(task => (task.value as { task_id: string }).task_id).join())
    expect(ids({ maxItems: 2, maxLength: 1_000 })).toEqual(['t-1,t-2', 't-3,t-4', 't-5'])
    expect(ids({ maxItems: 9, maxLength: 100 })).toEqual(['t-1,t-2', 't-3,t-4', 't-5'])
    expect(ids({ maxItems: 9, maxLength: 10 })).toHaveLength(5)
  })

  test('answer each task for itself', async () => {
    const { baton, server } = await clientOf(() => ({
      body: {
        results: [
          { task_id: 't-1', status_code: 201, task: fakeTask({ task_id: 't-1' }) },
          { task_id: 't-2', status_code: 409, error: { code: 'task_conflict', detail: 'task t-2 exists with another body' } },
        ],
      },
    }))
    const [first, second] = await baton.tasks.submitMany([request(1), request(2)])
    expect(first).toMatchObject({ status_code: 201, task: { task_id: 't-1' } })
    expect(second?.error).toMatchObject({ code: 'task_conflict', message: 'task t-2 exists with another body' })
    expect(server.requests).toHaveLength(1)
    expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({ tasks: [request(1), request(2)] })
  })
})
