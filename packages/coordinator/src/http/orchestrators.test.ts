import { type OrchestratorView, orchestratorLimits, RawJson } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { problemOf, testApp } from './testing/test-app.js'

const orchestrator = (changes: Partial<OrchestratorView> = {}): OrchestratorView => ({
  id: 'nightly',
  name: 'Nightly',
  description: '',
  agent_id: null,
  default_worker_agent_id: 'echo',
  thread_id: '00000000-0000-4000-8000-000000000000',
  status: 'idle',
  metadata: new RawJson('{"rate":1.0}', { rate: 1 }),
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
  ...changes,
})

function appWith() {
  const app = testApp()
  app.api.orchestratorList = [orchestrator({ id: 'default', status: 'running' }), orchestrator()]
  return app
}

describe('orchestrators', () => {
  test('are listed and shown, metadata byte for byte', async () => {
    const { api, get } = appWith()
    const list = await get('/orchestrators?status=idle&limit=5&cursor=default')
    expect(list.json<{ orchestrators: unknown[] }>().orchestrators).toHaveLength(2)
    expect((await get('/orchestrators/nightly')).body).toContain('"metadata":{"rate":1.0}')
    expect((await get('/orchestrators/nightly/settings')).body).toBe('{"default_worker_agent_id":"echo","metadata":{"rate":1.0}}')
    await get('/orchestrators')
    expect(api.calls).toEqual([
      ['orchestrators', { status: 'idle', limit: 5, cursor: 'default' }],
      ['orchestrator', 'nightly'],
      ['orchestrator', 'nightly'],
      ['orchestrators', { limit: 50 }],
    ])
  })

  test('are created with 201 and a Location', async () => {
    const { api, post } = appWith()
    const response = await post('/orchestrators', { id: 'o-2', name: 'x', agent_id: null, metadata: { maxTasks: 3, team: 'a' } })
    expect([response.statusCode, response.headers.location]).toEqual([201, '/orchestrators/o-2'])
    expect(api.calls[0]).toMatchObject([
      'createOrchestrator',
      { id: 'o-2', name: 'x', agent_id: null, metadata: { value: { maxTasks: 3 } } },
    ])
  })

  test('are changed as a whole or in their settings, get a status, and are deleted', async () => {
    const { api, send } = appWith()
    expect((await send('PATCH', '/orchestrators/nightly', { name: 'y', metadata: { maxTasks: null } })).statusCode).toBe(200)
    expect((await send('PATCH', '/orchestrators/nightly/settings', { default_worker_agent_id: null })).json()).toEqual({
      default_worker_agent_id: 'echo',
      metadata: { rate: 1 },
    })
    expect((await send('PUT', '/orchestrators/nightly/status', { status: 'running', reason: 'go' })).json()).toMatchObject({
      status: 'running',
    })
    expect((await send('DELETE', '/orchestrators/nightly')).json()).toEqual({ deleted_id: 'nightly' })
    expect(api.calls.map(([name, ...rest]) => [name, rest.length])).toEqual([
      ['updateOrchestrator', 2],
      ['updateOrchestrator', 2],
      ['setOrchestratorStatus', 3],
      ['deleteOrchestrator', 1],
    ])
    expect(problemOf(await send('PUT', '/orchestrators/default/status', { status: 'paused' }))).toMatchObject({
      status: 409,
      code: 'state_conflict',
    })
    expect(problemOf(await send('DELETE', '/orchestrators/nobody'))).toMatchObject({ status: 404, code: 'orchestrator_not_found' })
  })

  test.each(Object.entries(orchestratorLimits))('the limit %s takes whole numbers of its range, and null', async (name, { min, max }) => {
    const { api, send, post } = appWith()
    for (const value of [0, -1, min - 0.5, max + 1, 9e14, '5', true, [], {}]) {
      const response = await send('PATCH', '/orchestrators/nightly/settings', { metadata: { [name]: value } })
      expect(problemOf(response)).toMatchObject({
        status: 400,
        code: 'invalid_request',
        fields: [{ path: `metadata.${name}`, issue: `must be a whole number from ${min} to ${max}, or null for no limit` }],
      })
    }
    expect(problemOf(await post('/orchestrators', { name: 'x', metadata: { [name]: -1 } }))).toMatchObject({ status: 400 })
    expect(api.calls).toEqual([])
    for (const value of [min, max, null])
      expect((await send('PATCH', '/orchestrators/nightly/settings', { metadata: { [name]: value } })).statusCode).toBe(200)
  })

  test('every problem of a request is told at once', async () => {
    const { api, post } = appWith()
    const response = await post('/orchestrators', { id: 'No', agent_id: 'A B', metadata: { maxTasks: 0, timeout: 'x' }, status: 'running' })
    expect(problemOf(response).fields?.map(f => f.path)).toEqual([
      'id',
      'name',
      'agent_id',
      'metadata.maxTasks',
      'metadata.timeout',
      'status',
    ])
    expect(api.calls).toEqual([])
  })

  test.each([
    ['PATCH', '/orchestrators/nightly', { metadata: [] }, 'metadata'],
    ['PATCH', '/orchestrators/nightly', { metadata: { a: 'x'.repeat(65_536) } }, 'metadata'],
    ['PATCH', '/orchestrators/nightly', { name: ' ' }, 'name'],
    ['PATCH', '/orchestrators/nightly', { name: null }, 'name'],
    ['PATCH', '/orchestrators/nightly', { id: 'x' }, 'id'],
    ['PATCH', '/orchestrators/nightly', { description: 5 }, 'description'],
    ['PATCH', '/orchestrators/nightly/settings', { name: 'x' }, 'name'],
    ['PUT', '/orchestrators/nightly/status', { status: 'stopped' }, 'status'],
    ['PUT', '/orchestrators/nightly/status', {}, 'status'],
    ['PUT', '/orchestrators/nightly/status', { status: 'idle', reason: '' }, 'reason'],
    ['PUT', '/orchestrators/Nightly/status', { status: 'idle' }, 'id'],
    ['DELETE', '/orchestrators/nightly?force=true', undefined, 'force'],
  ] as const)('%s %s with %j is refused', async (method, path, body, field) => {
    const { api, send } = appWith()
    expect(problemOf(await send(method, path, body))).toMatchObject({ status: 400, code: 'invalid_request', fields: [{ path: field }] })
    expect(api.calls).toEqual([])
  })

  test('a path says which methods it takes', async () => {
    const { send, post } = appWith()
    expect((await post('/orchestrators/nightly', {})).headers.allow).toBe('GET, HEAD, PATCH, DELETE')
    expect((await send('DELETE', '/orchestrators')).headers.allow).toBe('GET, HEAD, POST')
    expect((await post('/orchestrators/nightly/status', {})).headers.allow).toBe('PUT')
  })
})

