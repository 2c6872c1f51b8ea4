import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Servers, startNats, startPostgres, startRedis, startServers } from '@baton/cli/servers'
import { createClient } from '@baton/client'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { cleanUp, servers as serversOfTheRun } from '../harness/index.js'
import { baton, expectError, folder, start } from './baton.js'

let servers: Servers
let stores: { DATABASE_URL: string; REDIS_URL: string; NATS_URL: string }
let cwd: string
/** A NATS server that asks for a user and a password. */
let guardedNats: string
/** A Redis that asks for a password. */
let guardedRedis: string

beforeAll(async () => {
  cwd = folder()
  const echo = { name: 'echo', kind: 'command', command: ['node', '-e', 'process.stdin.pipe(process.stdout)'] }
  writeFileSync(join(cwd, 'baton.config.json'), JSON.stringify({ agents: [echo] }))
  await serversOfTheRun() // a machine that has none installs them for those
  servers = await startServers({ redis: { appendOnly: false } })
  cleanUp(() => servers.stop())
  stores = { DATABASE_URL: servers.databaseUrl, REDIS_URL: servers.redisUrl, NATS_URL: servers.natsUrl }
  const redis = await startRedis({ appendOnly: false })
  cleanUp(() => redis.stop())
  await tell(redis.port, 'CONFIG SET requirepass hush\r\n')
  guardedRedis = `127.0.0.1:${redis.port}`
  guardedNats = await startGuardedNats()
})

/** One command to a Redis. */
async function tell(port: number, command: string): Promise<void> {
  const { connect } = await import('node:net')
  const socket = connect(port, '127.0.0.1')
  socket.write(command)
  await once(socket, 'data')
  socket.destroy()
}

async function startGuardedNats(): Promise<string> {
  const port = await freePort()
  const child: ChildProcess = spawn('nats-server', ['--addr', '127.0.0.1', '--port', String(port), '--user', 'a', '--pass', 'b'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` },
  })
  const exited = once(child, 'exit')
  cleanUp(async () => {
    child.kill('SIGKILL')
    await exited
  })
  let log = ''
  child.stderr?.setEncoding('utf8').on('data', text => {
    log += text
  })
  await vi.waitFor(() => expect(log).toContain('Server is ready'), { timeout: 20_000 })
  return `127.0.0.1:${port}`
}

/** Outside of the range that the kernel hands to outgoing connections, as the private servers' own ports are. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000)
    const server = createServer()
    const free = await new Promise<boolean>(resolve =>
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)),
    )
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

const asCoordinator = (env: Record<string, string>) => start(['up', '--json', '--port', '0'], { cwd, env: { ...stores, ...env } })
const asWorker = (env: Record<string, string>, flags: readonly string[] = []) =>
  start(['worker', '--json', ...flags], { cwd, env: { REDIS_URL: stores.REDIS_URL, NATS_URL: stores.NATS_URL, ...env } })

describe('servers that come later', () => {
  test('a coordinator and a worker wait for all of them with a line each, and go on when they are there', async () => {
    const [postgresPort, redisPort, natsPort] = [await freePort(), await freePort(), await freePort()]
    const env = {
      // There from the first moment, unlike the database that `startPostgres` adds.
      DATABASE_URL: `postgres://postgres@127.0.0.1:${postgresPort}/postgres`,
      REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      NATS_URL: `nats://127.0.0.1:${natsPort}`,
    }
    const coordinator = asCoordinator(env)
    const worker = asWorker({ REDIS_URL: env.REDIS_URL, NATS_URL: env.NATS_URL })
    await Promise.all([coordinator.said(/waiting for PostgreSQL/), worker.said(/waiting for (NATS|Redis)/)])
    const postgres = await startPostgres({ port: postgresPort })
    cleanUp(() => postgres.stop())
    await coordinator.said(/waiting for Redis/)
    const redis = await startRedis({ port: redisPort, appendOnly: false })
    cleanUp(() => redis.stop())
    await Promise.all([coordinator, worker].map(process => process.said(/waiting for NATS/)))
    const nats = await startNats({ port: natsPort })
    cleanUp(() => nats.stop())
    const [line] = await coordinator.said(/^\{"url":.*\}$/m)
    await worker.said(/^\{"id":.*"agents":\["echo"\]\}$/m)
    const client = createClient({ url: (JSON.parse(line) as { url: string }).url })
    await client.tasks.submit({ task_id: 'late', title: 'x', subtasks: [{ name: 'a', capability: 'echo', input: 1 }], execute: true })
    expect(await client.tasks.wait('late', { timeoutMs: 60_000 })).toMatchObject({ status: 'completed', subtasks: [{ outputs: 1 }] })
    expect([(await worker.stop()).code, (await coordinator.stop()).code]).toEqual([0, 0])
  })

  test('a worker waits for a coordinator', async () => {
    const env = { BATON_NAMESPACE: 'patient' }
    const worker = asWorker(env)
    await worker.said(/no coordinator answers; asking on/)
    const coordinator = asCoordinator(env)
    await worker.said(/^\{"id":.*\}$/m)
    expect([(await worker.stop()).code, (await coordinator.stop()).code]).toEqual([0, 0])
  })

  test.each<[string, Record<string, string>]>([
    ['NATS', { NATS_URL: 'nats://127.0.0.1:2' }],
    ['Redis', { REDIS_URL: 'redis://127.0.0.1:2' }],
  ])('Ctrl-C ends a worker that waits for %s', async (name, env) => {
    const worker = asWorker(env)
    await worker.said(new RegExp(`waiting for ${name}`))
    worker.signal('SIGINT')
    expect((await worker.ended).code).toBe(130)
  })
})

