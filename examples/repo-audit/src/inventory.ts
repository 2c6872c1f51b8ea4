/** The agent that lists a directory and spawns one audit for each top-level folder. */
import { lstat, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import type { SubtaskRequest } from '@baton/shared'
import { defineAgent } from '@baton/worker'
import { z } from 'zod'
import { compareText, oneLine } from './finding.js'
import type { FolderAuditInput } from './folder-audit.js'
import { reasonOf, walk } from './walk.js'

/** As many subtasks as one attempt may spawn. */
const maxFolders = 10_000
const progressEvery = 1_000
const statsAtOnce = 64

const inputSchema = z.object({
  /** The directory to audit; a relative path is taken from the worker's working directory. */
  root: z.string().min(1),
})

export const inventoryOutputSchema = z.object({
  /** The directory's own name: equal wherever it is mounted. */
  root_name: z.string(),
  /** One for each subtask spawned, sorted by path; `.` are the files directly in the root. */
  folders: z.array(z.object({ path: z.string(), subtask: z.string(), files: z.number().int(), bytes: z.number() })),
  files: z.number().int(),
  bytes: z.number(),
})
export type InventoryOutput = z.infer<typeof inventoryOutputSchema>

export const inventory = defineAgent({
  name: 'inventory',
  description: 'Lists the files of a directory and spawns an audit for each of its folders.',
  capabilities: ['repo-inventory'],
  sla: '10m',
  input: inputSchema,
  output: inventoryOutputSchema,
  async run(input, context): Promise<InventoryOutput> {
    const root = resolve(input.root)
    await requireDirectory(root)

    const folders = new Map<string, { files: number; bytes: number }>()
    let files = 0
    let sizes: Promise<void>[] = []
    for await (const entry of walk(root, { signal: context.signal })) {
      const name = topLevelFolder(entry)
      const folder = folders.get(name) ?? { files: 0, bytes: 0 }
      folders.set(name, folder)
      if (entry.kind === 'unreadable') continue // its folder's audit tells of it
      folder.files++
      sizes.push(addSize(join(root, entry.path), folder))
      if (sizes.length === statsAtOnce) {
        await Promise.all(sizes)
        sizes = []
      }
      if (++files % progressEvery === 0) context.progress({ files })
    }
    await Promise.all(sizes)

    // More folders than may be spawned are audited together, in one subtask.
    const all = [...folders.values()]
    const together = all.length > maxFolders
    const groups = together ? new Map([['.', { files, bytes: sum(all) }]]) : new Map([...folders].sort(([a], [b]) => compareText(a, b)))
    const names = subtaskNames([...groups.keys()])
    for (const [path, subtask] of names) context.spawn(auditOf({ root, folder: path, deep: together || path !== '.' }, subtask))

    context.log.info({ files, folders: groups.size }, 'listed')
    return {
      root_name: basename(root).toWellFormed() || '/',
      folders: [...groups].map(([path, counts]) => ({ path, subtask: names.get(path) ?? '', ...counts })),
      files,
      bytes: sum(all),
    }
  },
})

async function requireDirectory(root: string): Promise<void> {
  const problem = await stat(root).then(
    found => (found.isDirectory() ? undefined : 'it is not a directory'),
    error => (error.code === 'ENOENT' ? 'there is no such directory' : reasonOf(error)),
  )
  // The next attempt would find the same: not retryable.
  if (problem)
    throw Object.assign(new Error(`cannot audit ${oneLine(root, 1_000)}: ${problem}; name a directory that the workers can read`), {
      retryable: false,
    })
}

function topLevelFolder(entry: { kind: string; path: string }): string {
  const slash = entry.path.indexOf('/')
  if (slash >= 0) return entry.path.slice(0, slash)
  return entry.kind === 'unreadable' ? entry.path : '.' // of the folders, only an unreadable one is yielded itself
}

/** A file that vanished meanwhile weighs nothing. */
async function addSize(path: string, folder: { bytes: number }): Promise<void> {
  const size = await lstat(path).then(
    found => found.size,
    () => 0,
  )
  folder.bytes += size
}

function sum(folders: readonly { bytes: number }[]): number {
  return folders.reduce((total, { bytes }) => total + bytes, 0)
}

/** A unique subtask name for each folder: `audit-src`; what names may not hold becomes `-`. */
function subtaskNames(folders: readonly string[]): Map<string, string> {
  const taken = new Set<string>()
  const seen = new Map<string, number>()
  return new Map(
    folders.map(folder => {
      const slug = `audit-${folder === '.' ? 'root-files' : folder.replace(/[^A-Za-z0-9_.-]+/g, '-').slice(0, 100)}`
      let name = slug
      while (taken.has(name)) {
        const n = (seen.get(slug) ?? 1) + 1
        seen.set(slug, n)
        name = `${slug}-${n}`
      }
      taken.add(name)
      return [folder, name]
    }),
  )
}

function auditOf(input: FolderAuditInput, name: string): SubtaskRequest {
  // A folder may be called `{{task.title}}`, and inputs are templates: encoded, its name stays what it is.
  const isTemplate = `${input.root}/${input.folder}`.includes('{{')
  return {
    name,
    title: input.folder === '.' ? 'Audit the files in the root' : oneLine(`Audit ${input.folder}/`, 400),
    capability: 'repo-audit-folder',
    input: isTemplate ? { ...input, root: encodeURIComponent(input.root), folder: encodeURIComponent(input.folder), encoded: true } : input,
    on_failure: 'continue', // the report says which folder could not be audited
  }
}
