/**
 * What fault tests share, since it takes long to start: those of one file private servers, which they may kill and flush,
 * those of the whole run the compiled programs. Each test has a database, a namespace and processes of its own.
 */
import { type Servers, startServers } from '@baton/cli/servers'
import { afterAll, beforeAll, inject } from 'vitest'
import { askDesk } from '../../harness/desk.js'
import { servers as serversOfTheRun } from '../../harness/servers.js'
import { buildPrograms, type Programs } from './programs.js'

export interface Stage {
  readonly servers: Servers
  readonly programs: Omit<Programs, 'remove'>
}

export interface StageOptions {
  /** Directives for Redis, such as `{ maxmemory: '64mb' }`; without `appendOnly` a restart begins empty. */
  readonly redis?: { readonly appendOnly?: boolean; readonly settings?: Record<string, string> }
  /** Settings for Postgres, such as `{ max_connections: '20' }`. */
  readonly postgres?: Record<string, string>
}

// Processes die in tests, never the machine: nothing has to reach the disk. A commit has to outlive its server, though.
const safeFromKill = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'on' }

/**
 * To be called once, outside of tests; the answer is for `startFaultFleet`.
 *
 * @example
 * const stage = faultStage()
 * test('…', async () => {
 *   const fleet = await startFaultFleet(stage, { coordinators: 2, workers: 2 })
 * })
 */
export function faultStage(options: StageOptions = {}): () => Stage {
  let stage: Stage | undefined
  beforeAll(async () => {
    const programs = askDesk<Stage['programs']>(inject('batonPrograms'), 'the programs of the fault tests')
    // The run's own come first: a machine that has none installs them for those.
    const servers = serversOfTheRun().then(() => startStageServers(options))
    // Each is waited for, so that none is left when the other fails.
    await Promise.allSettled([programs, servers])
    stage = { servers: await servers, programs: await programs }
  })
  afterAll(() => stage?.servers.stop())
  return () => {
    if (!stage) throw new Error('the stage is set before the tests of the file, not outside of them')
    return stage
  }
}

/** The same outside of tests: whoever opens it stops the servers and removes the programs. */
export async function openStage(options: StageOptions = {}): Promise<{ readonly servers: Servers; readonly programs: Programs }> {
  const [servers, programs] = await Promise.all([startStageServers(options), buildPrograms()])
  return { servers, programs }
}

const startStageServers = (options: StageOptions): Promise<Servers> =>
  startServers({ postgres: { settings: { ...safeFromKill, ...options.postgres } }, redis: { ...options.redis } })
