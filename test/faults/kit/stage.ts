/**
 * What the fault tests of one file share, since it takes long to start: private servers, which they may kill and flush,
 * and the compiled programs. Each test has a database, a namespace and processes of its own.
 */
import { type Servers, startServers } from '@baton/cli/servers'
import { afterAll, beforeAll } from 'vitest'
import { buildPrograms, type Programs } from './programs.js'

export interface Stage {
  readonly servers: Servers
  readonly programs: Programs
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
    stage = await openStage(options)
  })
  afterAll(async () => {
    await Promise.all([stage?.servers.stop(), stage?.programs.remove()])
  })
  return () => {
    if (!stage) throw new Error('the stage is set before the tests of the file, not outside of them')
    return stage
  }
}

/** The same outside of tests: whoever opens it stops the servers and removes the programs. */
export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const [servers, programs] = await Promise.all([
    startServers({ postgres: { settings: { ...safeFromKill, ...options.postgres } }, redis: { ...options.redis } }),
    buildPrograms(),
  ])
  return { servers, programs }
}
