import { describe, expect, test } from 'vitest'
import { BatonError } from '../errors.js'
import { childEnvironment, coordinatorMode, environmentTable, readEnvironment, workerUrls } from './env.js'

const fleet = { DATABASE_URL: 'postgres://db/baton', REDIS_URL: 'redis://cache', NATS_URL: 'nats://bus' }

function problemsOf(source: Record<string, string>): readonly string[] {
  try {
    readEnvironment(source)
    return []
  } catch (error) {
    expect(error).toBeInstanceOf(BatonError)
    expect(error).toMatchObject({ code: 'invalid_configuration' })
    return (error as BatonError).fields?.map(({ path }) => path) ?? []
  }
}

describe('reading the environment', () => {
  test('an empty one gives the defaults of the table', () => {
    const environment = readEnvironment({})
    expect(environment).toEqual({
      host: environmentTable.BATON_HOST.default,
      port: Number(environmentTable.BATON_PORT.default),
      url: environmentTable.BATON_URL.default,
      apiKey: undefined,
      dataDir: environmentTable.BATON_DATA_DIR.default,
      config: undefined,
      plannerModel: { baseUrl: undefined, model: undefined, apiKey: undefined },
      namespace: environmentTable.BATON_NAMESPACE.default,
      leaseMs: Number(environmentTable.BATON_LEASE_MS.default),
      heartbeatMs: Number(environmentTable.BATON_HEARTBEAT_MS.default),
      tracing: false,
      intake: true,
      logFile: { path: environmentTable.BATON_LOG_FILE.default, maxBytes: 10_000_000, keep: 5 },
      metrics: undefined,
      logLevel: environmentTable.LOG_LEVEL.default,
      failpoints: [],
      timeScale: Number(environmentTable.BATON_TIME_SCALE.default),
      databaseUrl: undefined,
      redisUrl: undefined,
      natsUrl: undefined,
    })
  })

  test('an empty string counts as unset, for every variable', () => {
    const empty = Object.fromEntries(Object.keys(environmentTable).map(name => [name, '']))
    expect(readEnvironment(empty)).toEqual(readEnvironment({}))
  })

  test('what is set is taken', () => {
    expect(
      readEnvironment({
        ...fleet,
        BATON_PORT: '0',
        BATON_LEASE_MS: '1000',
        BATON_HEARTBEAT_MS: '100',
        LOG_LEVEL: 'debug',
        BATON_API_KEY: 'k'.repeat(16),
      }),
    ).toMatchObject({
      port: 0,
      leaseMs: 1_000,
      heartbeatMs: 100,
      logLevel: 'debug',
      databaseUrl: fleet.DATABASE_URL,
      apiKey: 'k'.repeat(16),
    })
  })

  test('PORT is taken where BATON_PORT is not set', () => {
    expect(readEnvironment({ PORT: '8080' }).port).toBe(8080)
    expect(readEnvironment({ PORT: '8080', BATON_PORT: '1' }).port).toBe(1)
    expect(problemsOf({ PORT: 'http' })).toEqual(['PORT'])
  })

  test.each([
    ['BATON_PORT', ['65536', '-1', '1.5', '0x50', ' 1', 'a', '1e3']],
    ['BATON_LEASE_MS', ['199', '3600001', '6s']],
    ['BATON_HEARTBEAT_MS', ['49', '3000', '2s']],
    ['BATON_URL', ['localhost:7420', 'ftp://x', 'http//x']],
    ['DATABASE_URL', ['mysql://x', 'db', 'postgres']],
    ['REDIS_URL', ['http://x', 'cache:6379']],
    ['NATS_URL', ['bus:4222', 'http://x', 'nats://a:1,nats://b:2']],
    ['BATON_FAILPOINT', ['dispatch.nowhere:kill', 'migrate.mid', 'migrate.mid:kill:0']],
    ['BATON_TIME_SCALE', ['0', '11', '-1', '1e-1', 'fast']],
    ['LOG_LEVEL', ['loud', 'INFO', 'constructor']],
    ['BATON_NAMESPACE', ['a.b', 'A', '*']],
    ['BATON_API_KEY', ['short', 'bad\nkey12345678901234', '“keykeykeykeykeykey”']],
  ])('%s refuses what it cannot be', (name, values) => {
    for (const value of values) expect([value, problemsOf({ [name]: value })]).toEqual([value, [name]])
  })

  test('artifacts are in Postgres, or go to a directory, or stay readable in it while new ones go to Postgres', () => {
    expect(readEnvironment({ BATON_ARTIFACTS: 'postgres' }).artifacts).toBeUndefined()
    expect(readEnvironment({ BATON_ARTIFACTS_DIR: '/d' }).artifacts).toEqual({ directory: '/d', into: 'directory' })
    expect(readEnvironment({ BATON_ARTIFACTS_DIR: '/d', BATON_ARTIFACTS: 'postgres' }).artifacts).toEqual({
      directory: '/d',
      into: 'postgres',
    })
    expect(problemsOf({ BATON_ARTIFACTS: 'directory' })).toEqual(['BATON_ARTIFACTS_DIR'])
    expect(problemsOf({ BATON_ARTIFACTS: 'disk' })).toEqual(['BATON_ARTIFACTS'])
  })

  test('all problems are told at once, by name', () => {
    const names = [
      'BATON_PORT',
      'BATON_LEASE_MS',
      'BATON_URL',
      'DATABASE_URL',
      'REDIS_URL',
      'NATS_URL',
      'LOG_LEVEL',
      'BATON_NAMESPACE',
      'BATON_API_KEY',
    ]
    const source = Object.fromEntries(names.map(name => [name, '?']))
    expect([...problemsOf(source)].sort()).toEqual([...names].sort())
    expect(() => readEnvironment(source)).toThrow(
      /the environment has 9 problems: .*BATON_PORT must be a whole number from 0 to 65535, not "\?"/,
    )
  })

  test('what is for tests is refused in production', () => {
    const forTests = { BATON_FAILPOINT: 'migrate.mid:kill', BATON_TIME_SCALE: '0.5' }
    expect(readEnvironment(forTests)).toMatchObject({ failpoints: [{ name: 'migrate.mid', action: 'kill', nth: 1 }], timeScale: 0.5 })
    expect(problemsOf({ ...forTests, NODE_ENV: 'production' })).toEqual(['BATON_FAILPOINT', 'BATON_TIME_SCALE'])
    expect(problemsOf({ BATON_TIME_SCALE: '1', NODE_ENV: 'production' })).toEqual([])
  })

  test('a secret is never part of a message', () => {
    const source = { BATON_API_KEY: 'hush', DATABASE_URL: 'mysql://me:hush@db', REDIS_URL: 'hush', NATS_URL: 'hush' }
    expect(() => readEnvironment(source)).toThrow(expect.objectContaining({ message: expect.not.stringContaining('hush') }))
  })
})

