// Servers in containers, for machines with Docker and without the binaries. Testcontainers is loaded here and only
// when it is needed: whoever merely runs Baton does not have it installed.

import type { StartedTestContainer } from 'testcontainers'
import type { ServerName } from './handle.js'

export interface ContainerServer {
  readonly url: string
  stop(): Promise<void>
}

interface Recipe {
  readonly image: string
  readonly port: number
  readonly environment: Record<string, string>
  readonly command: string[]
  /** What it prints when it is ready, and how often: Postgres also prints it during its initialisation. */
  readonly ready: { text: RegExp; times: number }
  url(address: string): string
}

const recipes: Record<ServerName, Recipe> = {
  postgres: {
    image: 'postgres:16',
    port: 5432,
    environment: { POSTGRES_HOST_AUTH_METHOD: 'trust', POSTGRES_DB: 'baton' },
    command: ['postgres', '-c', 'max_connections=200'],
    ready: { text: /ready to accept connections/, times: 2 },
    url: address => `postgres://postgres@${address}/baton`,
  },
  redis: {
    image: 'redis:7',
    port: 6379,
    environment: {},
    command: ['redis-server', '--save', '', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'],
    ready: { text: /Ready to accept connections/, times: 1 },
    url: address => `redis://${address}`,
  },
  nats: {
    image: 'nats:2.10',
    port: 4222,
    environment: {},
    command: [],
    ready: { text: /Server is ready/, times: 1 },
    url: address => `nats://${address}`,
  },
}

/** Starts a server in a container. Throws when Testcontainers is not installed or the image cannot be had. */
export async function startContainer(name: ServerName): Promise<ContainerServer> {
  const recipe = recipes[name]
  const { GenericContainer, Wait } = await import('testcontainers')
  const container = await new GenericContainer(recipe.image)
    .withExposedPorts(recipe.port)
    .withEnvironment(recipe.environment)
    .withCommand(recipe.command)
    .withWaitStrategy(Wait.forLogMessage(recipe.ready.text, recipe.ready.times))
    .start()
  return { url: recipe.url(`${container.getHost()}:${container.getMappedPort(recipe.port)}`), stop: once(container) }
}

function once(container: StartedTestContainer): () => Promise<void> {
  let stopped: Promise<void> | undefined
  return () => {
    stopped ??= container.stop().then(() => {})
    return stopped
  }
}
