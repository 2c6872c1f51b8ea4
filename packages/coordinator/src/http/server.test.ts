import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { BatonError } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createHttpServer, type HttpServerOptions } from './server.js'
import { FakeApi, taskOf } from './testing/fake-api.js'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup()
})

async function started(options: Partial<HttpServerOptions> = {}) {
  const api = new FakeApi()
  const server = createHttpServer({ api, log: silentLogger(), host: '127.0.0.1', port: 0, version: '0.0.0', mode: 'local', ...options })
  cleanups.push(() => server.stop())
  const { url } = await server.start()
  return { api, server, url, port: Number(new URL(url).port) }
}

/** Sends bytes as they are and reads until the server closes. */
async function raw(port: number, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const received = read(socket)
  for (const part of parts) socket.write(part)
  return await received
}

async function read(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', data => {
    text += data
  })
  socket.on('error', () => {})
  await once(socket, 'close')
  return text
}

const bodyOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))

describe('what is no request', () => {
  test.each([
    ['bytes that are no HTTP', '\u0016\u0003\u0001\u0000\u0000', 400, 'invalid_request'],
    ['a method that does not exist', 'FOO / HTTP/1.1\r\nHost: localhost\r\n\r\n', 400, 'invalid_request'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost localhost\r\n\r\n', 400, 'invalid_request'],
    [
      'both ways to say the length',
      'POST /orchestrate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'invalid_request',
    ],
    ['headers of 20 KB', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    ['a URL of 20 KB', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431, 'headers_too_large'],
  ])('%s is answered with a problem and closed', async (_, sent, status, code) => {
    const { api, port } = await started()
    const answer = await raw(port, sent)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(answer).toContain('content-type: application/problem+json\r\n')
    expect(bodyOf(answer)).toMatchObject({ status, code, request_id: expect.stringMatching(/^req_/) })
    expect(api.calls).toEqual([])
  })

  test('a request without Host, a malformed URL and an unknown Expect get an answer in the usual form', async () => {
    const { port } = await started()
    expect(bodyOf(await raw(port, 'GET /tasks HTTP/1.1\r\nConnection: close\r\n\r\n'))).toMatchObject({
      status: 400,
      code: 'invalid_request',
    })
    expect(bodyOf(await raw(port, 'GET /tasks/%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'))).toMatchObject({
      status: 400,
      code: 'invalid_request',
    })
    expect(bodyOf(await raw(port, 'GET /tasks HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nConnection: close\r\n\r\n'))).toMatchObject(
      { tasks: [] },
    )
  })

  test('a client that does not finish its request is let go', async () => {
    const { api, port } = await started({ limits: { requestTimeoutMs: 200 } })
    const head = 'POST /orchestrate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n'
    for (const answer of await Promise.all([raw(port, 'GET / HT'), raw(port, head, '{"task')]))
      expect(bodyOf(answer)).toMatchObject({ status: 408, code: 'request_timeout' })
    expect(api.calls).toEqual([])
  })

  test('a body over the limit that does not say its length is refused while it comes', async () => {
    const { port } = await started({ limits: { bodyBytes: 1_000 } })
    const head = 'POST /execute/t-1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
    const chunk = `400\r\n${' '.repeat(0x400)}\r\n`
    expect(bodyOf(await raw(port, head, chunk, chunk))).toMatchObject({ status: 413, code: 'body_too_large' })
  })
})

describe('paths and methods', () => {
  test.each([
    ['DELETE', '/tasks', 'GET, HEAD'],
    ['POST', '/tasks/t-1', 'GET, HEAD'],
    ['GET', '/orchestrate', 'POST'],
    ['OPTIONS', '/orchestrate', 'POST'],
    ['PROPFIND', '/tasks/t-1', 'GET, HEAD'],
  ])('%s %s is 405 and names what is allowed', async (method, path, allow) => {
    const { url } = await started()
    const response = await fetch(url + path, { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, allow])
    expect(await response.json()).toMatchObject({ code: 'method_not_allowed' })
  })

  test('an unknown path is 404, whatever its body', async () => {
    const { url } = await started()
    const response = await fetch(`${url}/nowhere`, { method: 'POST', body: 'text' })
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ code: 'not_found' })
  })

  test('HEAD answers as GET does, without the body', async () => {
    const { url } = await started()
    const response = await fetch(`${url}/tasks`, { method: 'HEAD' })
    expect([response.status, await response.text()]).toEqual([200, ''])
  })
})

describe('starting', () => {
  test.each(['0.0.0.0', '::', '192.168.1.5', 'baton.example', '[::]'])('on %s without a key is refused', host => {
    const make = () => createHttpServer({ api: new FakeApi(), log: silentLogger(), host, port: 0, version: '0.0.0', mode: 'local' })
    expect(make).toThrow(expect.objectContaining({ code: 'invalid_configuration', message: expect.stringContaining('BATON_API_KEY') }))
  })

  test('on every address with a key is possible, and names a URL that works', async () => {
    const { url } = await started({ host: '0.0.0.0', apiKey: 'a-key-of-some-length' })
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await fetch(`${url}/tasks`)).status).toBe(401)
  })

  test('on a port in use says so, and what to do', async () => {
    const { port } = await started()
    const second = started({ port })
    await expect(second).rejects.toThrow(BatonError)
    await expect(second).rejects.toMatchObject({ code: 'invalid_configuration', message: expect.stringMatching(/in use.*BATON_PORT/) })
  })
})

describe('stopping', () => {
  test('closes idle connections, also those that never asked or asked half, and is idempotent', async () => {
    const { server, url, port } = await started()
    const silent = connect(port, '127.0.0.1')
    const half = connect(port, '127.0.0.1')
    half.write('GET / HT')
    await Promise.all([once(silent, 'connect'), once(half, 'connect')])
    await (await fetch(`${url}/healthz`)).text() // leaves a keep-alive connection
    const closed = Promise.all([read(silent), read(half)])
    const begin = performance.now()
    await Promise.all([server.stop(), server.stop()])
    expect(performance.now() - begin).toBeLessThan(1_000)
    await closed
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  })

  test('answers whoever waits with what is true now', async () => {
    const { api, server, url } = await started()
    api.put(taskOf({ task_id: 't-1', title: 'x' }))
    const waiting = fetch(`${url}/tasks/t-1?wait=60`)
    await vi.waitUntil(() => api.waiting === 1)
    await server.stop()
    expect((await waiting).status).toBe(200)
  })

  test('does not wait forever for a client that is slow', async () => {
    const { server, port } = await started({ limits: { stopMs: 100 } })
    const socket = connect(port, '127.0.0.1')
    socket.write(
      'POST /orchestrate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n{',
    )
    await once(socket, 'data') // 100 Continue: the request is in flight
    const ended = read(socket)
    await server.stop()
    await ended
  })

  test('a client that leaves while it waits is forgotten', async () => {
    const { api, url } = await started()
    api.put(taskOf({ task_id: 't-1', title: 'x' }))
    const leaving = new AbortController()
    const waiting = fetch(`${url}/tasks/t-1?wait=60`, { signal: leaving.signal }).catch(() => undefined)
    await vi.waitUntil(() => api.waiting === 1)
    leaving.abort()
    await waiting
    await vi.waitUntil(() => api.waiting === 0)
  })
})
