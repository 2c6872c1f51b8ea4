import { type AddressInfo, createServer } from 'node:net'
import { startTcpProxy } from '@baton/cli/servers'
import { type Bus, connectNatsBus, maxMessageBytes, NoReplyError, silentLogger } from '@baton/shared/node'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { cleanUp, eventually, ownServer, servers } from '../harness/index.js'
import { busKinds, connectNats } from './buses.js'

const timeoutMs = 5_000

/** How a request ended without a reply, or the reply. */
async function outcome(request: Promise<string>): Promise<string> {
  return request.catch((error: unknown) => {
    if (error instanceof NoReplyError) return `no reply: ${error.reason}`
    throw error
  })
}

describe.each(busKinds)('$name', ({ open }) => {
  let here: Bus
  let there: Bus
  let subject: (name: string) => string
  beforeEach(async () => {
    const place = await open()
    here = await place.connect()
    there = await place.connect()
    subject = place.subject
  })

  /** Sends one more word and waits for it: what was sent before is there by then. */
  async function settled(): Promise<void> {
    let arrived = false
    const subscription = await there.subscribe(subject('last'), {}, () => {
      arrived = true
    })
    here.publish(subject('last'), '')
    await eventually(() => arrived)
    await subscription.unsubscribe()
  }

  describe('published words', () => {
    test('reach everyone who listens to their subject, also the speaker, in order', async () => {
      const heard: string[] = []
      await here.subscribe(subject('words'), {}, word => heard.push(`here ${word}`))
      await there.subscribe(subject('words'), {}, word => heard.push(`there ${word}`))
      await there.subscribe(subject('others'), {}, word => heard.push(`others ${word}`))
      for (const word of ['one', 'two', 'ä🧪\u0000', '']) here.publish(subject('words'), word)
      await settled()
      await eventually(() => heard.length === 8)
      expect(heard.filter(h => h.startsWith('here'))).toEqual(['here one', 'here two', 'here ä🧪\u0000', 'here '])
      expect(heard.filter(h => h.startsWith('there'))).toEqual(['there one', 'there two', 'there ä🧪\u0000', 'there '])
    })

    test('reach one of each group', async () => {
      const counts = new Map<string, number>()
      const count = (who: string) => () => void counts.set(who, (counts.get(who) ?? 0) + 1)
      await here.subscribe(subject('words'), { group: 'a' }, count('a'))
      await there.subscribe(subject('words'), { group: 'a' }, count('a'))
      await there.subscribe(subject('words'), { group: 'b' }, count('b'))
      await there.subscribe(subject('words'), {}, count('alone'))
      for (let n = 0; n < 50; n++) here.publish(subject('words'), '')
      await settled()
      await eventually(() => counts.get('a') === 50)
      expect(Object.fromEntries(counts)).toEqual({ a: 50, b: 50, alone: 50 })
    })

    test('reach a member of a group and are shared among its members', async () => {
      const heard = { here: 0, there: 0 }
      await here.subscribe(subject('words'), { group: 'a' }, () => void heard.here++)
      await there.subscribe(subject('words'), { group: 'a' }, () => void heard.there++)
      for (let n = 0; n < 200; n++) here.publish(subject('words'), '')
      await eventually(() => heard.here + heard.there === 200)
      expect(Math.min(heard.here, heard.there)).toBeGreaterThan(0)
    })

    test('are lost where nobody listens', async () => {
      here.publish(subject('nobody'), 'x')
      await settled()
    })

    test('are no longer heard after unsubscribing, which may be done twice', async () => {
      const heard: string[] = []
      const subscription = await there.subscribe(subject('words'), {}, word => heard.push(word))
      here.publish(subject('words'), 'before')
      await eventually(() => heard.length === 1)
      await subscription.unsubscribe()
      await subscription.unsubscribe()
      here.publish(subject('words'), 'after')
      await settled()
      expect(heard).toEqual(['before'])
    })

    test('a listener that throws harms neither the bus nor the other listeners', async () => {
      const heard: string[] = []
      await there.subscribe(subject('words'), {}, () => {
        throw new Error('cannot read this')
      })
      await there.subscribe(subject('words'), {}, word => heard.push(word))
      here.publish(subject('words'), 'one')
      here.publish(subject('words'), 'two')
      await eventually(() => heard.length === 2)
      await settled()
      expect(heard).toEqual(['one', 'two'])
    })
  })

  describe('requests', () => {
    test('are answered', async () => {
      await there.serve(subject('double'), {}, async n => String(2 * Number(n)))
      const answers = await Promise.all([1, 2, 3].map(n => here.request(subject('double'), String(n), { timeoutMs })))
      expect(answers).toEqual(['2', '4', '6'])
    })

    test('may be served by whoever asks', async () => {
      await here.serve(subject('echo'), {}, async text => text)
      expect(await here.request(subject('echo'), 'ä🧪', { timeoutMs })).toBe('ä🧪')
      expect(await here.request(subject('echo'), '', { timeoutMs })).toBe('')
    })

    test('are served by one of a group', async () => {
      let served = 0
      for (const bus of [here, there])
        await bus.serve(subject('count'), { group: 'g' }, async () => {
          served++
          return ''
        })
      for (let n = 0; n < 20; n++) await here.request(subject('count'), '', { timeoutMs })
      expect(served).toBe(20)
    })

    test('a hundred at once get each its own answer, whatever the order', async () => {
      await there.serve(subject('echo'), {}, async n => {
        await new Promise(resolve => setTimeout(resolve, Number(n) % 7))
        return n
      })
      const numbers = Array.from({ length: 100 }, (_, n) => String(n))
      expect(await Promise.all(numbers.map(n => here.request(subject('echo'), n, { timeoutMs })))).toEqual(numbers)
    })

    test('that nobody serves are told so at once', async () => {
      const begin = performance.now()
      expect(await outcome(here.request(subject('nobody'), '', { timeoutMs: 20_000 }))).toBe('no reply: no_responders')
      expect(performance.now() - begin).toBeLessThan(2_000)
    })

    test('end at their time limit', async () => {
      await there.serve(subject('silent'), {}, () => new Promise(() => undefined))
      const failure = await here.request(subject('silent'), '', { timeoutMs: 50 }).catch((error: unknown) => error)
      expect(failure).toMatchObject({ reason: 'timeout', message: expect.stringContaining('50 ms') })
    })

    test('end when they are given up, at the start or later', async () => {
      await there.serve(subject('silent'), {}, () => new Promise(() => undefined))
      const signal = AbortSignal.abort()
      expect(await outcome(here.request(subject('silent'), '', { timeoutMs, signal }))).toBe('no reply: closed')
      const later = new AbortController()
      const given = outcome(here.request(subject('silent'), '', { timeoutMs, signal: later.signal }))
      later.abort()
      expect(await given).toBe('no reply: closed')
    })

    test.each([
      ['rejects', () => Promise.reject(new Error('no'))],
      [
        'throws at once',
        () => {
          throw new Error('no')
        },
      ],
    ])('are left unanswered by a handler that %s, and the next one is served', async (_, fail) => {
      let failing = true
      await there.serve(subject('fragile'), {}, () => (failing ? fail() : Promise.resolve('well')))
      expect(await outcome(here.request(subject('fragile'), '', { timeoutMs: 50 }))).toBe('no reply: timeout')
      failing = false
      expect(await here.request(subject('fragile'), '', { timeoutMs })).toBe('well')
    })

    test('an answer that comes too late does no harm', async () => {
      let answer = (_: string) => {}
      await there.serve(subject('late'), {}, () => new Promise(resolve => (answer = resolve)))
      expect(await outcome(here.request(subject('late'), '', { timeoutMs: 30 }))).toBe('no reply: timeout')
      answer('too late')
      await there.serve(subject('echo'), {}, async text => text)
      expect(await here.request(subject('echo'), 'x', { timeoutMs })).toBe('x')
    })

    test('are no longer served after unsubscribing', async () => {
      const subscription = await there.serve(subject('echo'), {}, async text => text)
      expect(await here.request(subject('echo'), 'x', { timeoutMs })).toBe('x')
      await subscription.unsubscribe()
      expect(await outcome(here.request(subject('echo'), 'x', { timeoutMs }))).toBe('no reply: no_responders')
    })
  })

  describe('sizes', () => {
    const largest = 'x'.repeat(maxMessageBytes)
    const wide = 'ä'.repeat(maxMessageBytes / 2)

    test('a message of the largest size travels, and its answer', async () => {
      await there.serve(subject('echo'), {}, async text => text)
      expect(await here.request(subject('echo'), largest, { timeoutMs })).toBe(largest)
      expect(await here.request(subject('echo'), wide, { timeoutMs })).toBe(wide)
    })

    test('a larger one is refused where it is sent, and says so', async () => {
      await there.serve(subject('echo'), {}, async text => text)
      for (const payload of [`${largest}x`, `${wide}x`]) {
        expect(() => here.publish(subject('words'), payload)).toThrow(RangeError)
        await expect(here.request(subject('echo'), payload, { timeoutMs })).rejects.toThrow(RangeError)
      }
      expect(await here.request(subject('echo'), 'x', { timeoutMs })).toBe('x')
    })

    test('an answer that is too large leaves the request unanswered, and the server serves on', async () => {
      await there.serve(subject('grow'), {}, async text => `${text}${text}`)
      expect(await outcome(here.request(subject('grow'), largest, { timeoutMs: 100 }))).toBe('no reply: timeout')
      expect(await here.request(subject('grow'), 'x', { timeoutMs })).toBe('xx')
    })
  })

  describe('close', () => {
    test('ends what is asked, and refuses what comes', async () => {
      await there.serve(subject('silent'), {}, () => new Promise(() => undefined))
      const pending = outcome(here.request(subject('silent'), '', { timeoutMs }))
      await settled()
      expect([here.connected, await here.answers(timeoutMs)]).toEqual([true, true])
      await Promise.all([here.close(), here.close()])
      await here.close()
      expect(await pending).toBe('no reply: closed')
      expect([here.connected, await here.answers(timeoutMs)]).toEqual([false, false])
      expect(await outcome(here.request(subject('silent'), '', { timeoutMs }))).toBe('no reply: closed')
      await expect(here.subscribe(subject('words'), {}, () => undefined)).rejects.toMatchObject({ reason: 'closed' })
      await expect(here.serve(subject('words'), {}, async text => text)).rejects.toMatchObject({ reason: 'closed' })
      here.publish(subject('words'), 'lost')
    })

    test('takes the subscriptions along', async () => {
      const heard: string[] = []
      await here.serve(subject('echo'), {}, async text => text)
      const subscription = await here.subscribe(subject('words'), {}, word => heard.push(word))
      await here.close()
      there.publish(subject('words'), 'x')
      expect(await outcome(there.request(subject('echo'), 'x', { timeoutMs }))).toBe('no reply: no_responders')
      expect(heard).toEqual([])
      await subscription.unsubscribe()
    })

    test('what was said last is said', async () => {
      const heard: string[] = []
      await there.subscribe(subject('words'), {}, word => heard.push(word))
      here.publish(subject('words'), 'goodbye')
      await here.close()
      await eventually(() => heard.length === 1)
    })

    test('a request that is being served when its server closes is answered, or told that it was not', async () => {
      let answer = (_: string) => {}
      await there.serve(subject('slow'), {}, () => new Promise(resolve => (answer = resolve)))
      const request = outcome(here.request(subject('slow'), '', { timeoutMs: 300 }))
      await settled()
      await there.close()
      answer('after the close')
      expect(await request).toBe('no reply: timeout')
    })
  })
})

