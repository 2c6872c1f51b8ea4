/**
 * CPU and memory of process trees, read from Linux' /proc, and the numbers made of repeated runs.
 *
 * M1  A tree's CPU holds what its ended processes used, as soon as their parent has collected them.
 * M2  A missing process counts nothing: trees are read while they change.
 */
import { readdirSync, readFileSync } from 'node:fs'

interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  /** User and system time, its own and that of its collected children (M1). */
  readonly cpuSeconds: number
}

/** `/proc` counts in hundredths of a second on every Linux, whatever the kernel's own tick is. */
const ticksPerSecond = 100

/** The CPU seconds used so far by each process and its descendants. */
export function cpuSecondsOf<Name extends string>(roots: Readonly<Record<Name, number>>): Record<Name, number> {
  const table = processTable()
  const sum = (root: number): number => treeOf(root, table).reduce((seconds, entry) => seconds + entry.cpuSeconds, 0)
  const names = Object.keys(roots) as Name[] // a record's keys are its names
  return Object.fromEntries(names.map(name => [name, sum(roots[name])])) as Record<Name, number> // one entry for each
}

/** CPU seconds that the whole machine has used since its start, whoever used them; waiting for the disk is none. */
export function cpuOfMachine(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (/^cpu +(.*)$/m.exec(textOf('/proc/stat'))?.[1] ?? '')
    .split(' ')
    .map(Number)
  return (user + nice + system + irq + softirq) / ticksPerSecond
}

/** What was used between two readings. */
export function cpuBetween<Name extends string>(before: Record<Name, number>, after: Record<Name, number>): Record<Name, number> {
  const names = Object.keys(after) as Name[] // as above
  return Object.fromEntries(names.map(name => [name, after[name] - before[name]])) as Record<Name, number> // as above
}

/** Bytes that a single process has held in memory at its peak, shared pages included. */
export function peakBytes(pid: number): number {
  return kilobytes(`/proc/${pid}/status`, /^VmHWM:\s+(\d+) kB/m) * 1_024
}

/**
 * Bytes that a process and its descendants hold now. Pages that several share are counted once in all, which a sum of
 * resident sizes would not do: every Postgres process maps the same buffers.
 */
export function treeBytes(root: number): number {
  return treeOf(root, processTable()).reduce((sum, { pid }) => sum + kilobytes(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+) kB/m), 0) * 1_024
}

/** The smallest value that at least a share `q` of the values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

function treeOf(root: number, table: ReadonlyMap<number, ProcessEntry>): ProcessEntry[] {
  const found: ProcessEntry[] = []
  const open = [root]
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    const entry = table.get(pid)
    if (entry) found.push(entry)
    for (const other of table.values()) if (other.parent === pid) open.push(other.pid)
  }
  return found
}

function processTable(): Map<number, ProcessEntry> {
  const entries = readdirSync('/proc').flatMap(name => (/^\d+$/.test(name) ? entryOf(Number(name)) : []))
  return new Map(entries.map(entry => [entry.pid, entry]))
}

function entryOf(pid: number): ProcessEntry[] {
  const text = textOf(`/proc/${pid}/stat`)
  // The command stands in parentheses and may hold spaces and parentheses itself; the state follows it.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [parent = 0] = fields.slice(1)
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + field, 0) // utime, stime, cutime, cstime
  return text === '' ? [] : [{ pid, parent, cpuSeconds: ticks / ticksPerSecond }]
}

function kilobytes(file: string, field: RegExp): number {
  return Number(field.exec(textOf(file))?.[1] ?? 0)
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // M2
  }
}
