// Decides where the servers of a fleet come from.
//
// P1  A URL that was given is used as it is: never started, stopped or emptied.
// P2  Each server is decided on its own, in this order: given URL, local binary, container, Debian package.
// P3  Nothing is installed where something that needs no installation works.
// P4  When one cannot be had, those already started are stopped, and the error says what is missing and what to do.

import { type ContainerServer, startContainer } from './containers.js'
import { canInstallPackages, debianPackages, installPackages } from './debian-packages.js'
import { dockerEngineAnswers } from './docker-engine.js'
import { missingServers } from './find-binaries.js'
import { type ServerHandle, type ServerName, type ServerOptions, serverNames } from './handle.js'
import { startNats } from './nats.js'
import { startPostgres } from './postgres.js'
import { startRedis } from './redis.js'
import { commonOptions, type StartServersOptions, stopAll } from './start-servers.js'

export interface ProvideOptions extends StartServersOptions {
  /** Servers that exist already. Empty strings count as not given. */
  urls?: { databaseUrl?: string; redisUrl?: string; natsUrl?: string }
}

export type ServerOrigin = 'given' | 'binary' | 'container'

export interface ProvidedServers {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
  readonly origins: Record<ServerName, ServerOrigin>
  /** Handles exist for servers that run from local binaries; only those can be killed and restarted. */
  readonly postgres: ServerHandle | undefined
  readonly redis: ServerHandle | undefined
  readonly nats: ServerHandle | undefined
  /** Stops what was started here. Idempotent. */
  stop(): Promise<void>
}

/** What the decision asks of the machine. */
export interface Machine {
  missing(): Promise<ServerName[]>
  startBinary(name: ServerName, options: ProvideOptions): Promise<ServerHandle>
  dockerAnswers(): Promise<boolean>
  startContainer(name: ServerName): Promise<ContainerServer>
  canInstall(): Promise<boolean>
  install(names: readonly ServerName[]): Promise<void>
}

type Provided =
  | { origin: 'given'; url: string }
  | { origin: 'binary'; url: string; handle: ServerHandle }
  | { origin: 'container'; url: string; container: ContainerServer }

/**
 * Provides all three servers, from wherever they can be had. Throws when that is nowhere, naming the remedies.
 *
 * @example
 * const servers = await provideServers({ urls: { databaseUrl: process.env.TEST_DATABASE_URL } })
 */
export async function provideServers(options: ProvideOptions = {}, machine = thisMachine): Promise<ProvidedServers> {
  const provided = new Map<ServerName, Provided>()
  const started = () => [...provided.values()].flatMap(ownedBy)
  try {
    await provideAll(provided, options, machine)
  } catch (error) {
    await stopAll(started()) // P4
    throw error
  }
  const get = (name: ServerName): Provided => {
    const found = provided.get(name)
    if (found === undefined) throw new Error(`${name} was not provided`)
    return found
  }
  const handle = (name: ServerName) => {
    const found = get(name)
    return found.origin === 'binary' ? found.handle : undefined
  }
  return {
    databaseUrl: get('postgres').url,
    redisUrl: get('redis').url,
    natsUrl: get('nats').url,
    origins: { postgres: get('postgres').origin, redis: get('redis').origin, nats: get('nats').origin },
    postgres: handle('postgres'),
    redis: handle('redis'),
    nats: handle('nats'),
    stop: () => stopAll(started()),
  }
}

async function provideAll(provided: Map<ServerName, Provided>, options: ProvideOptions, machine: Machine): Promise<void> {
  const { databaseUrl, redisUrl, natsUrl } = options.urls ?? {}
  const given: Record<ServerName, string | undefined> = { postgres: databaseUrl, redis: redisUrl, nats: natsUrl }
  for (const name of serverNames) {
    const url = given[name]
    if (url) provided.set(name, { origin: 'given', url }) // P1
  }
  const open = () => serverNames.filter(name => !provided.has(name))
  if (open().length === 0) return

  const fromBinaries = async () => {
    const missing = await machine.missing()
    await together(
      open().filter(name => !missing.includes(name)),
      async name => {
        const handle = await machine.startBinary(name, options)
        provided.set(name, { origin: 'binary', url: handle.url, handle })
      },
    )
  }
  const obstacles: string[] = []
  const report = (what: string) => (error: unknown) => {
    obstacles.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  }

  await fromBinaries()
  options.signal?.throwIfAborted()
  if (open().length > 0 && (await machine.dockerAnswers())) {
    await together(open(), async name => {
      const container = await machine.startContainer(name)
      provided.set(name, { origin: 'container', url: container.url, container })
    }).catch(report('Docker answers, but'))
  }
  options.signal?.throwIfAborted()
  if (open().length > 0 && (await machine.canInstall())) {
    options.log?.(`installing ${open().join(', ')} with apt-get`)
    await machine.install(open()).then(fromBinaries, report('apt-get was tried, but'))
  }
  if (open().length > 0) throw new Error(remedies(open(), obstacles))
}

/** All at once. Waits for every one before it throws the first failure, so that none is left half started. */
async function together(names: readonly ServerName[], start: (name: ServerName) => Promise<void>): Promise<void> {
  const failed = (await Promise.allSettled(names.map(start))).find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

function ownedBy(provided: Provided): { stop(): Promise<void> }[] {
  if (provided.origin === 'given') return []
  return [provided.origin === 'binary' ? provided.handle : provided.container]
}

const names: Record<ServerName, { product: string; variable: string; brew: string }> = {
  postgres: { product: 'PostgreSQL 14+', variable: 'TEST_DATABASE_URL', brew: 'postgresql@17' },
  redis: { product: 'Redis 6.2+', variable: 'TEST_REDIS_URL', brew: 'redis' },
  nats: { product: 'nats-server 2.9+', variable: 'TEST_NATS_URL', brew: 'nats-server' },
}

function remedies(missing: readonly ServerName[], obstacles: readonly string[]): string {
  const list = (pick: (name: ServerName) => string, separator: string) => missing.map(pick).join(separator)
  return [
    `No ${list(name => names[name].product, ', no ')} on this machine. One of these helps:`,
    `- point ${list(name => names[name].variable, ', ')} to running servers`,
    `- install them: apt-get install ${list(name => debianPackages[name], ' ')} (Debian, Ubuntu)` +
      ` or brew install ${list(name => names[name].brew, ' ')} (Homebrew)`,
    '- start Docker, with testcontainers installed (npm install in the repository does that)',
    ...obstacles,
  ].join('\n')
}

const thisMachine: Machine = {
  missing: missingServers,
  startBinary: (name, options) => {
    const common = commonOptions(name, options)
    const start: Record<ServerName, (given: ServerOptions) => Promise<ServerHandle>> = {
      postgres: given => startPostgres({ ...options.postgres, ...given }),
      redis: given => startRedis({ ...options.redis, ...given }),
      nats: given => startNats({ ...options.nats, ...given }),
    }
    return start[name](common)
  },
  dockerAnswers: () => dockerEngineAnswers(),
  startContainer,
  canInstall: canInstallPackages,
  install: names => installPackages(names),
}
