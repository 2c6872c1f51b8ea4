/**
 * The demo: three agents that audit a directory. `inventory` lists it and spawns one `folder-audit` for each top-level
 * folder; `report` waits for all of them and joins what they found.
 */
import { resolve } from 'node:path'
import type { OrchestrateRequest } from '@baton/shared'
import type { Agent } from '@baton/worker'
import { folderAudit } from './folder-audit.js'
import { inventory } from './inventory.js'
import { report } from './report.js'

export type { AuditReport } from './audit-report.js'
export { type Finding, type FindingKind, findingKinds, type Totals } from './finding.js'
export { type FolderAuditOutput, folderAudit } from './folder-audit.js'
export { type InventoryOutput, inventory } from './inventory.js'
export { type ReportOutput, report, reportJsonName, reportMarkdownName } from './report.js'
export { type TimelineOptions, type TimelineRow, timelineSvg } from './timeline.js'

/** All agents of the example, ready to be hosted: `startWorker({ agents })`. */
export const agents: Agent[] = [inventory, folderAudit, report]

/**
 * The body for `POST /orchestrate` that audits a directory; the playbook `repo-audit` makes the plan. A relative
 * `root` is taken from the caller's working directory, because the workers' may be another.
 *
 * @example
 * await baton.tasks.submit(auditTask('.', 'audit-1'))
 */
export function auditTask(root: string, taskId: string): OrchestrateRequest {
  const path = resolve(root)
  return {
    task_id: taskId,
    title: `Audit ${path}`.slice(0, 500).toWellFormed(),
    description: `List the directory ${path}, audit each of its folders, and put the findings together.`,
    metadata: { playbook: 'repo-audit', root: path },
  }
}