describe('agents that a module exports', () => {
  test.each(['agents.mjs', 'agents.ts'])('are hosted wherever it lies: %s', async name => {
    const lines = [
      `import { defineAgent } from '@baton/worker'`,
      `export const agents = [defineAgent({ name: 'builder', capabilities: ['build'], run: async input => input })]`,
    ]
    writeFileSync(join(cwd, name), lines.join('\n'))
    const worker = asWorker({ NATS_URL: 'nats://127.0.0.1:2' }, ['--agents', name])
    await worker.said(/waiting for NATS/) // it has its agents by then
    worker.signal('SIGINT')
    expect((await worker.ended).code).toBe(130)
  })

  test('are refused with what is wrong', async () => {
    writeFileSync(join(cwd, 'none.mjs'), 'export const agents = []')
    for (const [name, reason] of [
      ['none.mjs', /must export `agents`/],
      ['./away.mjs', /there is no file .*away\.mjs/],
    ] as const) {
      const { code, err } = await asWorker({}, ['--agents', name]).ended
      expect([code, err]).toEqual([2, expect.stringMatching(reason)])
    }
  })
})

describe('what waiting cannot mend ends the start with 2 and names the variable', () => {
  const redis = (credentials: string, rest = '') => ({ REDIS_URL: `redis://${credentials}${guardedRedis}${rest}` })
  const nats = (credentials: string) => ({ NATS_URL: `nats://${credentials}${guardedNats}` })

  test('a database that does not exist', async () => {
    const ended = await asCoordinator({ DATABASE_URL: `${servers.databaseUrl}-gone` }).ended
    expect(ended.code).toBe(2)
    expect(ended.err).toMatch(/^error: DATABASE_URL postgres:\S+: database "baton-gone" does not exist$/m)
  })

  test('a user that does not exist', async () => {
    const url = new URL(servers.databaseUrl)
    url.username = 'nobody'
    url.password = 'hush'
    const ended = await asCoordinator({ DATABASE_URL: url.href }).ended
    expect(ended.code).toBe(2)
    expect(ended.err).toMatch(/^error: DATABASE_URL .*role "nobody" does not exist$/m)
    expect(ended.err + ended.out).not.toContain('hush')
  })

  test.each<[string, 'coordinator' | 'worker']>([
    ['a coordinator', 'coordinator'],
    ['a worker', 'worker'],
  ])('credentials of Redis and NATS that are wrong or missing, for %s', async (_, kind) => {
    const launch = kind === 'coordinator' ? asCoordinator : asWorker
    const cases: [Record<string, string>, RegExp][] = [
      [redis(':wrong@'), /^error: REDIS_URL redis:\/\/:\*\*\*@\S+: .*(WRONGPASS|invalid)/m],
      [redis('me:wrong@'), /^error: REDIS_URL redis:\/\/me:\*\*\*@\S+: .*(WRONGPASS|invalid)/m],
      [redis(''), /^error: REDIS_URL redis:\S+: .*NOAUTH/m],
      [redis(':hush@', '/9999'), /^error: REDIS_URL redis:\S+: .*DB index/m],
      [nats(''), /^error: NATS_URL nats:\S+: .*[Aa]uthorization/m],
      [nats('a:wrong@'), /^error: NATS_URL nats:\/\/a:\*\*\*@\S+: .*[Aa]uthorization/m],
      [nats('sometoken@'), /^error: NATS_URL nats:\/\/\*\*\*@\S+: .*[Aa]uthorization/m],
    ]
    for (const [env, says] of cases) {
      const ended = await launch(env).ended
      expect(ended.err).toMatch(says)
      expect(ended.code).toBe(2)
      expect(ended.out + ended.err).not.toMatch(/hush|wrong|sometoken/)
    }
  })

  test('with the right credentials a worker and a coordinator start', async () => {
    const env = { ...redis(':hush@', '/3'), ...nats('a:b@'), BATON_NAMESPACE: 'guarded' }
    const coordinator = asCoordinator(env)
    await coordinator.said(/^\{"url":.*\}$/m)
    const worker = asWorker(env)
    await worker.said(/^\{"id":.*\}$/m)
    expect([(await worker.stop()).code, (await coordinator.stop()).code]).toEqual([0, 0])
  })

  test('a worker without its URLs, each by its name', async () => {
    const cases: [Record<string, string>, string][] = [
      [{ NATS_URL: stores.NATS_URL }, 'a worker needs REDIS_URL; in local mode `baton up` runs the agents itself'],
      [{ REDIS_URL: stores.REDIS_URL }, 'a worker needs NATS_URL; '],
      [{}, 'a worker needs REDIS_URL and NATS_URL; '],
    ]
    for (const [env, says] of cases) {
      const ended = await baton(['worker'], { cwd, env })
      expect(ended.code).toBe(2)
      expectError(ended, says)
    }
  })

  test('a worker without agents', async () => {
    const ended = await baton(['worker'], { cwd: folder(), env: stores })
    expect(ended.code).toBe(2)
    expectError(ended, 'a worker needs agents, and no configuration was found; `baton init` writes one, --config names one')
  })
})
