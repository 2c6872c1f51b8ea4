/** What an audit finds: the kinds, the shape that travels between the agents, order, counts and size. */
import { z } from 'zod'

/** From the most to the least important: what is left out first when there is no room stands last. */
export const findingKinds = [
  'not_audited',
  'secret',
  'unreadable',
  'licence',
  'large_file',
  'duplicate_dependency',
  'long_function',
  'todo',
] as const
export type FindingKind = (typeof findingKinds)[number]

export const findingSchema = z.object({
  kind: z.enum(findingKinds),
  /** Relative to the audited directory, with `/`. */
  path: z.string(),
  /** From 1. */
  line: z.number().int().min(1).optional(),
  message: z.string(),
})
export type Finding = z.infer<typeof findingSchema>

/** How many findings of each kind; every kind is listed. */
export const totalsSchema = z.record(z.enum(findingKinds), z.number().int())
export type Totals = z.infer<typeof totalsSchema>

export function countByKind(findings: Iterable<Finding>): Totals {
  const totals = Object.fromEntries(findingKinds.map(kind => [kind, 0])) as Totals // every kind has its entry
  for (const { kind } of findings) totals[kind]++
  return totals
}

/** By path, line, kind and message; by code units, so that the order is the same in every locale. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  return [...findings].sort(
    (a, b) =>
      compareText(a.path, b.path) || (a.line ?? 0) - (b.line ?? 0) || compareText(a.kind, b.kind) || compareText(a.message, b.message),
  )
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** As many findings as fit into `maxBytes` of JSON, the important kinds first; sorted. */
export function fitFindings(findings: readonly Finding[], maxBytes: number): Finding[] {
  const sorted = sortFindings(findings)
  const kept: Finding[] = []
  let bytes = 0
  for (const kind of findingKinds)
    for (const finding of sorted) {
      if (finding.kind !== kind) continue
      bytes += Buffer.byteLength(JSON.stringify(finding)) + 2
      if (bytes > maxBytes) return sortFindings(kept)
      kept.push(finding)
    }
  return sorted
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** One line of at most `max` characters; what would break it or turn it around is shown as an escape. */
export function oneLine(text: string, max = 160): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text
  return cut
    .toWellFormed()
    .replace(unprintable, c => ({ '\n': '\\n', '\r': '\\r', '\t': ' ' })[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** `1.5 MiB`, `12 KiB`, `3 bytes`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`
  const [size, unit] =
    bytes < 1024 ** 2 ? [bytes / 1024, 'KiB'] : bytes < 1024 ** 3 ? [bytes / 1024 ** 2, 'MiB'] : [bytes / 1024 ** 3, 'GiB']
  return `${size.toFixed(size < 10 ? 1 : 0)} ${unit}`
}