describe('everything', () => {
  test.each([
    ['pause', { paused: true, since: '2026-01-01T00:00:00Z', by: 'local', reason: 'deploy' }],
    ['resume', { paused: false, since: null, by: null, reason: null }],
  ])('POST /%s takes a reason or none, and says how things stand', async (verb, standing) => {
    const { api, post } = appWith()
    expect((await post(`/${verb}`, { reason: 'deploy' })).json()).toEqual(standing)
    expect((await post(`/${verb}`)).statusCode).toBe(200)
    expect(problemOf(await post(`/${verb}`, { reason: '' }))).toMatchObject({ status: 400, fields: [{ path: 'reason' }] })
    expect(problemOf(await post(`/${verb}`, { orchestrator_id: 'x' }))).toMatchObject({
      status: 400,
      fields: [{ path: 'orchestrator_id' }],
    })
    expect(api.calls).toEqual([
      ['controlSystem', verb, 'deploy'],
      ['controlSystem', verb, null],
    ])
  })

  test('with a key, none of it is open', async () => {
    const { api, get, post, send } = testApp({ apiKey: 'a-key-of-16-chars' })
    expect((await get('/orchestrators')).statusCode).toBe(401)
    for (const path of ['/pause', '/resume', '/orchestrators']) expect((await post(path, { name: 'x' })).statusCode).toBe(401)
    for (const method of ['PATCH', 'DELETE'] as const) expect((await send(method, '/orchestrators/nightly')).statusCode).toBe(401)
    expect(api.calls).toEqual([])
  })
})