describe('NATS', () => {
  test('is killed and comes back: requests fail at once meanwhile, and are served again', async () => {
    const nats = await ownServer('nats')
    const [asking, serving] = [await connectNats(nats.url), await connectNats(nats.url)]
    await serving.serve('echo', {}, async text => text)
    await serving.serve('silent', {}, () => new Promise(() => undefined))
    const changes: boolean[] = []
    const stop = asking.onConnection(connected => changes.push(connected))
    asking.onConnection(() => {
      throw new Error('a listener of no use')
    })
    expect(await asking.request('echo', 'before', { timeoutMs })).toBe('before')
    const pending = outcome(asking.request('silent', '', { timeoutMs: 2_000 }))

    await nats.kill()
    await eventually(() => !asking.connected && !serving.connected)
    expect(changes).toEqual([false])
    const begin = performance.now()
    expect(await outcome(asking.request('echo', 'during', { timeoutMs }))).toBe('no reply: closed')
    asking.publish('words', 'lost')
    const subscribed = asking.subscribe('words', {}, () => undefined)
    expect(performance.now() - begin).toBeLessThan(500)
    expect(await pending).toMatch(/no reply: (timeout|closed)/)

    await nats.restart()
    await eventually(() => asking.connected && serving.connected, { timeoutMs: 20_000 })
    expect(changes).toEqual([false, true])
    await eventually(async () => (await outcome(asking.request('echo', 'after', { timeoutMs }))) === 'after')
    await (await subscribed).unsubscribe()

    stop()
    await nats.kill()
    await eventually(() => !asking.connected)
    expect(changes).toEqual([false, true])
    const closing = performance.now()
    await asking.close()
    expect(performance.now() - closing).toBeLessThan(2_500)
  })

  test('that is silent does not answer, though the connection is up', async () => {
    const url = new URL((await servers()).natsUrl)
    const proxy = await startTcpProxy({ target: { host: url.hostname, port: Number(url.port || 4222) } })
    cleanUp(() => proxy.stop())
    url.host = `127.0.0.1:${proxy.port}`
    const bus = await connectNats(url.href)
    expect(await bus.answers(timeoutMs)).toBe(true)
    proxy.stall()
    expect(await bus.answers(50)).toBe(false)
    expect(bus.connected).toBe(true)
    expect(await outcome(bus.request('nobody', '', { timeoutMs: 50 }))).toBe('no reply: timeout')
    proxy.heal()
    expect(await bus.answers(timeoutMs)).toBe(true)
  })

  test('that is not there is waited for', async () => {
    const nats = await ownServer('nats')
    await nats.kill()
    const log = { ...silentLogger(), warn: vi.fn() }
    const connecting = connectNats(nats.url, log)
    await eventually(() => log.warn.mock.calls.length > 0)
    expect(JSON.stringify(log.warn.mock.calls)).toContain('waiting for NATS')
    await nats.restart()
    expect((await connecting).connected).toBe(true)
  })

  test.each([
    ['already', () => AbortSignal.abort()],
    ['later', () => AbortSignal.timeout(200)],
  ])('is no longer waited for when the signal says so, %s, and nothing goes on behind', async (_, signal) => {
    const nats = await ownServer('nats')
    await nats.kill()
    const connecting = connectNatsBus({ url: nats.url, name: 'test', log: silentLogger(), signal: signal() })
    expect(await outcome(connecting.then(() => 'connected'))).toBe('no reply: closed')
  })

  test('that wants other credentials is told at once, without the password', async () => {
    const port = await fakeNats({ user: 'baton', pass: 'right' })
    const connect = (login: string) => connectNats(`nats://${login}127.0.0.1:${port}`)
    expect((await connect('baton:right@')).connected).toBe(true)
    for (const login of ['baton:mistaken@', 'mistaken@', '']) {
      const failure = await connect(login).catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'invalid_configuration' })
      expect(String(failure)).not.toContain('mistaken')
    }
  })

  test('that did not want to wait for the credentials is asked again: they are not wrong, this process is slow', async () => {
    const port = await fakeNats({ user: 'baton', pass: 'right', impatient: 1 })
    expect((await connectNats(`nats://baton:right@127.0.0.1:${port}`)).connected).toBe(true)
  })
})

/** As much of a NATS server as it takes to sign in; it hangs up on the first `impatient` clients. */
async function fakeNats({ impatient = 0, ...credentials }: { user: string; pass: string; impatient?: number }): Promise<number> {
  let clients = 0
  const server = createServer(socket => {
    const hangsUp = clients++ < impatient
    socket.on('error', () => socket.destroy())
    socket.write(`INFO ${JSON.stringify({ version: '2.10.0', max_payload: 1_048_576, headers: true, auth_required: true })}\r\n`)
    let received = ''
    socket.on('data', chunk => {
      received += chunk
      for (let end = received.indexOf('\r\n'); end >= 0; end = received.indexOf('\r\n')) {
        const line = received.slice(0, end)
        received = received.slice(end + 2)
        if (line.startsWith('PING')) socket.write('PONG\r\n')
        if (!line.startsWith('CONNECT ')) continue
        const { user, pass } = JSON.parse(line.slice(8))
        if (hangsUp) socket.end("-ERR 'Authentication Timeout'\r\n")
        else if (user !== credentials.user || pass !== credentials.pass) socket.end("-ERR 'Authorization Violation'\r\n")
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  cleanUp(() => server.close())
  return (server.address() as AddressInfo).port // of a TCP server that listens
}
