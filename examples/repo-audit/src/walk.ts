/**
 * Walks a directory the way every agent of the audit sees it, so that they agree on what belongs to it.
 *
 * Invariants: W1 `.git`, and folders named `node_modules`, `baton-report` or `.baton` (Baton's own), are not entered, nor
 * is anything that a `.gitignore` at or below the root excludes. W2 symbolic links are not followed; what is neither file
 * nor folder (a pipe, a socket) is left out, because opening it might wait forever. W3 what cannot be read is yielded as
 * such and ends nothing.
 */
import type { Dirent } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { addRules, enterFolder, type IgnoreRules, isIgnored } from './gitignore.js'

const skippedFolders = new Set(['node_modules', 'baton-report', '.baton'])

export type WalkEntry =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'unreadable'; readonly path: string; readonly reason: string }

interface WalkOptions {
  /** Where to begin, relative to the root with `/`: a folder, or `.` for all. */
  readonly folder?: string
  /** Whether to enter folders below; default true. */
  readonly deep?: boolean
  readonly signal: AbortSignal
}

interface Folder {
  readonly path: string
  /** The rules from the folders around it. */
  readonly rules: IgnoreRules | null
}

/** Yields files and unreadable places below `root`, in no particular order; paths are relative to `root`, with `/`. */
export async function* walk(root: string, { folder = '.', deep = true, signal }: WalkOptions): AsyncGenerator<WalkEntry> {
  const pending: Folder[] = [{ path: folder === '.' ? '' : folder, rules: await rulesAround(root, folder) }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    signal.throwIfAborted()
    const { path: here } = next
    let entries: Dirent[]
    try {
      entries = await readdir(join(root, here), { withFileTypes: true })
    } catch (error) {
      yield { kind: 'unreadable', path: here || '.', reason: reasonOf(error) } // W3
      continue
    }
    let { rules } = next
    if (entries.some(entry => entry.name === '.gitignore' && entry.isFile())) {
      const gitignore = await readGitignore(root, here)
      if (gitignore !== undefined) rules = addRules(rules, here, gitignore)
    }
    for (const entry of entries) {
      const path = here === '' ? entry.name : `${here}/${entry.name}`
      const isFolder = entry.isDirectory()
      if (entry.name === '.git' || (isFolder && skippedFolders.has(entry.name))) continue // W1
      if (!isFolder && !entry.isFile()) continue // W2
      if (isIgnored(rules, path, isFolder)) continue // W1
      if (!isFolder) yield { kind: 'file', path }
      else if (deep) pending.push({ path, rules: enterFolder(rules, path) })
    }
  }
}

/** The rules of the folders between the root and `folder`, which is not among them itself. */
async function rulesAround(root: string, folder: string): Promise<IgnoreRules | null> {
  let rules: IgnoreRules | null = null
  const parts = folder === '.' ? [] : folder.split('/')
  for (let depth = 0; depth < parts.length; depth++) {
    const around = parts.slice(0, depth).join('/')
    const gitignore = await readGitignore(root, around)
    if (gitignore !== undefined) rules = addRules(rules, around, gitignore)
  }
  return rules
}

/** Undefined when there is none that can be read: it is a folder, say. The audit of the files tells of the others. */
async function readGitignore(root: string, folder: string): Promise<string | undefined> {
  try {
    return await readFile(join(root, folder, '.gitignore'), 'utf8')
  } catch {
    return undefined
  }
}

/** What the operating system said, without this machine's path. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  const words: Record<string, string> = {
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    ENOENT: 'it is gone, or its name is not valid text',
    ENAMETOOLONG: 'its path is too long',
    ELOOP: 'it is a symbolic link by now',
  }
  return words[code] ?? code
}
