/** Reads a history from all who wrote it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from '../../../packages/coordinator/src/store/database.js'
import { redisCommand } from '../../harness/redis-command.js'
import type { Disturbance, History, JournalLine, Operation } from './history.js'

export interface Sources {
  readonly database: Database
  readonly redisUrl: string
  readonly namespace: string
  /** With the workers' journals. */
  readonly directory: string
  readonly operations: readonly Operation[]
  readonly disturbances: readonly Disturbance[]
  readonly open: History['open']
}

const digest = (column: string) => `case when ${column} is not null then encode(sha256(convert_to(${column}, 'UTF8')), 'hex') end`

const subtaskIds = `select id from subtasks where task_pk = any ($1::bigint[])`

/** What is read, and how it is limited to some tasks. */
const queries = {
  events: {
    all: `select xid::text, seq::float8 as seq, at::text, name, task_pk::text, subtask_pk::text, attempt, worker_id, data::json as data from events`,
    of: 'where task_pk = any ($1::bigint[])',
  },
  tasks: { all: `select id::text, tenant_id, task_id, status from tasks`, of: 'where id = any ($1::bigint[])' },
  subtasks: {
    all: `select d.id::text, d.uuid::text, d.task_pk::text, d.name, d.generation, d.on_failure, ${digest('d.input')} as input_sha256,
      s.state, s.unmet, s.attempt, s.charged, s.attempt_limit, s.dispatch from subtasks d join subtask_states s on s.id = d.id`,
    of: 'where d.task_pk = any ($1::bigint[])',
  },
  dependencies: { all: `select from_id::text, to_id::text from dependencies`, of: `where from_id in (${subtaskIds})` },
  attempts: {
    all: `select subtask_pk::text, attempt, claim_id::text, worker_id, outcome, charged, ${digest('output')} as output_sha256 from attempts`,
    of: `where subtask_pk in (${subtaskIds})`,
  },
  reviews: {
    all: `select id::text, task_pk::text, subtask_pk::text, kind, status, decision from reviews`,
    of: 'where task_pk = any ($1::bigint[])',
  },
  workers: { all: `select id, pid from workers`, of: '' },
} as const satisfies Partial<Record<keyof History, { readonly all: string; readonly of: string }>>

type Rows = Pick<History, keyof typeof queries>

/** Everything of a fleet; of a large one parts.ts has it in parts. */
export async function collectHistory(sources: Sources): Promise<History> {
  const { database, redisUrl, namespace, directory, operations, disturbances, open } = sources
  const rows = await readRows(database)
  const jobs = await readJobs(redisUrl, namespace)
  return { ...rows, jobs, journal: readJournals(directory), operations: [...operations], disturbances: [...disturbances], open }
}

/** Of all tasks, or of those with these internal ids. */
export async function readRows(database: Database, taskPks?: readonly string[]): Promise<Rows> {
  // One snapshot: what is read apart would contradict itself while anything moves.
  return database.transaction(async tx => {
    await tx.query({ text: 'set transaction isolation level repeatable read, read only' })
    const read = async <K extends keyof Rows>(name: K) => {
      const { all, of } = queries[name]
      const limited = taskPks !== undefined && of !== ''
      const { rows } = await tx.query({ text: limited ? `${all} ${of}` : all, patient: true }, limited ? [taskPks] : [])
      return rows as unknown as History[K] // as the query says
    }
    return {
      events: await read('events'),
      tasks: await read('tasks'),
      subtasks: await read('subtasks'),
      dependencies: await read('dependencies'),
      attempts: await read('attempts'),
      reviews: await read('reviews'),
      workers: await read('workers'),
    }
  })
}

/** Every worker's account of itself. A line that a kill cut off is none. */
export function readJournals(directory: string): JournalLine[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .filter(file => file.endsWith('.jsonl'))
    .flatMap(
      file =>
        readFileSync(join(directory, file), 'utf8')
          .split('\n')
          .slice(0, -1)
          .map(line => JSON.parse(line) as JournalLine), // written by our own agents
    )
}

// BullMQ's keys are `<prefix>:<queue>:<list>`; what waits is in a list, what has a priority or a delay in a sorted set.
const listJobs = `
local ids = {}
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':*', 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local kind = string.match(key, ':([a-z]+)$')
    local found = {}
    if kind == 'wait' or kind == 'active' or kind == 'paused' then found = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'prioritized' or kind == 'delayed' then found = redis.call('ZRANGE', key, 0, -1) end
    for _, id in ipairs(found) do ids[#ids + 1] = id end
  end
until cursor == '0'
return {ok = table.concat(ids, ' ')}`

/** Ids of the jobs that wait or are active, in whichever queue. */
export async function readJobs(redisUrl: string, namespace: string): Promise<string[]> {
  const listed = await redisCommand(redisUrl, 'EVAL', listJobs, '0', namespace)
  return listed.split(' ').filter(Boolean)
}
