/**
 * The agent that audits one folder: walks it by the same rules as the inventory, reads each file once, and hands its
 * text to the checks. A file over 2 MiB is read only in its first 2 MiB; lock files are read whole up to 32 MiB.
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type AgentContext, defineAgent } from '@baton/worker'
import { z } from 'zod'
import { checkLockFile, isLockFile } from './checks/lock-files.js'
import { findLongFunctions } from './checks/long-functions.js'
import { findSecrets, maskSecrets } from './checks/secrets.js'
import { findTodos } from './checks/todos.js'
import { countByKind, type Finding, findingSchema, fitFindings, formatBytes, totalsSchema } from './finding.js'
import { reasonOf, type WalkEntry, walk } from './walk.js'

const mebibyte = 1024 * 1024
const largeFileBytes = 1 * mebibyte
const maxReadBytes = 2 * mebibyte
const maxLockFileBytes = 32 * mebibyte
const binaryProbeBytes = 8 * 1024
const filesAtOnce = 16
const progressEvery = 500
/** One generated file must not drown the rest. */
const maxFindingsPerFile = 200
/** Findings over this leave the output for an artifact. */
const maxInlineFindingsBytes = 200 * 1024
const maxArtifactFindingsBytes = 12 * mebibyte

export const findingsArtifact = 'findings.json'

const inputSchema = z.object({
  root: z.string().min(1),
  /** Relative to the root, with `/`; `.` is the root itself. */
  folder: z.string().min(1),
  /** Whether to enter the folders below; default: unless `folder` is `.`. */
  deep: z.boolean().optional(),
  /** Whether `root` and `folder` are percent-encoded. */
  encoded: z.boolean().optional(),
})
export type FolderAuditInput = z.infer<typeof inputSchema>

export const folderAuditOutputSchema = z.object({
  folder: z.string(),
  files: z.number().int(),
  bytes: z.number(),
  /** Absent when there are too many: then the artifact `findings.json` holds them. */
  findings: z.array(findingSchema).optional(),
  totals: totalsSchema,
})
export type FolderAuditOutput = z.infer<typeof folderAuditOutputSchema>

export const folderAudit = defineAgent({
  name: 'folder-audit',
  description: 'Looks through the files of one folder for secrets, unfinished work, long functions and dependency trouble.',
  capabilities: ['repo-audit-folder'],
  concurrency: 4,
  sla: '10m',
  input: inputSchema,
  output: folderAuditOutputSchema,
  async run(input, context): Promise<FolderAuditOutput> {
    const root = input.encoded ? decodeURIComponent(input.root) : input.root
    const folder = input.encoded ? decodeURIComponent(input.folder) : input.folder
    const findings: Finding[] = []
    let files = 0
    let bytes = 0

    const entries = walk(root, { folder, deep: input.deep ?? folder !== '.', signal: context.signal })
    for await (const batch of inBatches(entries, filesAtOnce)) {
      for (const audited of await Promise.all(batch.map(entry => audit(root, entry)))) {
        files += audited.files
        bytes += audited.bytes
        findings.push(...audited.findings)
        if (audited.files > 0 && files % progressEvery === 0) context.progress({ files, bytes, findings: findings.length })
      }
      context.signal.throwIfAborted()
    }

    context.log.info({ folder, files, findings: findings.length }, 'audited')
    return { folder: folder.toWellFormed(), files, bytes, ...(await deliver(findings, context)), totals: countByKind(findings) }
  },
})

/** A short list travels in the output; a long one becomes an artifact. */
async function deliver(findings: readonly Finding[], context: AgentContext): Promise<{ findings?: Finding[] }> {
  const fitting = fitFindings(findings, maxArtifactFindingsBytes)
  const text = JSON.stringify(fitting)
  if (Buffer.byteLength(text) <= maxInlineFindingsBytes) return { findings: fitting }
  await context.artifacts.put(findingsArtifact, text, { mediaType: 'application/json' })
  return {}
}

interface Audited {
  readonly files: number
  readonly bytes: number
  readonly findings: readonly Finding[]
}

async function audit(root: string, entry: WalkEntry): Promise<Audited> {
  const path = entry.path.toWellFormed()
  if (entry.kind === 'unreadable')
    return { files: 0, bytes: 0, findings: [{ kind: 'unreadable', path, message: `the folder cannot be read: ${entry.reason}` }] }
  try {
    const { content, bytes } = await readStart(join(root, entry.path), isLockFile(path) ? maxLockFileBytes : maxReadBytes)
    const findings: Finding[] = []
    if (bytes > largeFileBytes) findings.push({ kind: 'large_file', path, message: formatBytes(bytes) })
    if (!content.subarray(0, binaryProbeBytes).includes(0)) findings.push(...auditText(path, content.toString('utf8')))
    return { files: 1, bytes, findings }
  } catch (error) {
    return { files: 1, bytes: 0, findings: [{ kind: 'unreadable', path, message: `the file cannot be read: ${reasonOf(error)}` }] }
  }
}

function auditText(path: string, text: string): Finding[] {
  const secrets = findSecrets(path, text)
  const masked = maskSecrets(text, secrets) // no other check can quote a secret
  return cutList([
    ...secrets.map(({ line, message }) => ({ kind: 'secret' as const, path, line, message })),
    ...(isLockFile(path) ? checkLockFile(path, masked) : [...findTodos(path, masked), ...findLongFunctions(path, masked)]),
  ])
}

function cutList(findings: readonly Finding[]): Finding[] {
  if (findings.length <= maxFindingsPerFile) return [...findings]
  const kept = findings.slice(0, maxFindingsPerFile)
  const last = kept[maxFindingsPerFile - 1]
  if (last) last.message += ` (and ${findings.length - maxFindingsPerFile} more findings in this file)`
  return kept
}

/** The file's size and its first `maxBytes` bytes. */
async function readStart(path: string, maxBytes: number): Promise<{ content: Buffer; bytes: number }> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const content = Buffer.allocUnsafe(Math.min(size, maxBytes))
    let filled = 0
    while (filled < content.length) {
      const { bytesRead } = await file.read(content, filled, content.length - filled, filled)
      if (bytesRead === 0) break // it has become shorter
      filled += bytesRead
    }
    return { content: content.subarray(0, filled), bytes: size }
  } finally {
    await file.close()
  }
}

async function* inBatches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length === size) {
      yield batch
      batch = []
    }
  }
  if (batch.length > 0) yield batch
}
