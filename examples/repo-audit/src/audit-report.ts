/** What the report holds, as JSON and as the ground for its readable form. */
import type { Finding, Totals } from './finding.js'

/** What `report.json` holds. */
export interface AuditReport {
  /** Of this format. */
  readonly version: 1
  /** The directory's own name. */
  readonly root: string
  readonly files: number
  /** How many top-level folders were looked at. */
  readonly folders: number
  /** Sorted by path, line, kind and message. Past 14 MiB the least important kinds are left out; `totals` counts them all. */
  readonly findings: readonly Finding[]
  readonly totals: Totals
}

/** One line of the table of folders. */
export interface FolderSummary {
  readonly path: string
  readonly files: number
  readonly bytes: number
  readonly totals: Totals
}
