/** docker-compose.yml and Dockerfile say what the code can keep, without Docker: they are parsed and compared with it. */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '@baton/cli'
import { startLocal } from '@baton/local'
import { configSchema } from '@baton/shared'
import { coordinatorMode, environmentTable, readEnvironment, workerUrls } from '@baton/shared/node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { repositoryFile } from '../docs/markdown-table.js'

interface Service {
  profiles?: string[]
  image: string
  command?: string[]
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  networks: string[]
  healthcheck?: { test: string[] }
  restart?: string
  depends_on?: Record<string, { condition: string }>
  deploy?: { replicas: number }
  init?: boolean
}

const composeText = repositoryFile('docker-compose.yml')
const compose = parse(composeText) as { services: Record<string, Service>; volumes: Record<string, unknown> }
const { postgres, redis, nats, coordinator, worker } = compose.services as Record<string, Service> & {
  [name in 'postgres' | 'redis' | 'nats' | 'coordinator' | 'worker']: Service
}
const dockerfile = repositoryFile('Dockerfile')
/** Instructions of the Dockerfile, with their continued lines. */
const instructions = dockerfile
  .replace(/^#.*\n/gm, '')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .map(line => /^([A-Z]+)\s+(.*)$/.exec(line))
  .flatMap(match => (match ? [{ name: match[1] ?? '', rest: match[2] ?? '' }] : []))
const rootPath = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const table = Object.keys(environmentTable)

/** The value after `docker compose` has put variables in, where only the required ones are set. */
function interpolated(environment: Record<string, string> = {}): Record<string, string> {
  const put = (value: string) =>
    value.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name, how, otherwise) => (how === '-' ? otherwise : `a-value-for-${name}`))
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, put(String(value))]))
}

