/**
 * What stands where, counted for those who watch the installation. Every count is bounded, and follows live work over
 * partial indexes: its cost is that of a page, however many tasks there are or were.
 */
import type { TaskStatus } from '@baton/shared'
import type { Queryable } from './database.js'
import { readyRoutes } from './fragments.js'
import { prepared } from './statements.js'

/** Of each status, this many tasks are counted. */
export const maxTasksCounted = 100_000
/** Of each route (ready), of each state (retrying, blocked), and of reviews. */
export const maxCounted = 10_000
/** Routes with ready rows that are looked at; the others are left out. */
const maxRoutes = 1_000

export interface Standing {
  tasks: { status: TaskStatus; count: number }[]
  subtasks: { route_id: number; state: 'ready' | 'queued' | 'running' | 'retrying' | 'blocked'; count: number }[]
  workers: { state: string; count: number }[]
  reviews: number
}

const some = (state: 'retrying' | 'blocked'): string => `
  select route_id, '${state}' as state, count(*)::int as count
  from (select route_id from subtask_states where state = '${state}' limit ${maxCounted}) x group by route_id`
const all = (state: 'queued' | 'running'): string => `
  select route_id, '${state}' as state, count(*)::int as count from subtask_states where state = '${state}' group by route_id`

const statement = prepared(
  'read_standing',
  `
with recursive ${readyRoutes}
select
  (select json_agg(json_build_object('status', u.status, 'count', (
    select count(*) from (
      select from tenants t cross join lateral (select from tasks k where k.tenant_id = t.id and k.status = u.status limit ${maxTasksCounted}) k limit ${maxTasksCounted}) n)))
   from unnest($1::text[]) as u(status)) as tasks,
  (select coalesce(json_agg(x), '[]') from (
    select r.route_id, 'ready' as state, n.count from (select route_id from ready where route_id is not null limit ${maxRoutes}) r
    cross join lateral (select count(*)::int as count from (select from subtask_states s where s.state = 'ready' and s.route_id = r.route_id limit ${maxCounted}) c) n
    union all ${all('queued')} union all ${all('running')} union all ${some('retrying')} union all ${some('blocked')}) x) as subtasks,
  (select coalesce(json_agg(x), '[]') from (select state, count(*)::int as count from workers group by state) x) as workers,
  (select count(*)::int from (
    select from tenants t cross join lateral (select from reviews v where v.tenant_id = t.id and v.status = 'open' limit ${maxCounted}) v limit ${maxCounted}) n) as reviews`,
)

const unfinished: readonly TaskStatus[] = ['planned', 'running', 'paused', 'blocked', 'needs_review']

export async function readStanding(db: Queryable): Promise<Standing> {
  return (await db.query<Standing>(statement, [unfinished])).rows[0] as Standing // a select without `from` has one row
}

export interface EndedTask {
  task_id: string
  status: string
  seconds: number
}

const ends = prepared(
  'read_task_ends',
  `
select k.task_id, k.status, extract(epoch from k.finished_at - coalesce(k.started_at, k.created_at))::float8 as seconds
from tasks k where k.id = any ($1::bigint[]) and k.finished_at is not null`,
)

/** How long tasks took from their start to their end. */
export async function readTaskEnds(db: Queryable, ids: readonly string[]): Promise<EndedTask[]> {
  return (await db.query<EndedTask>(ends, [[...ids]])).rows
}

const names = prepared(
  'read_subtask_names',
  `select s.id::text as id, k.task_id, s.subtask_id, s.name from subtasks s join tasks k on k.id = s.task_pk where s.id = any ($1::bigint[])`,
)

export interface SubtaskNames {
  id: string
  task_id: string
  subtask_id: string
  name: string
}

/** What people call these subtasks. */
export async function readSubtaskNames(db: Queryable, ids: readonly string[]): Promise<SubtaskNames[]> {
  return (await db.query<SubtaskNames>(names, [[...ids]])).rows
}
