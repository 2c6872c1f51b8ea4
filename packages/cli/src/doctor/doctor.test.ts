import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type FakeServer, problem, startFakeServer } from '@baton/client/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { doctorLines, exitCodeOfChecks } from '../commands/doctor.js'
import { plain } from '../output/style.js'
import { run } from '../program.js'
import { testIo } from '../testing/test-io.js'
import { checkNode } from './checks.js'
import { probe } from './probe.js'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A server that speaks first, or answers what it is told. Its port. */
async function speaker(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise(resolve => server.close(() => resolve())))
  return (server.address() as AddressInfo).port
}

const answering = (answer: string) => (socket: Socket) => void socket.once('data', () => socket.end(answer))

const primary = '*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n'

describe('probing', () => {
  test('tells servers by what they answer', async () => {
    expect(await probe('redis', `redis://127.0.0.1:${await speaker(answering(primary))}`)).toMatch(/^Redis answers at 127/)
    expect(await probe('redis', `redis://127.0.0.1:${await speaker(answering('-NOAUTH Authentication required.\r\n'))}`)).toMatch(
      /^Redis answers \(NOAUTH\)/,
    )
    expect(await probe('postgres', `postgres://u:secret@127.0.0.1:${await speaker(answering('N'))}/db`)).toMatch(
      /^PostgreSQL answers at 127/,
    )
    expect(
      await probe('nats', `nats://127.0.0.1:${await speaker(socket => socket.write('INFO {"server_id":"x","version":"2.10.1"}\r\n'))}`),
    ).toMatch(/^NATS 2\.10\.1 answers/)
  })

  test('tells another server from the right one', async () => {
    const port = await speaker(answering('HTTP/1.1 400 Bad Request\r\n'))
    await expect(probe('redis', `redis://127.0.0.1:${port}`)).rejects.toThrow(`127.0.0.1:${port} answers, but not as a redis server does`)
    const replica = await speaker(answering('*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:14\r\n'))
    await expect(probe('redis', `redis://127.0.0.1:${replica}`)).rejects.toThrow(`127.0.0.1:${replica} is a replica, which takes no writes`)
  })

  test('tells silence and closed doors', async () => {
    const port = await speaker(socket => closers.unshift(async () => void socket.destroy()))
    await expect(probe('nats', `nats://127.0.0.1:${port}`, 20)).rejects.toThrow('did not answer within 0.02 s')
    const hangingUp = await speaker(socket => socket.end())
    await expect(probe('nats', `nats://127.0.0.1:${hangingUp}`)).rejects.toThrow('closed the connection')
  })
})

test('Node.js has to be new enough', () => {
  expect(checkNode('20.11.0').state).toBe('ok')
  expect(checkNode('22.1.0').state).toBe('ok')
  expect(checkNode('20.10.0')).toMatchObject({ state: 'failed', remedy: 'install Node.js 20.11 or later' })
})

describe('the doctor', () => {
  async function visit(env: Record<string, string>) {
    const io = testIo({ cwd: '/', env })
    const code = await run(['doctor'], io)
    return { code, out: io.out() }
  }

  async function coordinator(ready: boolean): Promise<FakeServer> {
    const server = await startFakeServer(({ path }) => {
      if (path === '/healthz') return { body: { status: 'ok', version: '0.1.0', mode: 'local' } }
      if (path === '/readyz')
        return ready
          ? { body: { status: 'ready', checks: { postgres: 'ok' } } }
          : problem('unavailable', 'postgres cannot be used', { checks: { postgres: 'failing' } })
      return { body: { agents: [], next_cursor: null } }
    })
    closers.push(() => server.stop())
    return server
  }

  test('finds nothing wrong where nothing is', async () => {
    const { code, out } = await visit({ BATON_URL: (await coordinator(true)).url })
    expect(out).toContain('✔ coordinator')
    expect(out).toContain('! agents         no agent is live')
    expect(code).toBe(0)
  })

  test('ends with 3 when the coordinator cannot be reached or is not ready', async () => {
    expect((await visit({ BATON_URL: (await coordinator(false)).url })).code).toBe(3)
    const gone = await startFakeServer(() => 'break')
    await gone.stop()
    const { code, out } = await visit({ BATON_URL: gone.url })
    expect(code).toBe(3)
    expect(out).toContain('→ start a coordinator there with `baton up`')
  })

  test('ends with 2 when the environment has problems', async () => {
    const { code, out } = await visit({ BATON_PORT: 'x' })
    expect(code).toBe(2)
    expect(out).toContain('✘ environment')
  })

  test('looks at the servers that are named', async () => {
    const port = await speaker(answering(primary))
    const closed = await speaker(socket => socket.end())
    const { code, out } = await visit({
      BATON_URL: (await coordinator(true)).url,
      REDIS_URL: `redis://127.0.0.1:${port}`,
      NATS_URL: `nats://127.0.0.1:${closed}`,
    })
    expect(out).toContain('! environment    enough for a worker at most: REDIS_URL and NATS_URL are set, but DATABASE_URL is not')
    expect(out).toContain(`✔ redis          Redis answers at 127.0.0.1:${port}`)
    expect(out).toContain('✘ nats')
    expect(code).toBe(3)
  })

  test('puts what the user can mend first', () => {
    const failed = (kind: 'configuration' | 'unreachable') => ({ name: 'x', state: 'failed' as const, says: 'y', remedy: 'z', kind })
    expect(exitCodeOfChecks([failed('unreachable'), failed('configuration')])).toBe(2)
    expect(doctorLines([failed('unreachable')], plain)).toEqual(['✘ x  y', '     → z'])
  })
})
