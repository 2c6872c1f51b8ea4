/** The application over a fake coordinator, and small words for asking it. */
import type { Problem } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import type { LightMyRequestResponse } from 'fastify'
import { type AppOptions, buildApp } from '../app.js'
import { defaultLimits, type HttpLimits } from '../limits.js'
import { FakeApi } from './fake-api.js'

interface TestOptions extends Partial<Omit<AppOptions, 'api' | 'limits'>> {
  readonly limits?: Partial<HttpLimits>
}

export function testApp(options: TestOptions = {}) {
  const api = new FakeApi()
  const { fastify, routes, refuseRequests } = buildApp({
    log: silentLogger(),
    apiKey: undefined,
    version: '0.0.0',
    mode: 'local',
    ...options,
    api,
    limits: { ...defaultLimits, ...options.limits },
  })
  return {
    api,
    fastify,
    routes,
    refuseRequests,
    get: (url: string, headers: Record<string, string> = {}) =>
      fastify.inject({ method: 'GET', url, headers: { host: 'localhost', ...headers } }),
    send: (method: 'PUT' | 'PATCH' | 'DELETE', url: string, payload?: string | object) =>
      fastify.inject({
        method,
        url,
        payload,
        headers: { host: 'localhost', ...(payload === undefined ? {} : { 'content-type': 'application/json' }) },
      }),
    post: (url: string, payload?: string | Buffer | object, headers: Record<string, string> = {}) =>
      fastify.inject({
        method: 'POST',
        url,
        payload,
        headers: { host: 'localhost', ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      }),
  }
}

export function problemOf(response: LightMyRequestResponse): Problem {
  return response.json<Problem>()
}
