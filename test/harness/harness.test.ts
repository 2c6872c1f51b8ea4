import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { silentLogger } from '@baton/shared/node'
import { afterAll, describe, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js'
import { askDesk, openDesk } from './desk.js'
import { eventually, freshDatabase, freshNamespace, ownServer, redisCommand, servers, startSource } from './index.js'
import { behindProxy } from './own-server.js'

const urls = { databaseUrl: 'postgres://a', redisUrl: 'redis://b', natsUrl: 'nats://c' }

describe('the desk of a test run', () => {
  const ask = (url: string) => askDesk(url, 'PostgreSQL, Redis and NATS')

  test('has what it hands out made when the first asks, once for all', async () => {
    let starts = 0
    const desk = await openDesk(async () => {
      starts++
      await new Promise(resolve => setImmediate(resolve))
      return urls
    })
    expect(starts).toBe(0)
    const answers = await Promise.all([1, 2, 3].map(() => ask(desk.url)))
    expect(answers).toEqual([urls, urls, urls])
    expect(await ask(desk.url)).toEqual(urls)
    expect(starts).toBe(1)
    desk.close()
  })

  test('tells everyone why they cannot be had', async () => {
    const desk = await openDesk(async () => {
      throw new Error('No PostgreSQL 14+ on this machine. One of these helps: …')
    })
    for (let n = 0; n < 2; n++) await expect(ask(desk.url)).rejects.toThrow(/needs PostgreSQL, Redis and NATS.\nNo PostgreSQL 14\+/)
    desk.close()
  })

  test('answers nobody who does not know its whole address', async () => {
    const desk = await openDesk(async () => urls)
    await expect(ask(new URL('/', desk.url).href)).rejects.toThrow()
    desk.close()
  })
})

describe('waiting for a condition', () => {
  test('ends with its answer as soon as it neither throws nor is false', async () => {
    let looks = 0
    const answer = await eventually(
      () => {
        looks++
        if (looks === 1) throw new Error('not yet')
        return looks === 2 ? false : `look ${looks}`
      },
      { everyMs: 1 },
    )
    expect(answer).toBe('look 3')
    expect(await eventually(async () => 0)).toBe(0)
    await eventually(() => undefined)
  })

  test('ends at its deadline with what was wrong last', async () => {
    await expect(eventually(() => expect(1).toBe(2), { timeoutMs: 20, everyMs: 1 })).rejects.toThrow(/after 20 ms: expected 1 to be 2/)
    await expect(eventually(() => false, { timeoutMs: 0 })).rejects.toThrow('after 0 ms: the condition still does not hold')
  })
})

describe('fresh databases and namespaces', () => {
  let database = ''
  let namespace = ''

  test('are empty and of one test', async () => {
    database = await freshDatabase()
    namespace = await freshNamespace()
    expect(await freshDatabase()).not.toBe(database)
    expect(await freshNamespace()).not.toBe(namespace)
    const db = await openPostgres({ url: database, log: silentLogger() })
    await db.script('create table words (word text)') // and stays connected
    const { redisUrl } = await servers()
    expect(await redisCommand(redisUrl, 'SET', `${namespace}:a`, 'x')).toBe('OK')
    expect(await redisCommand(redisUrl, 'EXISTS', `${namespace}:a`)).toBe('1')
    await expect(redisCommand(redisUrl, 'NONSENSE')).rejects.toThrow(/unknown command/)
    leftOpen = db
  })
  let leftOpen: Database | undefined
  afterAll(() => leftOpen?.close())

  test('are gone when it ends', async () => {
    const { redisUrl } = await servers()
    await expect(openPostgres({ url: database, log: silentLogger() })).rejects.toThrow(/does not exist/)
    expect(await redisCommand(redisUrl, 'EXISTS', `${namespace}:a`)).toBe('0')
  })
})

describe("servers of the test's own", () => {
  test.each([
    ['from a binary', ownServer],
    ['behind a proxy', behindProxy],
  ])('%s: are away after a kill, and at the same place after a restart', async (_, open) => {
    const redis = await open('redis')
    expect(await redisCommand(redis.url, 'PING')).toBe('PONG')
    await redis.kill()
    await expect(redisCommand(redis.url, 'PING')).rejects.toThrow()
    await redis.restart()
    expect(await redisCommand(redis.url, 'PING')).toBe('PONG')
  })
})

describe('processes from source', () => {
  const holder = new URL('../contract/lock-holder.ts', import.meta.url)

  test('say what went wrong when they end too early', async () => {
    const process = startSource(holder, '/not/there')
    await expect(process.line()).rejects.toThrow(/ENOENT.*lockDirectory/s)
  })
})

test('a file that leaves something alive fails, one that cleans up passes, and one without its servers says why', async () => {
  const { code, output } = await vitest({
    TEST_DATABASE_URL: 'postgres://127.0.0.1:1/nowhere',
    TEST_REDIS_URL: 'redis://127.0.0.1:1',
    TEST_NATS_URL: 'nats://127.0.0.1:1',
  })
  expect(output).toMatch(/FAIL\s+leaky\.fixture\.ts/)
  expect(output).toMatch(/this file leaves open: .*1 × TCPServerWrap/)
  expect(output).toMatch(/this file leaves open: .*1 × Timeout/)
  expect(output).not.toMatch(/FAIL\s+tidy\.fixture\.ts/)
  expect(output).toMatch(/FAIL\s+without-servers\.fixture\.ts > needs a database/)
  expect(output).toMatch(/no PostgreSQL answers at postgres:\/\/127\.0\.0\.1:1\/nowhere/)
  expect(output).toMatch(/Tests\s+1 failed \| 3 passed/)
  expect(code).toBe(1)
}, 60_000)

/** A run of its own over the files in fixtures/. */
function vitest(environment: Record<string, string>): Promise<{ code: number | null; output: string }> {
  const program = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
  const config = fileURLToPath(new URL('fixtures/vitest.config.ts', import.meta.url))
  const child = spawn(process.execPath, [program, 'run', '--config', config], {
    env: { PATH: process.env.PATH, NO_COLOR: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', chunk => {
      output += chunk
    })
  return new Promise(resolve => child.once('close', code => resolve({ code, output })))
}
