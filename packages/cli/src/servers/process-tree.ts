// Reaches a process together with everything that it forked. A process group is not enough for this: every Postgres
// backend moves into a session of its own.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  /** Dead and not yet collected by its parent. In a container without an init this can last for ever. */
  readonly zombie: boolean
}

/** Sends a signal to a process and its descendants and returns the pids of all of them. */
export function signalTree(root: number, signal: NodeJS.Signals): number[] {
  // The root is frozen before the listing: what it would fork in between would be missed.
  if (signal !== 'SIGCONT') send(root, 'SIGSTOP')
  const pids = [root, ...descendants(root)]
  for (const pid of pids) send(pid, signal)
  return pids
}

/** Resolves with true when none of the processes is left, with false when the deadline passes first. */
export async function allGone(pids: readonly number[], timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    if (stillRunning(pids).length === 0) return true
    if (Date.now() >= deadline) return false
    await delay(10)
  }
}

/** Those of the processes that run or are frozen; a zombie does neither. */
export function stillRunning(pids: readonly number[]): number[] {
  const alive = new Set(listProcesses().flatMap(entry => (entry.zombie ? [] : [entry.pid])))
  return pids.filter(pid => alive.has(pid))
}

/** The descendants of a process that are alive now. */
export function descendants(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const { pid, parent, zombie } of listProcesses()) {
    if (!zombie) children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const found: number[] = []
  const open = [root]
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    const next = children.get(pid) ?? []
    found.push(...next)
    open.push(...next)
  }
  return found
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function listProcesses(): ProcessEntry[] {
  if (process.platform !== 'linux') {
    const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' })
    return table.split('\n').flatMap(line => parseEntry(line.trim().split(/\s+/)))
  }
  // Slim images come without ps.
  return readdirSync('/proc').flatMap(name => (/^\d+$/.test(name) ? readEntry(name) : []))
}

function readEntry(pid: string): ProcessEntry[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command stands in parentheses and may itself contain spaces and parentheses.
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return parseEntry([pid, parent, state])
  } catch {
    return [] // it ended while the folder was listed
  }
}

function parseEntry([pid, parent, state]: readonly (string | undefined)[]): ProcessEntry[] {
  return pid && parent && state ? [{ pid: Number(pid), parent: Number(parent), zombie: /^[ZX]/.test(state) }] : []
}
