/** The example that the demo runs. It is loaded by name: examples are built after this package, and import what it imports. */
import { BatonError, type OrchestrateRequest } from '@baton/shared'
import type { Agent } from '@baton/worker'
import type { TimelineRow } from './timeline-rows.js'

export const repoAuditPackage = '@baton/example-repo-audit'

export interface RepoAudit {
  readonly agents: Agent[]
  auditTask(root: string, taskId: string): OrchestrateRequest
  timelineSvg(rows: readonly TimelineRow[], options?: { title?: string }): string
}

export async function loadRepoAudit(): Promise<RepoAudit> {
  try {
    return (await import(repoAuditPackage)) as RepoAudit // its exports, by name
  } catch (error) {
    throw new BatonError(
      'invalid_configuration',
      `the example ${repoAuditPackage} cannot be loaded; run \`npm install\` and \`npm run build\` in the repository`,
      { cause: error },
    )
  }
}
