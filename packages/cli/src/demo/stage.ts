/** Where the demo plays: in this process, or on a fleet of processes. */
import { type Client, createClient } from '@baton/client'
import { silentLogger } from '@baton/shared/node'
import { startFleet } from '../fleet/start-fleet.js'
import { type Io, whileStarting } from '../io.js'
import { type RepoAudit, repoAuditPackage } from './repo-audit.js'

export interface Stage {
  readonly client: Client
  stop(): Promise<void>
}

export async function localStage(audit: RepoAudit): Promise<Stage> {
  const { startLocal } = await import('@baton/local')
  const local = await startLocal({ agents: audit.agents, dataDir: 'memory', port: 0, log: silentLogger() })
  return { client: local.client, stop: () => local.stop() }
}

export async function fleetStage(io: Io, signal: AbortSignal): Promise<Stage> {
  const fleet = await whileStarting(signal, starting =>
    startFleet({
      workers: 3,
      agentsModule: repoAuditPackage,
      env: { ...io.env, BATON_API_KEY: undefined }, // the servers are private, and so is the coordinator
      cwd: io.cwd,
      log: line => void io.stderr.write(`${line}\n`),
      signal: starting,
    }),
  )
  return { client: createClient({ url: fleet.url }), stop: () => fleet.stop() }
}
