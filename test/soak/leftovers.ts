/** What is to be gone: after a drain no row that lives and no job; after the end no connection and no process. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { readJobs } from '../faults/history/collect.js'
import type { FaultFleet } from '../faults/kit/index.js'
import { eventually } from '../harness/eventually.js'

const live = `
select 'subtasks that are ' || state as what, count(*)::int as n from subtask_states
  where state not in ('completed', 'failed', 'skipped', 'cancelled') group by state
union all select 'tasks that are ' || status, count(*)::int from tasks where status not in ('completed', 'failed', 'cancelled') group by status
union all select 'tasks that are not swept', count(*)::int from tasks where unswept having count(*) > 0
union all select 'reviews that are open', count(*)::int from reviews where status = 'open' having count(*) > 0
union all select 'subtasks whose task counts them as unfinished', count(*)::int from tasks where active + reviewing + blocked > 0 and finished_at is not null having count(*) > 0`

/** Rows, in words. */
export async function liveRows(fleet: FaultFleet): Promise<string[]> {
  return (await fleet.rows<{ what: string; n: number }>(live)).map(({ what, n }) => `${n} ${what}`)
}

/**
 * The job that a worker held when it was killed is swept away by BullMQ: its lock lasts a minute, and two looks, a minute
 * apart, have to find it without one. Whatever waits is gone much sooner.
 */
const lockedMs = 190_000

/** Jobs that nobody takes away. */
export async function jobsLeft(fleet: FaultFleet): Promise<string[]> {
  const read = () => readJobs(fleet.servers.redisUrl, fleet.namespace)
  await eventually(async () => (await read()).length === 0, { timeoutMs: lockedMs, everyMs: 500 }).catch(() => undefined)
  return (await read()).map(id => `job ${id}`)
}

const established = '01'

/** Connections that still lead to these ports of this machine. Linux only. */
export function connectionsTo(ports: readonly number[]): number {
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap(file => readFileSync(file, 'utf8').split('\n').slice(1))
    .map(line => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === established && ports.includes(Number.parseInt(local?.split(':')[1] ?? '', 16))).length
}

/** How many sockets a process holds. */
export function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter(fd => linkOf(`/proc/${pid}/fd/${fd}`).startsWith('socket:')).length
}

/** Processes whose command line names this. */
export function processesNaming(text: string): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(name => textOf(`/proc/${name}/cmdline`).includes(text))
    .map(name => `process ${name}`)
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // it has just ended
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return '' // closed meanwhile
  }
}
