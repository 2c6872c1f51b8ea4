/** Every route says which key it needs, everybody is told, and no other key gets in. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Access, allows, type KeyScope, keyScopes } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import type { KeyHolder } from '../commands/key-ring.js'
import type { MadeKeys } from './access.js'
import type { OpenApi } from './openapi.js'
import { neededBy, type Route } from './route.js'
import { routeAccess } from './scopes.js'
import { problemOf, testApp } from './testing/test-app.js'

const apiKey = 'the-key-of-the-environment'
const keyOf = (scope: KeyScope) => `baton_${scope.padEnd(43, '-')}`
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const holders = keyScopes.map((scope): KeyHolder => {
  return { id: `key-${scope}`, name: `the ${scope} key`, tenantId: 1, scope, hash: sha256(keyOf(scope)) }
})
const made: MadeKeys = {
  withHash: async hash => holders.find(holder => holder.hash === hash),
  withId: async id => holders.find(holder => holder.id === id),
}
const queuePages = {
  answer: async () => ({ status: 200, headers: { 'content-type': 'text/html' }, content: 'the queues' }),
}
const metrics = { render: async () => ({ contentType: 'text/plain', text: '' }) }
const app = () => testApp({ apiKey, keys: made, queuePages, metrics })

const asText = (needed: Access): string => (needed === 'open' ? 'none' : needed.worker ? `${needed.level}, worker` : needed.level)
const pathOf = (route: Route) =>
  route.path.replace(/:(\w+)/g, (_, name: string) => ({ task_id: 't-1', subtask_id: 'c::t-1::1', name: 'n' })[name] ?? 'x-1')

describe('every route', () => {
  test('says which key it needs, and nothing says so that is no route', () => {
    const { routes } = app()
    expect(routes.map(({ id }) => id).sort()).toEqual(Object.keys(routeAccess).sort())
    expect(() => neededBy('a route of tomorrow')).toThrow('scopes.ts')
  })

  test('says it in docs/access.md, and in the OpenAPI document', async () => {
    const { routes, get } = app()
    const text = await readFile(new URL('../../../../docs/access.md', import.meta.url), 'utf8')
    const documented = [...text.matchAll(/^\| `(\w+ \/\S*)` +\| ([\w, ]+?) +\|$/gm)].map(match => [match[1], match[2]])
    const said = routes.map(route => [`${route.method} ${route.path.replace(/:(\w+)/g, '{$1}')}`, asText(neededBy(route.id))])
    expect(documented.sort()).toEqual(said.sort())
    const { paths } = (await get('/openapi.json')).json<OpenApi>()
    for (const { id, path, method } of routes) {
      const operation = paths[path.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()]
      const needed = neededBy(id)
      expect([id, operation?.security]).toEqual([id, needed === 'open' ? [] : [{ key: asText(needed).split(', ') }]])
    }
    expect((await get('/docs')).body).toContain('Scope: <code>operate</code> or <code>worker</code>.')
  })

  test.each(keyScopes)('lets a key of scope %s in where it may, and nowhere else', async scope => {
    const { fastify, api, routes } = app()
    for (const route of routes) {
      const needed = neededBy(route.id)
      api.calls.length = 0
      const response = await fastify.inject({
        method: route.method,
        url: pathOf(route),
        headers: { host: 'localhost', authorization: `Bearer ${keyOf(scope)}` },
        ...(route.body && { payload: {} }),
      })
      if (allows(scope, needed)) expect([route.id, [401, 403].includes(response.statusCode)]).toEqual([route.id, false])
      else {
        expect([route.id, problemOf(response)]).toEqual([
          route.id,
          expect.objectContaining({ status: 403, code: 'forbidden', detail: expect.stringContaining(`the ${scope} key`) }),
        ])
        expect(api.calls).toEqual([])
      }
    }
  })

  test('lets nobody in without a key that needs one', async () => {
    const { fastify, api, routes } = app()
    for (const route of routes) {
      const inject = (headers: Record<string, string>) =>
        fastify.inject({ method: route.method, url: pathOf(route), headers: { host: 'localhost', ...headers } })
      for (const authorization of ['', 'Bearer ', 'Bearer baton_short', `Bearer ${keyOf('read').replace('read', 'else')}`]) {
        const { statusCode } = await inject({ authorization })
        expect([route.id, statusCode === 401 || statusCode === 429]).toEqual([route.id, neededBy(route.id) !== 'open'])
      }
    }
    expect(api.calls.filter(([name]) => name !== 'readiness')).toEqual([])
  })
})

describe('scopes', () => {
  test('comprise those below them; a worker key is none of them', () => {
    const of = (needed: Access) => keyScopes.filter(scope => allows(scope, needed))
    expect(of('open')).toEqual([...keyScopes])
    expect(of({ level: 'read' })).toEqual(['read', 'submit', 'operate', 'admin'])
    expect(of({ level: 'operate', worker: true })).toEqual(['operate', 'admin', 'worker'])
    expect(of({ level: 'admin' })).toEqual(['admin'])
  })

  test('hold for HEAD as for GET, and a path that is none is 404 for whoever has a key', async () => {
    const { fastify } = app()
    const ask = (method: 'HEAD' | 'GET', url: string, scope: KeyScope) =>
      fastify.inject({ method, url, headers: { host: 'localhost', authorization: `Bearer ${keyOf(scope)}` } })
    expect((await ask('HEAD', '/keys', 'operate')).statusCode).toBe(403)
    expect((await ask('HEAD', '/keys', 'admin')).statusCode).toBe(200)
    expect((await ask('GET', '/nowhere', 'worker')).statusCode).toBe(404)
  })
})

describe('the pages of the queues', () => {
  const ask = (method: 'GET' | 'PUT', headers: Record<string, string>) =>
    app().fastify.inject({ method, url: '/admin/queues/api/queues/x/retry/failed', headers: { host: 'localhost', ...headers } })
  const bearerOf = (scope: KeyScope) => ({ authorization: `Bearer ${keyOf(scope)}` })
  const cookieOf = async (scope: KeyScope) => {
    const answer = await app().post('/admin/session', undefined, bearerOf(scope))
    expect(answer.statusCode).toBe(204)
    return { cookie: String(answer.headers['set-cookie']).split(';')[0] ?? '' }
  }

  test('are looked at with the scope read, and their buttons need operate, with the key as with its cookie', async () => {
    for (const [scope, looking, pressing] of [
      ['read', 200, 403],
      ['submit', 200, 403],
      ['operate', 200, 200],
      ['admin', 200, 200],
    ] as const)
      for (const headers of [bearerOf(scope), await cookieOf(scope)]) {
        expect([scope, (await ask('GET', headers)).statusCode]).toEqual([scope, looking])
        expect([scope, (await ask('PUT', headers)).statusCode]).toEqual([scope, pressing])
      }
    expect((await ask('GET', bearerOf('worker'))).statusCode).toBe(403)
    expect((await app().post('/admin/session', undefined, bearerOf('worker'))).statusCode).toBe(403)
  })

  test('refuse what comes from another site, whatever the scope', async () => {
    const cookie = await cookieOf('admin')
    expect((await ask('PUT', { ...cookie, origin: 'http://evil.example' })).statusCode).toBe(403)
    expect((await ask('PUT', { ...cookie, 'sec-fetch-site': 'cross-site' })).statusCode).toBe(403)
  })

  test('no cookie is good for another key, or for one that was revoked', async () => {
    const { cookie } = await cookieOf('read')
    expect((await ask('GET', { cookie: cookie.replace('key-read', 'key-operate') })).statusCode).toBe(401)
    expect((await ask('GET', { cookie: cookie.replace('key-read', 'env') })).statusCode).toBe(401)
    const { fastify } = testApp({ apiKey, queuePages })
    expect((await fastify.inject({ method: 'GET', url: '/admin/queues', headers: { host: 'localhost', cookie } })).statusCode).toBe(401)
  })
})

test('what looks like a key is taken from no URL, in force or not', async () => {
  const { get } = app()
  for (const text of [keyOf('read'), `baton_${'x'.repeat(43)}`]) {
    const response = await get(`/tasks?q=${text}`, { authorization: `Bearer ${apiKey}` })
    expect(problemOf(response)).toMatchObject({ status: 401, code: 'unauthorized' })
    expect(response.body).not.toContain(text)
  }
})
