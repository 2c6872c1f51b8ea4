/** For tests: a context that keeps what an agent does with it, and a whole audit in one process, without Baton. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Failure, SubtaskRequest } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import type { AgentContext, Dependency } from '@baton/worker'
import type { AuditReport } from './audit-report.js'
import { type FolderAuditOutput, folderAudit } from './folder-audit.js'
import { type InventoryOutput, inventory } from './inventory.js'
import { type ReportOutput, report } from './report.js'

export interface FakeContext extends AgentContext {
  readonly spawned: SubtaskRequest[]
  readonly stored: Map<string, Uint8Array>
  readonly saved: unknown[]
}

export function fakeContext(options: { signal?: AbortSignal; dependencies?: readonly Dependency[] } = {}): FakeContext {
  const dependencies = options.dependencies ?? []
  const spawned: SubtaskRequest[] = []
  const stored = new Map<string, Uint8Array>()
  const saved: unknown[] = []
  return {
    taskId: 'audit',
    taskTitle: 'An audit',
    subtaskId: 'test::audit::1',
    name: 'test',
    idempotencyKey: '00000000-0000-4000-8000-000000000001',
    attempt: 1,
    signal: options.signal ?? new AbortController().signal,
    deadline: new Date(8_640_000_000_000),
    log: silentLogger(),
    context: null,
    savedProgress: null,
    progress: value => void saved.push(value),
    stream: async () => undefined,
    notes: { set: async () => undefined, get: async () => undefined, delete: async () => undefined, list: async () => [] },
    dependencies: {
      async *[Symbol.asyncIterator]() {
        yield* dependencies
      },
      async get(name) {
        const found = dependencies.find(dependency => dependency.name === name)
        if (!found) throw new Error(`no dependency ${name}`)
        return found
      },
    },
    artifacts: {
      async put(name, data, { mediaType = 'application/octet-stream' } = {}) {
        const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
        stored.set(name, bytes)
        return { name, media_type: mediaType, bytes: bytes.length, sha256: '0'.repeat(64) }
      },
    },
    spawn: subtask => void spawned.push(subtask),
    spawned,
    stored,
    saved,
  }
}

/** A dependency that completed, as another process sees it: through JSON. */
export function completed(name: string, output: unknown, artifacts: ReadonlyMap<string, Uint8Array> = new Map()): Dependency {
  const text = JSON.stringify(output)
  return {
    name,
    subtaskId: `test::audit::${name}`,
    state: 'completed',
    failure: null,
    artifacts: [...artifacts.keys()],
    output: async () => JSON.parse(text),
    async artifact(artifact) {
      const bytes = artifacts.get(artifact)
      if (!bytes) throw new Error(`no artifact ${artifact}`)
      return bytes
    },
  }
}

export function failed(name: string, failure: Failure): Dependency {
  return { ...completed(name, null), state: 'failed', failure }
}

export interface Audited {
  readonly inventory: InventoryOutput
  readonly audits: readonly FolderAuditOutput[]
  readonly dependencies: readonly Dependency[]
  readonly output: ReportOutput
  readonly report: AuditReport
  readonly json: string
  readonly markdown: string
}

/** Runs the three agents one after the other. */
export async function auditDirectory(root: string): Promise<Audited> {
  const listing = fakeContext()
  // `run` takes and returns unknown; what the agents promise is what comes back.
  const listed = (await inventory.run({ root }, listing)) as InventoryOutput
  const dependencies = [completed('inventory', listed)]
  const audits: FolderAuditOutput[] = []
  for (const { name, input } of listing.spawned) {
    const context = fakeContext()
    const audit = (await folderAudit.run(JSON.parse(JSON.stringify(input)), context)) as FolderAuditOutput
    audits.push(audit)
    dependencies.push(completed(name, audit, context.stored))
  }
  return { inventory: listed, audits, dependencies, ...(await joinReport(dependencies)) }
}

export async function joinReport(dependencies: readonly Dependency[]): Promise<Pick<Audited, 'output' | 'report' | 'json' | 'markdown'>> {
  const context = fakeContext({ dependencies })
  const output = (await report.run({}, context)) as ReportOutput
  const text = (name: string) => new TextDecoder().decode(context.stored.get(name))
  return { output, report: JSON.parse(text('report.json')) as AuditReport, json: text('report.json'), markdown: text('report.md') }
}

/** A new directory with these files, by path; removed when `remove` is called. */
export async function makeTree(
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<{ root: string; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), 'repo-audit-'))
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), content)
  }
  return { root, remove: () => rm(root, { recursive: true, force: true }) }
}
