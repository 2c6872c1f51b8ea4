import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BatonError, toFailure } from '@baton/shared'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { testContext } from '../testing/test-context.js'
import { httpAgent } from './http.js'

let server: Server | undefined
afterEach(async () => {
  if (!server) return
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  server = undefined
})

async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void): Promise<string> {
  server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', text => {
      body += text
    })
    request.on('end', () => answer(request, response, body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/run`
}
const ask = (url: string, { signal, headers }: { signal?: AbortSignal; headers?: Record<string, string> } = {}) =>
  httpAgent({ name: 'remote', url, ...(headers && { headers }) }).run({ x: 1 }, testContext(signal ? { signal } : {}))
/** The failure as it would be reported. */
const failureOf = (work: Promise<unknown>) =>
  work.then(
    value => {
      throw new Error(`it did not fail but made ${JSON.stringify(value)}`)
    },
    error => toFailure(error),
  )
const json = { 'content-type': 'application/json; charset=utf-8' }

describe('the request', () => {
  test('is a POST with the brief, the idempotency key and the configured headers', async () => {
    let seen: unknown
    const url = await serve(({ method, url, headers }, response, body) => {
      seen = {
        method,
        url,
        type: headers['content-type'],
        key: headers['idempotency-key'],
        auth: headers.authorization,
        body: JSON.parse(body),
      }
      response.writeHead(200, json).end('{}')
    })
    await ask(url, { headers: { Authorization: 'Bearer x' } })
    expect(seen).toEqual({
      method: 'POST',
      url: '/run',
      type: 'application/json',
      key: 'key-1',
      auth: 'Bearer x',
      body: { input: { x: 1 }, task_id: 't1', subtask_id: 'echo::t1::1', attempt: 2 },
    })
  })

  test('user info of the URL becomes basic authentication, and shows in no message', async () => {
    let auth: string | undefined
    const url = new URL(
      await serve(({ headers }, response) => {
        auth = headers.authorization
        response.writeHead(500).end('no')
      }),
    )
    url.username = 'me'
    url.password = 'hush'
    expect(JSON.stringify(await failureOf(ask(url.href)))).not.toContain('hush')
    expect(auth).toBe(`Basic ${Buffer.from('me:hush').toString('base64')}`)
  })

  test.each(['not a url', 'ftp://example.org/', 'file:///etc/passwd'])('to %s is refused when the agent is declared', url => {
    expect(() => httpAgent({ name: 'remote', url })).toThrow(/agent remote: .* must be a URL that begins with/)
  })
})

describe('the answer', () => {
  test.each<[string, string | undefined, string, unknown]>([
    ['JSON', 'application/json', '{"a":[1]}', { a: [1] }],
    ['JSON of a kind', 'application/vnd.x+json', '"x"', 'x'],
    ['no JSON', 'application/json', '', null],
    ['text', 'text/plain', 'done\n', 'done\n'],
    ['text that looks like JSON', 'text/plain', '{"a":1}', '{"a":1}'],
    ['without a type', undefined, 'done', 'done'],
    ['nothing at all', undefined, '', null],
  ])('%s becomes the output', async (_, type, body, output) => {
    const url = await serve((_, response) => response.writeHead(200, type ? { 'content-type': type } : {}).end(body))
    expect(await ask(url)).toEqual(output)
  })

  test.each([200, 201, 202])('%i is a success', async status => {
    const url = await serve((_, response) => response.writeHead(status, json).end('1'))
    expect(await ask(url)).toBe(1)
  })

  test.each([400, 401, 403, 404, 409, 422])('%i is not tried again', async status => {
    const url = await serve((_, response) => response.writeHead(status).end('because'))
    expect(await failureOf(ask(url))).toEqual({
      code: 'agent_http_error',
      retryable: false,
      message: `${new URL(url).host} answered ${status}: because`,
    })
  })

  test.each([408, 425, 429, 500, 502, 503])('%i is tried again', async status => {
    const url = await serve((_, response) => response.writeHead(status).end('x'.repeat(10_000)))
    const failure = await failureOf(ask(url))
    expect(failure).toMatchObject({ code: 'agent_http_error', retryable: true })
    expect(failure.message.length).toBeLessThan(600)
  })

  test.each([301, 302, 307, 308])('%i is refused and not tried again: redirects are not followed', async status => {
    let requests = 0
    const url = await serve((_, response) => {
      requests++
      response.writeHead(status, { location: '/elsewhere' }).end()
    })
    expect(await failureOf(ask(url))).toEqual({
      code: 'agent_http_error',
      retryable: false,
      message: `${new URL(url).host} answered ${status} and points to /elsewhere; redirects are not followed`,
    })
    expect(requests).toBe(1)
  })

  test.each<[string, string]>([
    ['is broken', '{"a":'],
    ['holds a key twice', '{"a":1,"a":2}'],
    ['holds a NUL', '"\\u0000"'],
    ['holds 1e400', '1e400'],
  ])('JSON that %s is refused', async (_, body) => {
    const url = await serve((_, response) => response.writeHead(200, json).end(body))
    expect(await failureOf(ask(url))).toMatchObject({ code: 'result_invalid', retryable: false })
  })

  test('bytes that are not UTF-8 are refused', async () => {
    const url = await serve((_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end(Buffer.from([0x66, 0xff])))
    expect(await failureOf(ask(url))).toMatchObject({ code: 'result_invalid' })
  })

  test('more than what can be stored is refused, and the rest is not read', async () => {
    const url = await serve((_, response) => {
      const chunk = Buffer.alloc(1 << 20, 120)
      const go = () => {
        while (!response.destroyed && response.write(chunk));
        response.once('drain', go)
      }
      response.writeHead(200, { 'content-type': 'text/plain' })
      go()
    })
    expect(await failureOf(ask(url))).toMatchObject({ code: 'result_too_large', retryable: false })
  })

  test('that breaks off is tried again', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { ...json, 'content-length': '100' })
      response.write('{"a":1', () => response.socket?.destroy())
    })
    expect(await failureOf(ask(url))).toMatchObject({
      code: 'agent_http_error',
      retryable: true,
      message: expect.stringContaining(`the answer of ${new URL(url).host} broke off`),
    })
  })
})

describe('nobody', () => {
  test('there is tried again', async () => {
    const url = await serve(() => undefined)
    server?.close()
    await once(server as Server, 'close')
    server = undefined
    expect(await failureOf(ask(url))).toMatchObject({
      code: 'agent_http_error',
      retryable: true,
      message: expect.stringMatching(/^127\.0\.0\.1:\d+ could not be asked: .*ECONNREFUSED/),
    })
  })
})

describe('an abort', () => {
  const reason = new BatonError('attempt_timed_out', 'too slow')

  test('ends a request that waits for its answer', async () => {
    const controller = new AbortController()
    const arrived = vi.fn()
    const closed = vi.fn()
    const url = await serve(request => {
      request.socket.once('close', closed)
      arrived()
    })
    const asked = ask(url, { signal: controller.signal })
    await vi.waitFor(() => expect(arrived).toHaveBeenCalled())
    controller.abort(reason)
    await expect(asked).rejects.toBe(reason)
    await vi.waitFor(() => expect(closed).toHaveBeenCalled())
  })

  test('ends an answer in its middle', async () => {
    const controller = new AbortController()
    const begun = vi.fn()
    const url = await serve((_, response) => {
      response.writeHead(200, json)
      response.write('{', begun)
    })
    const asked = ask(url, { signal: controller.signal })
    await vi.waitFor(() => expect(begun).toHaveBeenCalled())
    controller.abort(reason)
    await expect(asked).rejects.toBe(reason)
  })

  test('that came before asks nothing', async () => {
    const arrived = vi.fn()
    const url = await serve(arrived)
    await expect(ask(url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(arrived).not.toHaveBeenCalled()
  })
})
