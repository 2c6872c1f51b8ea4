/** What `baton doctor` looks at. Each check says how things are and, when they are not well, what to do. */
import { type Client, createClient } from '@baton/client'
import { BatonError } from '@baton/shared'
import { coordinatorMode, type Environment, readEnvironment } from '@baton/shared/node'
import { findConfig, loadConfig, shortName } from '../config/load.js'
import type { Io } from '../io.js'
import { errorLines } from '../output/errors.js'
import { version } from '../version.js'
import { probe, type ServerKind } from './probe.js'

export interface Check {
  readonly name: string
  readonly state: 'ok' | 'note' | 'failed'
  readonly says: string
  /** What to do about it. */
  readonly remedy?: string
  /** Of a failed one: `configuration` is for the user to mend, `unreachable` for whoever runs the server. */
  readonly kind?: 'configuration' | 'unreachable'
}

const oldestNode = [20, 11] as const

export function checkNode(nodeVersion: string): Check {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number)
  const enough = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
  if (enough) return { name: 'node', state: 'ok', says: `Node.js ${nodeVersion}` }
  return {
    name: 'node',
    state: 'failed',
    kind: 'configuration',
    says: `Node.js ${nodeVersion} is too old`,
    remedy: `install Node.js ${oldestNode.join('.')} or later`,
  }
}

export function checkEnvironment(io: Io): { check: Check; environment: Environment | undefined } {
  try {
    const environment = readEnvironment(io.env)
    // A worker takes two of the three URLs, so a mixture is worth a note, not a failure.
    const note = mixture(environment)
    return {
      environment,
      check: note
        ? { name: 'environment', state: 'note', says: note }
        : { name: 'environment', state: 'ok', says: `${coordinatorMode(environment).kind} mode` },
    }
  } catch (error) {
    return { environment: undefined, check: failed('environment', error, 'correct the variables named above') }
  }
}

function mixture(environment: Environment): string | undefined {
  try {
    coordinatorMode(environment)
    return undefined
  } catch (error) {
    return `enough for a worker at most: ${error instanceof Error ? error.message : String(error)}`
  }
}

export async function checkConfigFile(io: Io, named: string | undefined): Promise<Check> {
  try {
    const file = findConfig(io.cwd, named)
    if (file === undefined)
      return {
        name: 'configuration',
        state: 'note',
        says: 'no baton.config.ts, .js or .json here or above',
        remedy: '`baton init` writes one',
      }
    const { config } = await loadConfig(file, io.cwd)
    return {
      name: 'configuration',
      state: 'ok',
      says: `${shortName(file, io.cwd)} (agents: ${config.agents?.length ?? 0}, playbooks: ${config.playbooks?.length ?? 0})`,
    }
  } catch (error) {
    return failed('configuration', error, 'correct the file; `baton config schema` says what it may hold')
  }
}

export async function checkCoordinator(environment: Environment, url: string): Promise<Check[]> {
  const client = createClient({ url, timeoutMs: 5_000, retry: { repeats: 1 }, ...(environment.apiKey && { apiKey: environment.apiKey }) })
  try {
    const { ready, checks, version: theirs, mode } = await client.health()
    const same = theirs === version ? '' : `; this command is ${version}`
    const broken = Object.entries(checks).filter(([, says]) => says !== 'ok')
    const readiness: Check = ready
      ? { name: 'readiness', state: 'ok', says: Object.keys(checks).join(', ') || 'ready' }
      : {
          name: 'readiness',
          state: 'failed',
          kind: 'unreachable',
          says: broken.map(([store, says]) => `${store}: ${says}`).join('; ') || 'not ready',
          remedy: 'look at the stores that it names, and at its log',
        }
    return [
      { name: 'coordinator', state: same ? 'note' : 'ok', says: `${url}, version ${theirs}, ${mode} mode${same}` },
      readiness,
      ...(await checkAccess(client)),
    ]
  } catch (error) {
    const [says = '', remedy = 'look at its log'] =
      error instanceof BatonError && error.code === 'unreachable' ? error.message.split('; ') : []
    return [says ? { name: 'coordinator', state: 'failed', kind: 'unreachable', says, remedy } : failed('coordinator', error, remedy)]
  }
}

async function checkAccess(client: Client): Promise<Check[]> {
  try {
    const agents = await client.agents.list()
    const live = agents.filter(agent => agent.health !== 'offline').length
    if (live > 0) return [{ name: 'agents', state: 'ok', says: `${live} live of ${agents.length}` }]
    return [
      {
        name: 'agents',
        state: 'note',
        says: 'no agent is live: tasks will be blocked',
        remedy: 'declare agents in the configuration of `baton up`, or start a `baton worker` that hosts some',
      },
    ]
  } catch (error) {
    const refused = error instanceof BatonError && error.code === 'unauthorized'
    return [failed('access', error, refused ? 'set BATON_API_KEY to a key that the coordinator knows' : 'look at its log')]
  }
}

const remedies: Record<ServerKind, string> = {
  postgres: 'start PostgreSQL there, or correct DATABASE_URL',
  redis: 'start Redis there, or correct REDIS_URL',
  nats: 'start NATS there, or correct NATS_URL',
}

export async function checkServers({ databaseUrl, redisUrl, natsUrl }: Environment): Promise<Check[]> {
  const urls: [ServerKind, string | undefined][] = [
    ['postgres', databaseUrl],
    ['redis', redisUrl],
    ['nats', natsUrl],
  ]
  return Promise.all(
    urls.flatMap(([name, url]) =>
      url === undefined
        ? []
        : [
            probe(name, url).then(
              (says): Check => ({ name, state: 'ok', says }),
              (error: unknown): Check => ({ ...failed(name, error, remedies[name]), kind: 'unreachable' }),
            ),
          ],
    ),
  )
}

function failed(name: string, error: unknown, remedy: string): Check {
  const [first = '', ...rest] = errorLines(error)
  const says = [first.replace(/^error: /, ''), ...rest.map(line => line.trim())].join('; ')
  const away = error instanceof BatonError && (error.code === 'unreachable' || error.code === 'unavailable')
  return { name, state: 'failed', kind: away ? 'unreachable' : 'configuration', says, remedy }
}
