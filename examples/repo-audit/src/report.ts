/**
 * The agent that joins all audits into `report.json` and `report.md`.
 *
 * Invariants: R1 the same audits make the same bytes, whatever the order in which they ended: everything is sorted, and
 * nothing names a time, a machine or a worker. R2 a folder that could not be audited is a finding, never a gap.
 */
import { type AgentContext, type Dependency, defineAgent } from '@baton/worker'
import { z } from 'zod'
import type { AuditReport, FolderSummary } from './audit-report.js'
import {
  compareText,
  countByKind,
  type Finding,
  findingKinds,
  findingSchema,
  fitFindings,
  oneLine,
  sortFindings,
  type Totals,
  totalsSchema,
} from './finding.js'
import { type FolderAuditOutput, findingsArtifact, folderAuditOutputSchema } from './folder-audit.js'
import { type InventoryOutput, inventoryOutputSchema } from './inventory.js'
import { reportMarkdown } from './report-markdown.js'

export const reportJsonName = 'report.json'
export const reportMarkdownName = 'report.md'

/** Below what one artifact may hold (16 MiB). */
const maxFindingsBytes = 14 * 1024 * 1024
const progressEvery = 100

const outputSchema = z.object({ files: z.number().int(), folders: z.number().int(), findings: z.number().int(), totals: totalsSchema })
export type ReportOutput = z.infer<typeof outputSchema>

export const report = defineAgent({
  name: 'report',
  description: 'Joins the audits of all folders into one report.',
  capabilities: ['repo-report'],
  sla: '10m',
  output: outputSchema,
  async run(_input: unknown, context): Promise<ReportOutput> {
    const { inventory, audits, failures } = await readDependencies(context)
    const folders: FolderSummary[] = []
    const findings: Finding[] = []
    for (const { path, subtask } of inventory.folders) {
      const audit = audits.get(subtask)
      const found = audit?.findings ?? [
        { kind: 'not_audited' as const, path, message: failures.get(subtask) ?? 'there is no audit of this folder' },
      ] // R2
      for (const finding of found) findings.push(finding)
      const totals = audit?.totals ?? countByKind(found)
      folders.push({ path, files: audit?.files ?? 0, bytes: audit?.bytes ?? 0, totals })
    }
    folders.sort((a, b) => compareText(a.path, b.path)) // R1

    const totals = sumTotals(folders)
    const whole: AuditReport = {
      version: 1,
      root: inventory.root_name,
      files: folders.reduce((sum, folder) => sum + folder.files, 0),
      folders: folders.filter(folder => folder.path !== '.').length,
      findings: fitFindings(findings, maxFindingsBytes),
      totals,
    }
    await context.artifacts.put(reportJsonName, `${JSON.stringify(whole, null, 1)}\n`, { mediaType: 'application/json' })
    await context.artifacts.put(reportMarkdownName, reportMarkdown(whole, folders), { mediaType: 'text/markdown' })
    return { files: whole.files, folders: whole.folders, findings: Object.values(totals).reduce((sum, n) => sum + n, 0), totals }
  },
})

interface Read {
  readonly inventory: InventoryOutput
  /** By subtask name, with all their findings. */
  readonly audits: ReadonlyMap<string, FolderAuditOutput & { findings: Finding[] }>
  /** Why there is no audit, by subtask name. */
  readonly failures: ReadonlyMap<string, string>
}

/** Tells the inventory from the audits by what they returned: their names are the plan's business. */
async function readDependencies(context: AgentContext): Promise<Read> {
  let inventory: InventoryOutput | undefined
  const audits = new Map<string, FolderAuditOutput & { findings: Finding[] }>()
  const failures = new Map<string, string>()
  for await (const dependency of context.dependencies) {
    context.signal.throwIfAborted()
    if (dependency.state !== 'completed') {
      failures.set(
        dependency.name,
        oneLine(
          `the audit of this folder ${dependency.state === 'skipped' ? 'was skipped' : `failed: ${dependency.failure?.message ?? 'no reason is known'}`}`,
          500,
        ),
      )
      continue
    }
    const output = await dependency.output()
    const audit = folderAuditOutputSchema.safeParse(output)
    if (audit.success) {
      audits.set(dependency.name, { ...audit.data, findings: audit.data.findings ?? (await readFindings(dependency)) })
      if (audits.size % progressEvery === 0) context.progress({ audits: audits.size })
    } else inventory ??= inventoryOutputSchema.safeParse(output).data
  }
  if (!inventory)
    throw Object.assign(
      new Error('none of the dependencies is an inventory; let the report depend on a completed subtask of capability repo-inventory'),
      { retryable: false },
    )
  return { inventory, audits, failures }
}

async function readFindings(dependency: Dependency): Promise<Finding[]> {
  const bytes = await dependency.artifact(findingsArtifact)
  return sortFindings(z.array(findingSchema).parse(JSON.parse(new TextDecoder().decode(bytes))))
}

function sumTotals(folders: readonly FolderSummary[]): Totals {
  const totals = countByKind([])
  for (const folder of folders) for (const kind of findingKinds) totals[kind] += folder.totals[kind]
  return totals
}