describe('the environment', () => {
  test('that coordinator and workers are given is one that they read', () => {
    for (const { environment } of [coordinator, worker]) for (const name of Object.keys(environment ?? {})) expect(table).toContain(name)
    expect(coordinatorMode(readEnvironment(interpolated(coordinator.environment)))).toEqual({
      kind: 'fleet',
      databaseUrl: 'postgres://baton:baton@postgres:5432/baton',
      redisUrl: 'redis://redis:6379',
      natsUrl: 'nats://nats:4222',
    })
    expect(workerUrls(readEnvironment(interpolated(worker.environment)))).toEqual({
      redisUrl: 'redis://redis:6379',
      natsUrl: 'nats://nats:4222',
    })
  })

  test('that they read is given to one of them, or left at its default on purpose', () => {
    const leftAlone = [
      'PORT',
      'BATON_URL',
      'BATON_NAMESPACE',
      'BATON_LEASE_MS',
      'BATON_HEARTBEAT_MS',
      'BATON_MODEL_URL',
      'BATON_MODEL',
      'BATON_MODEL_API_KEY',
      'BATON_WEBHOOK_NETWORKS',
      'BATON_ARTIFACTS',
      'BATON_ARTIFACTS_DIR',
      'BATON_INTAKE',
      ...table.filter(name => name.startsWith('OTEL_')),
      'BATON_LOG_FILE_MB',
      'BATON_LOG_FILES',
      'BATON_FAILPOINT',
      'BATON_TIME_SCALE',
    ]
    const given = [coordinator, worker].flatMap(service => Object.keys(service.environment ?? {}))
    expect([...new Set([...given, ...imageVariables(), ...leftAlone])].sort()).toEqual(table.toSorted())
  })

  test('of the stores belongs to their images', () => {
    expect(Object.keys(postgres.environment ?? {}).sort()).toEqual(['POSTGRES_DB', 'POSTGRES_PASSWORD', 'POSTGRES_USER'])
    expect(postgres.image).toMatch(/^postgres:17\b/)
    expect([redis.environment, nats.environment]).toEqual([undefined, undefined])
  })

  test('that whoever calls `docker compose` may set is documented, or a password', () => {
    const names = [...composeText.replace(/^\s*#.*$/gm, '').matchAll(/\$\{(\w+)/g)].map(match => match[1])
    expect([...new Set(names)].sort()).toEqual(['BATON_API_KEY', 'LOG_LEVEL', 'POSTGRES_PASSWORD'])
    expect(coordinator.environment?.BATON_API_KEY).toMatch(/^\$\{BATON_API_KEY:\?.+\}$/) // never without a key
  })

  test('of workers holds neither Postgres nor a key', () => {
    expect(Object.keys(worker.environment ?? {})).not.toContain('DATABASE_URL')
    expect(Object.keys(worker.environment ?? {})).not.toContain('BATON_API_KEY')
    expect(worker.networks.filter(network => postgres.networks.includes(network))).toEqual([])
  })

  test('of the image is one that is read', () => {
    expect(imageVariables().filter(name => !table.includes(name))).toEqual([])
    for (const [, name] of dockerfile.matchAll(/process\.env\.(\w+)/g)) expect(table).toContain(name)
  })

  function imageVariables(): string[] {
    return instructions
      .filter(({ name }) => name === 'ENV')
      .flatMap(({ rest }) => [...rest.matchAll(/(\w+)=/g)].map(match => match[1] ?? ''))
  }
})

describe('services', () => {
  test.each(Object.entries(compose.services))('%s is watched and comes back', (_, service) => {
    expect(service.healthcheck?.test.length).toBeGreaterThan(1)
    expect(['always', 'unless-stopped']).toContain(service.restart) // an exit with 75 means: start me again
  })

  test('are reachable from this machine only, and only the coordinator is, or what shows its metrics', () => {
    const published = Object.entries(compose.services).filter(([, service]) => service.ports)
    expect(published.map(([name, { profiles }]) => [name, profiles])).toEqual([
      ['coordinator', undefined],
      ['grafana', ['observability']],
    ])
    for (const port of published.flatMap(([, { ports }]) => ports ?? [])) expect(port).toMatch(/^127\.0\.0\.1:/)
    expect(coordinator.ports).toEqual([`127.0.0.1:${environmentTable.BATON_PORT.default}:${coordinator.environment?.BATON_PORT}`])
  })

  test('start when what they need is healthy', () => {
    const needs = (service: Service) => Object.entries(service.depends_on ?? {}).map(([name, { condition }]) => `${name} ${condition}`)
    expect(needs(coordinator).sort()).toEqual(['nats service_healthy', 'postgres service_healthy', 'redis service_healthy'])
    expect(needs(worker).sort()).toEqual(['coordinator service_healthy', 'nats service_healthy', 'redis service_healthy'])
  })

  test('that keep something have a named volume', () => {
    const named = [postgres, redis].flatMap(service => service.volumes ?? []).map(volume => volume.split(':')[0] ?? '')
    expect(named).toEqual(Object.keys(compose.volumes))
    expect(nats.volumes).toBeUndefined()
  })

  test('Redis evicts nothing and writes what it was told', () => {
    const settings = (redis.command ?? []).slice(1)
    const value = (name: string) => settings[settings.indexOf(`--${name}`) + 1]
    expect(['maxmemory-policy', 'appendonly', 'appendfsync'].map(value)).toEqual(['noeviction', 'yes', 'everysec'])
  })

  test('one image runs a coordinator and three workers', () => {
    expect(worker.image).toBe(coordinator.image)
    expect([coordinator.command, worker.command]).toEqual([['up'], ['worker']])
    expect(worker.deploy?.replicas).toBe(3)
    expect([coordinator.init, worker.init]).toEqual([true, true])
  })
})

describe('the image', () => {
  test('is made of what is there, and of what .dockerignore lets through', () => {
    const sources = instructions
      .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1))
    expect(sources.length).toBeGreaterThan(3)
    const allowed = repositoryFile('.dockerignore').split('\n')
    for (const source of sources) {
      expect(existsSync(rootPath(source)), source).toBe(true)
      expect(allowed).toContain(`!${source}`)
    }
  })

  test('starts the command as process, not in a shell, and not as root', () => {
    const [, ...words] = JSON.parse(instructions.find(({ name }) => name === 'ENTRYPOINT')?.rest ?? '[]') as string[]
    expect(words.slice(0, -1)).toEqual(nodeFlags)
    const file = words.at(-1) ?? ''
    expect(existsSync(rootPath(file)), `${file} is there after \`npm run build\``).toBe(true)
    expect(JSON.parse(instructions.find(({ name }) => name === 'CMD')?.rest ?? '[]')).toEqual(['up'])
    expect(instructions.find(({ name }) => name === 'USER')?.rest).toBe('node')
    expect(instructions.find(({ name }) => name === 'HEALTHCHECK')?.rest).toMatch(/CMD \["node"/)
  })
})

describe('the configuration that is mounted', () => {
  const folder = coordinator.volumes?.[0]?.split(':')[0] ?? ''

  test('is the same for both, and read-only', () => {
    expect(worker.volumes).toEqual(coordinator.volumes)
    expect(coordinator.volumes).toEqual([`${folder}:/etc/baton:ro`])
    expect(coordinator.environment?.BATON_CONFIG).toBe('/etc/baton/baton.config.json')
    expect(worker.environment?.BATON_CONFIG).toBe('/etc/baton/baton.config.json')
  })

  test('runs', async () => {
    const config = configSchema.parse(JSON.parse(repositoryFile(`${folder}/baton.config.json`)))
    const local = await startLocal({ config, configDir: rootPath(folder) })
    try {
      await local.client.tasks.submit({ task_id: 'first', title: 'Say and count', description: 'three short words', execute: true })
      const task = await local.client.tasks.wait('first')
      expect(task.subtasks.map(({ state, outputs }) => ({ state, outputs }))).toEqual([
        { state: 'completed', outputs: { text: 'three short words' } },
        { state: 'completed', outputs: { lines: 1, words: 3, characters: 17 } },
      ])
    } finally {
      await local.stop()
    }
  })
})

describe.runIf(process.platform === 'linux')('the health of a worker', () => {
  let redisServer: Server
  let natsServer: Server
  beforeAll(async () => {
    ;[redisServer, natsServer] = await Promise.all([listening(), listening()])
  })
  afterAll(() => {
    redisServer.close()
    natsServer.close()
  })

  test('is that its connections stand', async () => {
    const redisPort = (redisServer.address() as AddressInfo).port
    const natsPort = (natsServer.address() as AddressInfo).port
    const [, script = ''] = (worker.healthcheck?.test ?? []).slice(1)
    const check = () =>
      new Promise<{ code: number | string; says: string }>(resolve => {
        const env = { REDIS_URL: `redis://127.0.0.1:${redisPort}`, NATS_URL: `nats://127.0.0.1:${natsPort}` }
        execFile(process.execPath, [rootPath(script)], { env }, (error, _, says) => resolve({ code: error?.code ?? 0, says }))
      })
    const toRedis = connect(redisPort, '127.0.0.1')
    await once(toRedis, 'connect')
    expect(await check()).toEqual({ code: 1, says: `no connection to the server of NATS_URL (port ${natsPort})\n` })
    const toNats = connect(natsPort, '127.0.0.1')
    await once(toNats, 'connect')
    expect(await check()).toEqual({ code: 0, says: '' })
    toRedis.destroy()
    toNats.destroy()
  })

  async function listening(): Promise<Server> {
    const server = createServer(socket => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
})
