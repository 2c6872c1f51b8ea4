import { createLogger } from '@baton/shared/node'
import { ManualClock } from '@baton/shared/testing'
import { describe, expect, test } from 'vitest'
import { problemOf, testApp } from './testing/test-app.js'

const apiKey = 'a-key-of-some-length'
const data = [
  '/tasks',
  '/tasks/t-1',
  '/tasks/t-1/artifacts',
  '/tasks/t-1/artifacts/s/n',
  '/agents',
  '/workers',
  '/workers/w',
  '/nowhere',
  '/tasks/a%20b',
]
const open = ['/', '/docs', '/openapi.json', '/healthz', '/readyz']

describe('without a key', () => {
  test.each(['localhost', 'LOCALHOST:7420', '127.0.0.1:7420', '127.0.0.1', '[::1]', '[::1]:7420'])(
    'the Host %s is answered',
    async host => {
      expect((await testApp().get('/tasks', { host })).statusCode).toBe(200)
    },
  )

  test.each([
    'evil.example',
    'localhost.evil.example',
    'localhost.',
    '127.0.0.1.evil.example',
    '10.0.0.1:7420',
    '[::2]',
    'localhost:x',
    'user@localhost',
  ])('the Host %j is refused', async host => {
    const { api, get } = testApp()
    for (const path of ['/tasks', '/', '/healthz', '/nowhere'])
      expect(problemOf(await get(path, { host }))).toMatchObject({
        status: 403,
        code: 'forbidden',
        detail: expect.stringContaining('BATON_API_KEY'),
      })
    expect(api.calls).toEqual([])
  })

  test.each(['http://evil.example', 'null', 'https://localhost', 'http://localhost:8000', 'http://127.0.0.1'])(
    'a request from the origin %s is refused',
    async origin => {
      const { api, post } = testApp()
      expect(problemOf(await post('/execute/t-1', undefined, { origin }))).toMatchObject({ status: 403, code: 'forbidden' })
      expect(api.calls).toEqual([])
    },
  )

  test('a request from its own page is answered, and nobody else may read answers', async () => {
    const response = await testApp().get('/tasks', { host: 'localhost:7420', origin: 'http://localhost:7420' })
    expect(response.statusCode).toBe(200)
    expect(Object.keys(response.headers).filter(name => name.startsWith('access-control'))).toEqual([])
  })
})

describe('with a key', () => {
  const authorization = `Bearer ${apiKey}`

  test.each(data)('GET %s needs it', async path => {
    const { api, get } = testApp({ apiKey })
    for (const headers of [
      {},
      { authorization: 'Bearer' },
      { authorization: 'Bearer ' },
      { authorization: apiKey },
      { authorization: `Basic ${apiKey}` },
      { authorization: `Bearer ${apiKey}x` },
      { authorization: `Bearer ${apiKey.slice(1)}` },
      { cookie: `key=${apiKey}` },
    ]) {
      const response = await get(path, headers as Record<string, string>)
      expect(problemOf(response)).toMatchObject({ status: 401, code: 'unauthorized' })
      expect(response.headers['www-authenticate']).toBe('Bearer realm="baton"')
      expect(response.body).not.toContain(apiKey)
    }
    expect(api.calls).toEqual([])
  })

  test.each(open)('GET %s is open', async path => {
    expect((await testApp({ apiKey }).get(path)).statusCode).toBe(200)
  })

  test('whoever shows it may ask, under any Host', async () => {
    const { get, post } = testApp({ apiKey })
    expect((await get('/tasks', { authorization, host: 'baton.example' })).statusCode).toBe(200)
    expect((await get('/tasks', { authorization: `bearer  ${apiKey}` })).statusCode).toBe(200)
    expect((await post('/orchestrate', { task_id: 't', title: 't', description: 'd' }, { authorization })).statusCode).toBe(201)
  })

  test('in a URL it is refused even where none is needed, and never logged', async () => {
    let logged = ''
    const log = createLogger({
      level: 'trace',
      destination: {
        write: line => {
          logged += line
        },
      },
    })
    const { api, get } = testApp({ apiKey, log })
    for (const url of [
      `/tasks?api_key=${apiKey}`,
      `/tasks/${apiKey}`,
      `/tasks?q=${apiKey}`,
      `/tasks?access_token=wrong`,
      `/?token=${apiKey}`,
      `/healthz?key=${apiKey}`,
      `/tasks?${apiKey}=1`,
      `/nowhere?x=1&X-Api-Key=`,
    ]) {
      const response = await get(url, { authorization })
      expect(problemOf(response)).toMatchObject({ status: 401, code: 'unauthorized', detail: expect.stringContaining('Authorization') })
      expect(response.body).not.toContain(apiKey)
    }
    await get(`/tasks/${apiKey}`, { authorization: 'Bearer other' })
    expect(api.calls).toEqual([])
    expect(logged).toContain('answered')
    expect(logged).not.toContain(apiKey)
  })

  test('too many wrong keys from one address are answered 429, while the right one is let in', async () => {
    const clock = new ManualClock()
    const { get } = testApp({ apiKey, clock, limits: { badKeysPerMinute: 3 } })
    const wrong = () => get('/tasks', { authorization: 'Bearer wrong' })
    for (let i = 0; i < 3; i++) expect((await wrong()).statusCode).toBe(401)
    clock.advance(10_000)
    const response = await wrong()
    expect(problemOf(response)).toMatchObject({ status: 429, code: 'too_many_requests', retry_after_seconds: 50 })
    expect(response.headers['retry-after']).toBe('50')
    expect((await get('/tasks', { authorization })).statusCode).toBe(200)
    expect((await get('/tasks')).statusCode).toBe(401) // no key at all is no guess
    clock.advance(50_000)
    expect((await wrong()).statusCode).toBe(401)
  })

  test('why a store does not answer is for those who may know', async () => {
    const reason = 'postgres://baton:secret@db.internal refused'
    for (const [options, shown] of [
      [{ apiKey }, 'failing'],
      [{}, 'postgres://baton:***@db.internal refused'],
    ] as const) {
      const { api, get } = testApp(options)
      api.checks = { database: reason, bus: 'ok' }
      const response = await get('/readyz')
      expect(problemOf(response)).toMatchObject({ status: 503, code: 'unavailable', checks: { database: shown, bus: 'ok' } })
    }
  })
})

test('every answer carries the security headers and a request id', async () => {
  const { get, post } = testApp()
  for (const response of [
    await get('/tasks'),
    await get('/nowhere'),
    await post('/tasks'),
    await get('/%zz'),
    await get('/'),
    await get('/healthz'),
  ]) {
    expect(response.headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'x-request-id': expect.stringMatching(/^req_[\w-]{16}$/),
    })
    expect(response.headers['content-security-policy']).toContain("default-src 'none'")
  }
})
