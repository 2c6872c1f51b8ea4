/** Local mode with its database within reach, and as many workers as a test wants; for tests of what is stored. */
import { type Client, createClient } from '@baton/client'
import { type CoreOptions, type Database, migrate, startCore } from '@baton/coordinator'
import { activeSubtaskStates, reviewingSubtaskStates, type SubtaskState, type TaskStatus, terminalTaskStatuses } from '@baton/shared'
import { type Logger, MemoryBusHub, MemoryQueue, silentLogger } from '@baton/shared/node'
import { type Agent, type Host, startHost } from '@baton/worker'

export interface OpenLocal {
  readonly url: string
  readonly client: Client
  readonly database: Database
  /** Starts a further worker. */
  host(agents: readonly Agent[]): Promise<Host>
  stop(): Promise<void>
}

/** Closes the database when it is stopped. */
export async function startOpenLocal(
  database: Database,
  options: Pick<CoreOptions, 'timeScale' | 'webhookNetworks' | 'artifacts' | 'apiKey'> & { readonly log?: Logger } = {},
): Promise<OpenLocal> {
  const { log = silentLogger(), timeScale = 0.25, ...rest } = options
  const namespace = 'open'
  const queue = new MemoryQueue()
  const hub = new MemoryBusHub()
  const bus = hub.connect()
  await migrate(database)
  const coordinator = await startCore({
    stores: { database, queue, bus },
    mode: 'local',
    namespace,
    host: '127.0.0.1',
    port: 0,
    leaseMs: 6_000,
    heartbeatMs: 2_000,
    backoff: { initialMs: 10, maxMs: 40 },
    timeScale,
    ...rest,
    log,
  })
  const hosts: Host[] = []
  return {
    url: coordinator.url,
    client: createClient({ url: coordinator.url, ...(options.apiKey !== undefined && { apiKey: options.apiKey }) }),
    database,
    async host(agents) {
      const own = hub.connect()
      const started = await startHost({ agents, bus: own, consumer: queue, namespace, log })
      void started.ended.then(() => own.close())
      hosts.push(started)
      return started
    },
    async stop() {
      await Promise.all(hosts.map(host => host.stop()))
      await coordinator.stop()
      await queue.close()
      await bus.close()
      await database.close()
    },
  }
}

interface StoredTask {
  task_id: string
  status: TaskStatus
  active: number
  reviewing: number
  blocked: number
  unswept: boolean
  subtasks: { name: string; state: SubtaskState; unmet: number; unfinished: number; open_reviews: number }[]
}

/** A dependency that failed lets its dependents run only under `continue`. */
const read = {
  text: `
select k.task_id, k.status, k.active, k.reviewing, k.blocked, k.unswept, (
  select json_agg(json_build_object('name', d.name, 'state', s.state, 'unmet', s.unmet,
    'unfinished', (
      select count(*) from dependencies e join subtask_states f on f.id = e.from_id join subtasks fd on fd.id = e.from_id
      where e.to_id = d.id and not (f.state in ('completed', 'skipped') or (f.state = 'failed' and fd.on_failure = 'continue'))),
    'open_reviews', (select count(*) from reviews r where r.subtask_pk = d.id and r.status = 'open')) order by d.ordinal)
  from subtasks d join subtask_states s on s.id = d.id where d.task_pk = k.id and d.superseded = 0) as subtasks
from tasks k order by k.id`,
}

/** What the rows of tasks say other than their subtasks do; empty when all is well. */
export async function contradictions(database: Database): Promise<string[]> {
  const { rows } = await database.query<StoredTask>(read)
  return rows.flatMap(task => {
    const among = (states: readonly SubtaskState[]) => task.subtasks.filter(s => states.includes(s.state)).length
    const found: string[] = []
    const expect = (what: string, actual: unknown, wanted: unknown) => {
      if (actual !== wanted) found.push(`${task.task_id}: ${what} is ${String(actual)}, and should be ${String(wanted)}`)
    }
    // Blocked and in review: it waited longer than it may.
    const reviewed = task.subtasks.filter(s => s.state === 'blocked' && s.open_reviews > 0).length
    const counted = {
      active: among(activeSubtaskStates),
      reviewing: among(reviewingSubtaskStates) + reviewed,
      blocked: among(['blocked']) - reviewed,
    }
    expect('unswept', task.unswept, false)
    expect('active', task.active, counted.active)
    expect('reviewing', task.reviewing, counted.reviewing)
    expect('blocked', task.blocked, counted.blocked)
    for (const { name, state, unmet, unfinished, open_reviews } of task.subtasks) {
      expect(`unmet of ${name}`, unmet, unfinished)
      if (state === 'needs_review') expect(`open reviews of ${name}`, open_reviews, 1)
      else if (state !== 'awaiting_approval' && state !== 'blocked') expect(`open reviews of ${name}`, open_reviews, 0)
    }
    expect('status', task.status, statusOf(task.status, counted))
    return found
  })
}

function statusOf(status: TaskStatus, { active, reviewing, blocked }: { active: number; reviewing: number; blocked: number }): TaskStatus {
  if (status === 'planned' || status === 'paused' || status === 'failed' || status === 'cancelled') return status
  if (active > 0) return 'running'
  if (reviewing > 0) return 'needs_review'
  return blocked > 0 ? 'blocked' : 'completed'
}

export const hasEnded = (status: TaskStatus): boolean => (terminalTaskStatuses as readonly TaskStatus[]).includes(status)
