/** The report for people: totals, a table of folders, and the first findings of each kind. */
import type { AuditReport, FolderSummary } from './audit-report.js'
import { type Finding, type FindingKind, findingKinds, formatBytes, oneLine } from './finding.js'

const maxFolders = 60
const maxFindingsPerKind = 20

const headings: Readonly<Record<FindingKind, string>> = {
  not_audited: 'Folders that could not be audited',
  secret: 'Secrets',
  unreadable: 'What could not be read',
  licence: 'Licences',
  large_file: 'Large files (over 1 MiB)',
  duplicate_dependency: 'Dependencies in several versions',
  long_function: 'Long functions (over 80 lines)',
  todo: 'Unfinished work',
}

export function reportMarkdown(report: AuditReport, folders: readonly FolderSummary[]): string {
  const bytes = folders.reduce((sum, folder) => sum + folder.bytes, 0)
  const total = countOf(report.totals)
  const lines = [
    `# Audit of ${code(report.root)}`,
    '',
    `${counted(report.files, 'file')} (${formatBytes(bytes)}) in ${counted(report.folders, 'top-level folder')}: ${total === 0 ? 'nothing found' : counted(total, 'finding')}.`,
    '',
    ...table(
      ['finding', 'count'],
      findingKinds
        .filter(kind => report.totals[kind] > 0 || kind !== 'not_audited')
        .map(kind => [headings[kind], number(report.totals[kind])]),
    ),
    '',
  ]
  if (folders.length > 0) lines.push('## Folders', '', ...folderTable(folders), '')
  for (const kind of findingKinds) if (report.totals[kind] > 0) lines.push(...section(kind, report), '')
  return `${lines.join('\n').trimEnd()}\n`
}

function folderTable(folders: readonly FolderSummary[]): string[] {
  const first = [...folders].sort((a, b) => countOf(b.totals) - countOf(a.totals)).slice(0, maxFolders) // a stable sort: equals stay in order of path
  const rows = first.map(folder => [
    folder.path === '.' ? '(files in the root)' : code(`${folder.path}/`),
    number(folder.files),
    formatBytes(folder.bytes),
    number(countOf(folder.totals)),
    findingKinds
      .filter(kind => folder.totals[kind] > 0)
      .map(kind => `${number(folder.totals[kind])} ${kind}`)
      .join(', '),
  ])
  const rest = folders.length - first.length
  return [
    ...table(['folder', 'files', 'size', 'findings', 'of which'], rows),
    ...(rest > 0
      ? [
          '',
          `… and ${counted(rest, 'more folder')}, with ${counted(folders.reduce((sum, folder) => sum + countOf(folder.totals), 0) - first.reduce((sum, folder) => sum + countOf(folder.totals), 0), 'finding')}.`,
        ]
      : []),
  ]
}

function section(kind: FindingKind, report: AuditReport): string[] {
  const shown = report.findings.filter(finding => finding.kind === kind).slice(0, maxFindingsPerKind)
  const rest = report.totals[kind] - shown.length
  return [`## ${headings[kind]}`, '', ...shown.map(item), ...(rest > 0 ? [`- … and ${number(rest)} more, in report.json`] : [])]
}

function item({ path, line, message }: Finding): string {
  return `- ${code(line === undefined ? path : `${path}:${line}`)} ${plain(message)}`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map((_, n) => (n === 0 || head[n] === 'of which' ? '---' : '---:'))), ...rows.map(line)]
}

/** A code span; a name with a backtick gets a longer fence. */
function code(text: string): string {
  const fence = '`'.repeat(Math.max(0, ...(text.match(/`+/g) ?? []).map(run => run.length)) + 1)
  const space = fence.length > 1 ? ' ' : ''
  return `${fence}${space}${oneLine(text, 400)}${space}${fence}`
}

/** Text that Markdown shows as it is. */
function plain(text: string): string {
  return oneLine(text, 500).replace(/[\\`*_[\]<>]/g, '\\$&')
}

function countOf(totals: AuditReport['totals']): number {
  return Object.values(totals).reduce((sum, n) => sum + n, 0)
}

function counted(n: number, noun: string): string {
  return `${number(n)} ${noun}${n === 1 ? '' : 's'}`
}

function number(n: number): string {
  return String(n).replace(/\B(?=(?:\d{3})+$)/g, ',')
}
