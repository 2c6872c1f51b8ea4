import { expect, test } from 'vitest'
import type { ServerHandle, ServerName } from './handle.js'
import { type Machine, provideServers } from './provide.js'

const urls = { databaseUrl: 'postgres://given', redisUrl: 'redis://given', natsUrl: 'nats://given' }

test('given URLs are used as they are, and the machine is not asked for anything', async () => {
  const { machine, events } = fakeMachine({ binaries: ['postgres', 'redis', 'nats'] })
  const servers = await provideServers({ urls }, machine)
  expect(servers).toMatchObject(urls)
  expect(servers.origins).toEqual({ postgres: 'given', redis: 'given', nats: 'given' })
  await servers.stop()
  expect(events).toEqual([])
})

test('binaries come before containers and installation', async () => {
  const { machine, events } = fakeMachine({ binaries: ['postgres', 'redis', 'nats'], docker: true, apt: true })
  const servers = await provideServers({}, machine)
  expect(servers.origins).toEqual({ postgres: 'binary', redis: 'binary', nats: 'binary' })
  expect(servers.redis?.url).toBe('redis://binary')
  expect(events).toEqual(['start postgres', 'start redis', 'start nats'])
})

test('each server is decided on its own', async () => {
  const { machine, events } = fakeMachine({ binaries: ['postgres', 'redis'], docker: true, apt: true })
  const servers = await provideServers({ urls: { databaseUrl: urls.databaseUrl, redisUrl: '' } }, machine)
  expect(servers.origins).toEqual({ postgres: 'given', redis: 'binary', nats: 'container' })
  expect([servers.postgres, servers.nats]).toEqual([undefined, undefined])
  await servers.stop()
  expect(events).toEqual(['start redis', 'container nats', 'stop redis', 'stop nats'])
})

test('what is missing is installed only when no engine answers', async () => {
  const { machine, events } = fakeMachine({ binaries: ['redis'], apt: true })
  const servers = await provideServers({}, machine)
  expect(servers.origins).toEqual({ postgres: 'binary', redis: 'binary', nats: 'binary' })
  expect(events).toEqual(['start redis', 'install postgres nats', 'start postgres', 'start nats'])
})

test('a container that cannot start falls through to installation', async () => {
  const { machine, events } = fakeMachine({ docker: 'broken', apt: true, binaries: ['postgres', 'redis'] })
  const servers = await provideServers({}, machine)
  expect(servers.origins.nats).toBe('binary')
  expect(events).toContain('install nats')
})

test('when nothing helps the error names what is missing, the remedies and the obstacles', async () => {
  const { machine, events } = fakeMachine({ binaries: ['redis'], docker: 'broken', apt: 'broken' })
  const failure = await provideServers({}, machine).catch((error: Error) => error.message)
  expect(failure).toMatch(/^No PostgreSQL 14\+, no nats-server 2\.9\+ on this machine/)
  expect(failure).toContain('TEST_DATABASE_URL, TEST_NATS_URL')
  expect(failure).toContain('apt-get install postgresql nats-server')
  expect(failure).toContain('brew install postgresql@17 nats-server')
  expect(failure).toContain('start Docker')
  expect(failure).toContain('no image')
  expect(failure).toContain('no network')
  expect(events.at(-1)).toBe('stop redis')
})

test('a binary that does not start fails the whole, and the others are stopped', async () => {
  const { machine, events } = fakeMachine({ binaries: ['postgres', 'redis', 'nats'] })
  const startBinary: Machine['startBinary'] = (name, options) =>
    name === 'redis' ? Promise.reject(new Error('out of memory')) : machine.startBinary(name, options)
  await expect(provideServers({}, { ...machine, startBinary })).rejects.toThrow('out of memory')
  expect(events).toEqual(['start postgres', 'start nats', 'stop postgres', 'stop nats'])
})

/** A machine that has what it is told to have, and records what was done to it. */
function fakeMachine(has: { binaries?: ServerName[]; docker?: boolean | 'broken'; apt?: boolean | 'broken' }): {
  machine: Machine
  events: string[]
} {
  const events: string[] = []
  const installed = new Set(has.binaries)
  const machine: Machine = {
    missing: async () => (['postgres', 'redis', 'nats'] as const).filter(name => !installed.has(name)),
    startBinary: async name => {
      events.push(`start ${name}`)
      return fakeHandle(name, events)
    },
    dockerAnswers: async () => Boolean(has.docker),
    startContainer: async name => {
      if (has.docker === 'broken') throw new Error('no image')
      events.push(`container ${name}`)
      return { url: `${name}://container`, stop: async () => void events.push(`stop ${name}`) }
    },
    canInstall: async () => Boolean(has.apt),
    install: async names => {
      if (has.apt === 'broken') throw new Error('no network')
      events.push(`install ${names.join(' ')}`)
      for (const name of names) installed.add(name)
    },
  }
  return { machine, events }
}

function fakeHandle(name: ServerName, events: string[]): ServerHandle {
  const nothing = async () => {}
  return {
    name,
    url: `${name}://binary`,
    port: 1,
    pid: 1,
    directory: '/nowhere',
    stop: async () => void events.push(`stop ${name}`),
    kill: nothing,
    restart: nothing,
    signal: () => {},
  }
}
