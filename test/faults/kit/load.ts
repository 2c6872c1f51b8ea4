/** What rows of several files need: a load, an outage, an ear. */
import type { OrchestrateRequest } from '@baton/shared'
import { eventually } from '../../harness/eventually.js'
import type { History } from '../history/history.js'
import type { FaultMember } from './member.js'

/** `count` tasks of two steps each, `<prefix>0`, `<prefix>1` …; `work` says how long each step takes. */
export function pairs(prefix: string, count: number, work: () => number): OrchestrateRequest[] {
  return Array.from({ length: count }, (_, i) => ({
    task_id: `${prefix}${i}`,
    title: 'load',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { work: work() } },
      { name: 'b', capability: 'fault', depends_on: ['a'], input: { work: work() } },
    ],
  }))
}

/** The subtasks of the tasks with this prefix: rows that share a fleet tell their own by it. */
export function subtasksOf({ tasks, subtasks }: History, prefix: string): History['subtasks'] {
  const own = new Set(tasks.filter(task => task.task_id.startsWith(prefix)).map(task => task.id))
  return subtasks.filter(subtask => own.has(subtask.task_pk))
}

/** How long a fault lasts is the fault itself; everything else is waited for with `eventually`. */
export function lasts(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** Listens from now on; what it answers with resolves when one of the members has printed such a line since. */
export function listen(members: readonly FaultMember[]): (what: RegExp, timeoutMs?: number) => Promise<void> {
  const from = new Map(members.map(member => [member, member.lines.length]))
  return (what, timeoutMs = 30_000) =>
    eventually(
      () => {
        const printed = members.flatMap(member => member.lines.slice(from.get(member)))
        if (!printed.some(line => what.test(line))) throw new Error(`nobody said ${what}:\n${printed.slice(-20).join('\n')}`)
      },
      { timeoutMs },
    )
}
