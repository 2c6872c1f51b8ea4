import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { ask } from './answers.js'
import { missingServers } from './find-binaries.js'
import type { ServerHandle, ServerOptions } from './handle.js'
import { startNats } from './nats.js'
import { startPostgres } from './postgres.js'
import { askPostgres } from './postgres-wire.js'
import { descendants, stillRunning } from './process-tree.js'
import { startRedis } from './redis.js'
import { startServers } from './start-servers.js'

const timeout = 60_000
const missing = await missingServers()

let scratch: string

beforeEach(async ({ onTestFinished }) => {
  scratch = await mkdtemp(join(tmpdir(), 'baton-test-'))
  await chmod(scratch, 0o755) // the user that runs Postgres must get through
  vi.stubEnv('TMPDIR', scratch)
  // Registered first, so it runs after the servers of the test are stopped.
  onTestFinished(async () => {
    vi.unstubAllEnvs()
    expect(await readdir(scratch)).toEqual(expect.not.arrayContaining([expect.stringMatching(/^baton-/)]))
    await rm(scratch, { recursive: true, force: true })
  })
})

interface Kind {
  readonly name: 'postgres' | 'redis' | 'nats'
  readonly start: (options?: ServerOptions) => Promise<ServerHandle>
  /** A round trip: undefined when the server does not answer. */
  readonly answer: (port: number) => Promise<unknown>
}

const kinds: Kind[] = [
  { name: 'postgres', start: startPostgres, answer: port => query(port, 'SELECT 1') },
  { name: 'redis', start: startRedis, answer: port => redis(port, 'PING') },
  { name: 'nats', start: startNats, answer: port => ask({ port, read: bytes => bytes.length || undefined }) },
]

for (const { name, start, answer } of kinds) {
  describe.skipIf(missing.includes(name))(name, { timeout }, () => {
    test('starts on a free port, answers, and leaves nothing when it is stopped', async () => {
      const server = await start()
      onTestFinished(() => server.stop())
      expect(server.url).toContain(`127.0.0.1:${server.port}`)
      expect(await answer(server.port)).toBeDefined()

      await Promise.all([server.stop(), server.stop()])
      expect(await answer(server.port)).toBeUndefined()
      expect(stillRunning([server.pid])).toEqual([])
      expect(await readdir(scratch)).toEqual([])
    })

    test('comes back on the same port after it was killed', async () => {
      const server = await start()
      onTestFinished(() => server.stop())
      const { port, pid } = server
      const tree = [pid, ...descendants(pid)]

      await server.kill()
      expect(stillRunning(tree)).toEqual([])
      expect(await answer(port)).toBeUndefined()

      await server.restart()
      expect(server.port).toBe(port)
      expect(server.pid).not.toBe(pid)
      expect(await answer(port)).toBeDefined()
    })

    test('is silent while it is frozen, answers when it is thawed, and can be stopped frozen', async () => {
      const server = await start()
      onTestFinished(() => server.stop())
      server.signal('SIGSTOP')
      await vi.waitFor(async () => expect(await answer(server.port)).toBeUndefined()) // a process of many threads stops a moment later
      server.signal('SIGCONT')
      expect(await answer(server.port)).toBeDefined()
      server.signal('SIGSTOP')
      await server.stop()
      expect(stillRunning([server.pid])).toEqual([])
    })

    test('is stopped by its abort signal', async () => {
      const abort = new AbortController()
      const starting = start({ signal: abort.signal })
      abort.abort(new Error('changed my mind'))
      await expect(starting).rejects.toThrow('changed my mind')
      expect(await readdir(scratch)).toEqual([])

      const later = new AbortController()
      const server = await start({ signal: later.signal })
      later.abort()
      await server.stop()
      expect(stillRunning([server.pid])).toEqual([])
    })

    test('a given port that is taken fails the start with the log of the server', async () => {
      const server = await start()
      onTestFinished(() => server.stop())
      await expect(start({ port: server.port })).rejects.toThrow(/in use/i)
      expect(await answer(server.port)).toBeDefined()
    })
  })
}

test.skipIf(missing.includes('postgres'))('Postgres keeps what was committed before a crash', { timeout }, async () => {
  const server = await startPostgres({ settings: { work_mem: '7MB' } })
  onTestFinished(() => server.stop())
  expect(await query(server.port, 'SHOW work_mem')).toEqual(['7MB'])
  expect(await query(server.port, 'SHOW fsync')).toEqual(['on'])
  await query(server.port, 'CREATE TABLE kept (word text)')
  await query(server.port, "INSERT INTO kept VALUES ('baton')")
  const busy = query(server.port, 'SELECT pg_sleep(600)')
  await expect.poll(() => query(server.port, running), { timeout: 10_000 }).toEqual(['1'])

  await server.kill()
  expect(await busy).toBeUndefined()
  await server.restart()
  expect(await query(server.port, 'SELECT word FROM kept')).toEqual(['baton'])
})

test.skipIf(missing.includes('redis'))('Redis keeps what it acknowledged before a crash', { timeout }, async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  expect(await redis(server.port, 'SET kept baton')).toBe('+OK')
  await server.kill()
  await server.restart()
  expect(await redis(server.port, 'STRLEN kept')).toBe(':5')
})

test.skipIf(missing.length > 0)('data in a given directory outlives the servers', { timeout }, async () => {
  const dataDir = join(scratch, 'data')
  const first = await startServers({ dataDir, redis: { settings: { databases: '4' } } })
  await query(first.postgres.port, 'CREATE TABLE kept ()')
  await redis(first.redis.port, 'SET kept baton')
  await first.stop()
  expect(existsSync(dataDir)).toBe(true)

  const second = await startServers({ dataDir })
  onTestFinished(() => second.stop())
  expect(await query(second.postgres.port, "SELECT to_regclass('kept')")).toEqual(['kept'])
  expect(await redis(second.redis.port, 'STRLEN kept')).toBe(':5')
})

test.skipIf(missing.length > 0)('when one server cannot start the others are stopped', { timeout }, async () => {
  const starting = startServers({ redis: { settings: { 'no-such-directive': 'yes' } } })
  await expect(starting).rejects.toThrow(/redis.*no-such-directive/s)
  expect(await readdir(scratch)).toEqual([])
})

const running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()"

async function query(port: number, sql: string): Promise<string[] | undefined> {
  const answer = await askPostgres({ port, database: 'baton', sql })
  return answer?.kind === 'rows' ? answer.rows : undefined
}

function redis(port: number, command: string): Promise<string | undefined> {
  return ask({ port, question: `${command}\r\n`, read: bytes => /^(.*)\r\n/.exec(bytes.toString())?.[1] })
}
