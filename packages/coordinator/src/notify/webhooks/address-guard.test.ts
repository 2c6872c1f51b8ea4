import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AddressGuard } from './address-guard.js'
import { Poster } from './post.js'

/** Names that exist in these tests, and where they lead, one answer after the other. */
const names: Record<string, string[][]> = {
  'good.example': [['93.184.216.34']],
  'bad.example': [['10.0.0.7']],
  'mixed.example': [['93.184.216.34', '192.168.1.1']],
  'metadata.example': [['169.254.169.254']],
}
const resolverOf = (answers: Record<string, string[][]>) => {
  const asked: Record<string, number> = {}
  return async (name: string) => {
    const all = answers[name]
    if (!all) throw Object.assign(new Error(`no ${name}`), { code: 'ENOTFOUND' })
    const n = asked[name] ?? 0
    asked[name] = n + 1
    return (all[Math.min(n, all.length - 1)] ?? []).map(address => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
}
const guardOf = (networks: readonly string[] = []) => new AddressGuard({ networks, resolve: resolverOf(names) })

const refused = [
  ...['127.0.0.1', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '127.1', '127.0.1', '１２７.０.０.１', '127。0。0。1', '①②⑦.0.0.1'],
  ...[
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[0:0:0:0:0:ffff:10.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
  ],
  ...['[fe80::1]', '[fc00::1]', '[fd12:3456::1]', '[fec0::1]', '[ff02::1]', '[2001:db8::1]', '[2001::1]', '[100::1]'],
  ...[
    '0',
    '0.0.0.0',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '192.0.2.1',
    '240.0.0.1',
  ],
  ...[
    'localhost',
    'LOCALHOST',
    'localhost.',
    'a.localhost',
    'ｌocalhost',
    '127.0.0.1.',
    'bad.example',
    'mixed.example',
    'metadata.example',
    'BAD.example.',
  ],
].flatMap(host => [`http://${host}/`, `https://${host}:8443/hook?x=1`])

describe('refuses', () => {
  test.each(refused)('%s', async url => {
    expect(await guardOf().problemOf(url)).toMatch(/not a public address/)
  })

  test.each([
    ...[
      'file:///etc/passwd',
      'ftp://good.example/',
      'gopher://good.example',
      'javascript:alert(1)',
      'data:text/plain,x',
      '//good.example',
      'good.example',
      '',
      'http://',
      'http://good.example:99999/',
    ],
    ...['http://user@good.example/', 'http://user:secret@good.example/', 'http://@good.example/', 'http://good.example@127.0.0.1/'],
    ...[
      'http://good.example/\r\nx: y',
      'http://good.\nexample/',
      ' http://good.example/',
      'http://good.example/\u0000',
      'http:\\\\good.example/',
      'http://good.example\\@127.0.0.1/',
      'http://good.example/\u00a0',
    ],
    ...['http://1.2.3/4.5.6.7.8', 'http://[::1', 'http://256.256.256.256/', 'http://0x100000000/'].slice(1),
  ])('%j as no URL for it', async url => {
    expect(await guardOf().problemOf(url)).toMatch(/^must /)
  })
})

test.each([
  'http://good.example/',
  'https://good.example./hook',
  'http://8.8.8.8/',
  'http://[2606:4700::1111]:8080/',
  'http://134744072/',
  'https://unknown.example/',
])('accepts %s', async url => {
  expect(await guardOf().problemOf(url)).toBeUndefined()
})

test('networks that the settings allow are permitted, in every spelling, and no others', async () => {
  const guard = guardOf(['127.0.0.1', '10.0.0.0/24', 'fd00::/8'])
  for (const host of ['127.0.0.1', '2130706433', 'localhost', '[::ffff:127.0.0.1]', '10.0.0.200', 'bad.example', '[fd12::1]'])
    expect([host, await guard.problemOf(`http://${host}/`)]).toEqual([host, undefined])
  for (const host of ['127.0.0.2', '10.0.1.1', '[::1]', '[fc00::1]', 'mixed.example'])
    expect([host, await guard.problemOf(`http://${host}/`)]).toEqual([host, expect.stringMatching(/not a public/)])
  expect(() => guardOf(['10.0.0.0/33'])).toThrow('is not a network')
  expect(() => guardOf(['everything'])).toThrow('is not a network')
})

test('a resolver that hangs holds up registration for a bounded time; the name is judged when it is connected to', async () => {
  const guard = new AddressGuard({ resolve: () => new Promise(() => undefined), resolveMs: 5 })
  expect(await guard.problemOf('http://slow.example/')).toBeUndefined()
})

describe('the call itself', () => {
  let port = 0
  const seen: string[] = []
  let breaking = false
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    if (breaking) {
      breaking = false
      request.socket.resetAndDestroy()
    } else if (request.url === '/redirect') response.writeHead(302, { location: '/elsewhere' }).end()
    else if (request.url === '/huge') response.writeHead(200).end('x'.repeat(1_000_000))
    else if (request.url === '/endless') response.writeHead(200).write('x')
    else if (request.url === '/silent') return
    else response.writeHead(204).end()
  })
  beforeAll(async () => {
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })
  const call = async (url: string, guard: AddressGuard, timeoutMs = 2_000) => {
    const poster = new Poster(guard)
    try {
      return await callBy(poster, url, timeoutMs)
    } finally {
      poster.close()
    }
  }
  const callBy = (poster: Poster, url: string, timeoutMs = 2_000) =>
    poster.post({ url, headers: {}, body: '{}', timeoutMs, signal: new AbortController().signal })

  test('a name that was public at registration and is not any more is not connected to', async () => {
    const rebinding = new AddressGuard({ resolve: resolverOf({ 'rebind.example': [['93.184.216.34'], ['127.0.0.1']] }) })
    expect(await rebinding.problemOf(`http://rebind.example:${port}/`)).toBeUndefined()
    const before = seen.length
    await expect(call(`http://rebind.example:${port}/`, rebinding)).rejects.toMatchObject({ code: 'BATON_REFUSED_ADDRESS' })
    expect(seen).toHaveLength(before)
  })

  test.each(['127.0.0.1', '2130706433', '[::ffff:127.0.0.1]', '[::1]', '0'])(
    'an address is judged where no name is resolved: %s',
    async host => {
      const before = seen.length
      await expect(call(`http://${host}:${port}/`, guardOf())).rejects.toMatchObject({ code: 'BATON_REFUSED_ADDRESS' })
      expect(seen).toHaveLength(before)
    },
  )

  test('redirects are not followed, long answers are cut, silence ends', async () => {
    const guard = guardOf(['127.0.0.1'])
    const url = `http://127.0.0.1:${port}`
    expect(await call(`${url}/redirect`, guard)).toMatchObject({ status: 302 })
    expect(seen).not.toContain('POST /elsewhere')
    expect((await call(`${url}/huge`, guard)).text).toHaveLength(300)
    expect(await call(`${url}/endless`, guard, 50)).toEqual({ status: 200, text: 'x' })
    await expect(call(`${url}/silent`, guard, 50)).rejects.toThrow('no answer within 0.05 s')
  })

  test('a connection whose answer was read is kept for the next call, one that was cut is not', async () => {
    const sockets = new Set<Socket>()
    const note = (socket: Socket) => void sockets.add(socket)
    server.on('connection', note)
    const poster = new Poster(guardOf(['127.0.0.1']))
    const url = `http://127.0.0.1:${port}`
    for (let n = 0; n < 3; n++) await callBy(poster, `${url}/kept`)
    expect(sockets.size).toBe(1)
    await callBy(poster, `${url}/huge`)
    expect(sockets.size).toBe(1)
    await callBy(poster, `${url}/kept`)
    expect(sockets.size).toBe(2)
    // The receiver closes it at the very moment at which it is used again: no try is lost.
    breaking = true
    expect(await callBy(poster, `${url}/kept`)).toMatchObject({ status: 204 })
    expect(sockets.size).toBe(3)
    poster.close()
    server.off('connection', note)
  })

  test('a connection that has served long enough is not kept', async () => {
    const sockets = new Set<Socket>()
    const note = (socket: Socket) => void sockets.add(socket)
    server.on('connection', note)
    const poster = new Poster(guardOf(['127.0.0.1']), { oldestMs: 0 })
    for (let n = 0; n < 3; n++) expect(await callBy(poster, `http://127.0.0.1:${port}/old`)).toMatchObject({ status: 204 })
    expect(sockets.size).toBe(3)
    poster.close()
    server.off('connection', note)
  })

  test('a kept connection is judged again: what is no longer permitted is not spoken to', async () => {
    let permitted = true
    const named = new AddressGuard({ networks: ['127.0.0.1'], resolve: resolverOf({ 'kept.example': [['127.0.0.1']] }) })
    const byName = new Poster({ lookup: named.lookup, permits: address => permitted && named.permits(address) })
    await callBy(byName, `http://kept.example:${port}/once`)
    permitted = false
    const before = seen.length
    await expect(callBy(byName, `http://kept.example:${port}/twice`)).rejects.toMatchObject({ code: 'BATON_REFUSED_ADDRESS' })
    expect(seen).toHaveLength(before)
    byName.close()
  })
})