describe('the mode of a coordinator', () => {
  test('is local without URLs, and fleet with all three', () => {
    expect(coordinatorMode(readEnvironment({}))).toEqual({ kind: 'local' })
    expect(coordinatorMode(readEnvironment(fleet))).toEqual({
      kind: 'fleet',
      databaseUrl: fleet.DATABASE_URL,
      redisUrl: fleet.REDIS_URL,
      natsUrl: fleet.NATS_URL,
    })
  })

  test.each(Object.keys(fleet))('is refused without %s, which is named', missing => {
    const mode = () => coordinatorMode(readEnvironment({ ...fleet, [missing]: '' }))
    expect(mode).toThrow(new RegExp(`are set, but ${missing} is not`))
    expect(mode).toThrow(expect.objectContaining({ code: 'invalid_configuration', fields: [{ path: missing, issue: 'is missing' }] }))
  })
})

describe('the URLs of a worker', () => {
  test('are those of Redis and NATS, never that of Postgres', () => {
    expect(workerUrls(readEnvironment(fleet))).toEqual({ redisUrl: fleet.REDIS_URL, natsUrl: fleet.NATS_URL })
  })

  test('are named when they are missing', () => {
    expect(() => workerUrls(readEnvironment({}))).toThrow('a worker needs REDIS_URL and NATS_URL')
    expect(() => workerUrls(readEnvironment({ REDIS_URL: fleet.REDIS_URL }))).toThrow('a worker needs NATS_URL')
  })
})

test('a program that an agent runs inherits all but the keys to the stores', () => {
  const source = { ...fleet, BATON_API_KEY: 'secret', PATH: '/bin', EMPTY: '', GONE: undefined }
  expect(childEnvironment(source)).toEqual({ PATH: '/bin', EMPTY: '' })
})
