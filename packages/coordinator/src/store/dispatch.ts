/**
 * What the dispatcher reads and claims. Rows are claimed (state `queued`, attempt + 1) before their jobs exist; a crash
 * between the two is mended by ringing again. For some of them there is a slot on a worker: these run at once.
 *
 * Invariants: D1 a row is claimed by one coordinator (SKIP LOCKED and the state's guard). D2 within a route, priority
 * first, then tenants in turn, within them orchestrators, within them tasks: whoever has 100,000 ready rows does not
 * starve one with ten.
 */
import type { SubtaskState } from '@baton/shared'
import { grantObject } from './claims.js'
import type { Database, Queryable, Statement } from './database.js'
import {
  type AttemptTimes,
  attemptTerms,
  blockedBefore,
  closeReviews,
  type EffectsRow,
  few,
  foundOutSoon,
  from,
  inReview,
  insertEvents,
  mayTake,
  type QueuedRow,
  readyRoutes,
  rollUp,
  started,
  taskEvents,
  touched,
} from './fragments.js'
import { lockedFirst } from './locked-first.js'
import { pausedTenants } from './pauses.js'
import type { RouteRoom } from './room.js'
import { prepared } from './statements.js'

export interface Demand {
  /** Routes with ready rows, each with the most urgent priority of these. */
  ready: { route_id: number; priority: number }[]
  /** Routes with blocked rows. */
  blocked: number[]
  /** Jobs that are queued, per queue. */
  depths: { queue: string; depth: number }[]
  /** Until the next retry is due, in milliseconds; null when none waits. */
  retry_in_ms: number | null
}

const demand = prepared(
  'read_demand',
  `
with recursive ${readyRoutes}
select
  (select coalesce(json_agg(json_build_object('route_id', r.route_id, 'priority',
      (select s.priority from subtask_states s where s.state = 'ready' and s.route_id = r.route_id order by s.route_id, s.priority limit 1))), '[]')
    from ready r where r.route_id is not null) as ready,
  (select coalesce(json_agg(distinct route_id), '[]') from subtask_states where state = 'blocked') as blocked,
  (select coalesce(json_agg(q), '[]') from (
    select queue, count(*)::int as depth from subtask_states where state = 'queued' group by queue) q) as depths,
  (select extract(epoch from min(run_after) - clock_timestamp())::float8 * 1000 from subtask_states where state = 'retrying') as retry_in_ms`,
)

/** One look at what is to be done, over partial indexes: its cost follows live work, not history. */
export async function readDemand(db: Queryable): Promise<Demand> {
  return (await db.query<Demand>(demand)).rows[0] as Demand // a select without `from` has one row
}

/** How many tasks of one owner a claim looks at to find those that may run; the next one goes on behind them. */
export const maxTasksSeen = 500

const terms = attemptTerms('d.', 'k.sla_ms', '$6')

const claim = prepared(
  'claim_ready',
  `
with want as (
  select * from json_to_recordset($1::json) as w(route_id int, queue text, room int, after json, last_owner int, starts int, first int)
),
picked as materialized (
  select p.id, w.route_id, w.queue, p.priority, p.owner, p.task_pk
  from want w cross join lateral (
    -- From owner to owner: an orchestrator that is held up costs one step, whatever waits in it.
    with recursive owner_turn(priority, owner, tenant_id, runs) as (
      select -1::smallint, 0, 0, false
      union all
      select next.priority, next.owner, o.tenant_id, coalesce(o.status = 'running' and o.tenant_id <> all ${pausedTenants}, false)
      from owner_turn t
      cross join lateral (
        select s.priority, s.owner from subtask_states s
        where s.state = 'ready' and s.route_id = w.route_id and (s.priority, s.owner) > (t.priority, t.owner)
        order by s.priority, s.owner limit 1
      ) next
      left join lateral (select o.tenant_id, o.status from orchestrators o where o.number = next.owner limit 1) o on true
    ),
    -- From task to task of each, from where the last claim ended round to there again, unless what lies before it is held up;
    -- n counts those that may run, so that paused ones before them take no turn.
    turn(priority, owner, tenant_id, share, task_pk, runs, n, seen, begun, round) as (
      select o.priority, o.owner, o.tenant_id, ceil(w.room::float8 / count(*) over (partition by o.priority))::int, coalesce(a.task_pk, 0),
        false, 0, 0, case when a.wraps then a.task_pk else 0 end, false
      from owner_turn o
      left join lateral (
        select a.task_pk, a.wraps from json_to_recordset(w.after) as a(priority smallint, owner int, task_pk bigint, wraps boolean)
        where a.priority = o.priority and a.owner = o.owner limit 1
      ) a on true
      where o.runs
      union all
      select t.priority, t.owner, t.tenant_id, t.share, next.task_pk, r.runs, t.n + r.runs::int, t.seen + 1, t.begun, next.round
      from turn t
      cross join lateral (
        (select s.task_pk, t.round from subtask_states s
        where s.state = 'ready' and s.route_id = w.route_id and s.priority = t.priority and s.owner = t.owner and s.task_pk > t.task_pk
          and (not t.round or s.task_pk <= t.begun)
        order by s.task_pk limit 1)
        union all
        (select s.task_pk, true from subtask_states s
        where s.state = 'ready' and s.route_id = w.route_id and s.priority = t.priority and s.owner = t.owner and s.task_pk <= t.begun
          and not t.round
        order by s.task_pk limit 1)
        limit 1
      ) next
      left join lateral (select k.status from tasks k where k.id = next.task_pk limit 1) k on true
      cross join lateral (select coalesce(k.status in ('running', 'blocked', 'needs_review'), false) as runs) r
      where t.n < t.share and t.seen < ${maxTasksSeen}
    ),
    -- Each owner's rows in the order of its tasks' turns, then each tenant's in the order of its owners' turns.
    owned as (
      select t.priority, t.owner, t.tenant_id, c.id, row_number() over (partition by t.priority, t.owner order by c.nth, t.seen) as place
      from turn t
      cross join lateral (
        select s.id, row_number() over (order by s.id) as nth from (
          select s.id from subtask_states s
          -- As a range, so that the order is that of the index of ready rows alone: by equal columns the key would give it, too, and
          -- the planner would look for a task's ready rows among all rows there are.
          where s.state = 'ready' and s.route_id = w.route_id and (s.priority, s.owner, s.task_pk) >= (t.priority, t.owner, t.task_pk)
            and (s.priority, s.owner, s.task_pk) <= (t.priority, t.owner, t.task_pk)
          order by s.priority, s.owner, s.task_pk, s.id limit w.room
        ) s
      ) c
      where t.runs
    ),
    fair as (
      select o.id, o.priority, o.tenant_id, o.owner, row_number() over (partition by o.priority, o.tenant_id order by o.place, o.owner <= coalesce(w.last_owner, 0), o.owner) as place from owned o
    )
    (select f.id, null::smallint as priority, null::int as owner, null::bigint as task_pk
    from fair f
    order by f.priority, f.place, f.owner <= coalesce(w.last_owner, 0), f.tenant_id
    limit w.room)
    union all
    -- Where the looking was broken off.
    select null, t.priority, t.owner, t.task_pk from turn t where t.seen = ${maxTasksSeen} and t.n < t.share
  ) p
),
locked as materialized (
  select s.id, s.route_id
  from subtask_states s
  where s.id = any (array(select id from picked where id is not null)) and s.state in (${from('queue')}) and s.unmet = 0
  order by s.id
  for update of s skip locked
),
numbered as (
  select l.*, row_number() over (partition by l.route_id order by l.id)::int as nth from locked l
),
-- The first of each route run at once, where its workers have slots: judged as a claim is (I15), by probes in a fixed order. A
-- suspect is left to be claimed, and so is what asks for a long lease, as at submission.
placed as materialized (
  select l.id, t.queue, h.*
  from numbered l join want t on t.route_id = l.route_id
  left join lateral (
    select clock_timestamp() as at, ($2::uuid[])[t.first + l.nth] as claim_id, w.worker_id, w.agent,
      ${terms.leaseMs} as lease_ms, ${terms.agentDeadlineMs} as agent_deadline_ms, ${terms.slaMs} as sla_ms,
      k.task_id, k.title as task_title, k.context, d.subtask_id, d.uuid, d.name, d.title, d.capability, d.input, d.isolation
    from (select x.task_pk, x.owner, x.losses from subtask_states x where x.id = l.id limit 1) s
    cross join lateral (select * from subtasks x where x.id = l.id limit 1) d
    cross join lateral (select * from tasks x where x.id = s.task_pk limit 1) k
    cross join lateral (select x.lease_ms, x.timeout_ms from orchestrators x where x.number = s.owner limit 1) o
    cross join lateral (select x.agent, x.capability, x.requires from routes x where x.id = l.route_id limit 1) n
    cross join lateral (select * from worker_agents x where x.worker_id = ($3::text[])[t.first + l.nth] and x.agent = ($4::text[])[t.first + l.nth] limit 1) w
    where l.nth <= t.starts and s.losses < 2 and ${foundOutSoon(terms.leaseMs, '$5')} and ${mayTake('n', 'w', 'w.agent')}
  ) h on true
),
queued as (
  update subtask_states s set state = case when p.at is null then 'queued' else 'running' end, attempt = s.attempt + 1, dispatch = s.dispatch + 1, queue = p.queue,
    queued_at = coalesce(p.at, clock_timestamp()), run_after = null${started('$5', 'p.at')}
  from placed p
  where s.id = p.id
  returning s.id, s.tenant_id, s.task_pk, s.owner, s.priority, s.attempt, s.dispatch, s.queue, s.route_id, s.agent, s.worker_id, s.attempt_limit, s.progress, s.ready_at,
    s.scheduled_at, s.deadline_ms, s.lease_ms, p.at, p.claim_id, p.sla_ms, p.task_id, p.task_title, p.context, p.subtask_id, p.uuid, p.name, p.title, p.capability, p.input, p.isolation
),
event as (
  insert into events (tenant_id, name, task_pk, subtask_pk, attempt, agent, worker_id)
  select tenant_id, 'subtask.queued', task_pk, id, attempt, null, null from queued
  union all
  select tenant_id, 'subtask.started', task_pk, id, attempt, agent, worker_id from queued where at is not null
)
select
  (select coalesce(json_agg(json_build_object('id', id::text, 'attempt', attempt, 'dispatch', dispatch, 'queue', queue, 'route_id', route_id,
    'task_pk', task_pk::text, 'owner', owner, 'priority', priority)), '[]') from queued where at is null) as jobs,
  (select coalesce(json_agg(json_build_object('id', r.id::text, 'attempt', r.attempt, 'dispatch', r.dispatch, 'queue', r.queue, 'route_id', r.route_id,
    'task_pk', r.task_pk::text, 'owner', r.owner, 'priority', r.priority, 'claim_id', r.claim_id, 'waited', extract(epoch from r.at - r.ready_at),
    'grant', case when not exists (select from dependencies e where e.to_id = r.id) then ${grantObject({ deadlineMs: 'r.deadline_ms', leaseMs: 'coalesce(r.lease_ms, $5::int)', dependencies: "'[]'::json", more: 'false' })}::text end)), '[]')
    from queued r where r.at is not null) as started,
  (select coalesce(json_agg(json_build_object('route_id', route_id, 'priority', priority, 'owner', owner, 'task_pk', task_pk::text)), '[]') from picked where id is null) as cut`,
)

/** A place among a route's tasks of one priority and one owner. */
export interface TurnPlace {
  readonly priority: number
  readonly owner: number
  readonly task_pk: string
}

/** Where the looking begins with an owner. */
export interface Beginning extends TurnPlace {
  /** It goes round to here again; otherwise it comes to an end behind the last task. */
  readonly wraps: boolean
}

export interface WantedRows extends RouteRoom {
  /** With these owners the looking begins behind these places. */
  readonly after?: readonly Beginning[] | undefined
  /** The owner who was served last: among equals, those with a higher number come before the others. */
  readonly last_owner?: number | undefined
  /** In these its first rows start. Default: none. */
  readonly slots?: readonly StartSlot[] | undefined
}

/** A row that was claimed for its queue, and whose it is. */
export interface ClaimedRow extends QueuedRow, TurnPlace {}

/** A row that was claimed and started. */
export interface StartedReady extends ClaimedRow {
  readonly claim_id: string
  /** Seconds from when it was ready until it was started. */
  readonly waited: number
  /** A `Grant` as JSON text; null where it depends on something, and has to be claimed for its brief. */
  readonly grant: string | null
}

/** A slot in which one row may start: the agent on its worker, and the claim that it would run under. */
export interface StartSlot {
  readonly claim_id: string
  readonly worker_id: string
  readonly agent: string
}

export interface ClaimedRows {
  jobs: ClaimedRow[]
  started: StartedReady[]
  /** Owners of whom many held-up tasks were seen and the rest was not looked at: where to go on. */
  cut: (TurnPlace & { route_id: number })[]
}

/** Claims up to `room` ready rows of each route for its queue. */
export async function claimReady(db: Queryable, wanted: readonly WantedRows[], times: AttemptTimes): Promise<ClaimedRows> {
  const slots: StartSlot[] = []
  const want = wanted.map(({ slots: own = [], ...each }) => {
    const first = slots.length
    slots.push(...own)
    return { ...each, starts: own.length, first }
  })
  const { rows } = await db.query<ClaimedRows>(claim, [
    JSON.stringify(want),
    slots.map(slot => slot.claim_id),
    slots.map(slot => slot.worker_id),
    slots.map(slot => slot.agent),
    times.leaseMs,
    times.defaultSlaMs,
  ])
  return rows[0] as ClaimedRows // a select without `from` has one row
}

const promote = prepared(
  'promote_retries',
  `
with due as materialized (
  select id from subtask_states where state = 'retrying' and run_after <= clock_timestamp() order by id limit $1 for update skip locked
),
moved as (
  update subtask_states s set state = 'ready', ready_at = clock_timestamp(), run_after = null from due where s.id = due.id returning s.id
)
select count(*)::int as moved from moved`,
)

/** Makes up to `limit` retries ready whose backoff ended; says how many. */
export async function promoteRetries(db: Queryable, limit: number): Promise<number> {
  return (await db.query<{ moved: number }>(promote, [limit])).rows[0]?.moved ?? 0
}

interface ShiftRule {
  readonly from: SubtaskState
  readonly to: SubtaskState
  /** A condition on row `s`. */
  readonly guard: string
  /** Counters of the task's that change, as columns `active, reviewing, blocked` of a row of `moved`. */
  readonly changes: string
  readonly event: string
  readonly alert?: string
}

const shift = (name: string, { from, to, guard, changes, event, alert }: ShiftRule): Statement =>
  prepared(
    name,
    `
with target as materialized (
  -- In no order: by their ids, the planner would look for them among all rows there are.
  select s.id from subtask_states s where s.state = '${from}' and ${guard} limit 500 for update skip locked
),
moved as (
  update subtask_states s set state = '${to}'${from === 'queued' ? ', queue = null' : ''}${from === 'blocked' ? ', ready_at = clock_timestamp()' : ''}
  from target t where s.id = t.id returning s.id, s.tenant_id, s.task_pk, s.route_id
),
${closeReviews(`(select id from moved where '${from}' = 'blocked')`, 'a provider is there again', { kind: 'unroutable' })},
${rollUp(`select task_pk, ${changes} from moved`)},
${insertEvents(
  `
  select m.tenant_id, '${event}' as name, m.task_pk, m.id as subtask_pk, null::int as attempt, null::text as agent, null::text as worker_id,
    ${to === 'blocked' ? `(select json_build_object('why', 'no live worker offers ' || coalesce(r.agent, r.capability))::text from routes r where r.id = m.route_id)` : 'null::text'} as data
  from moved m`,
  `
  select tenant_id, 'review.closed', task_pk, subtask_pk, null, null, null, json_build_object('review', id::text)::text from closed`,
  ...(alert === undefined ? [] : [alert]),
  taskEvents,
)}
select (select count(*)::int from moved) as moved, (select coalesce(json_agg(distinct route_id), '[]') from moved) as routes, ${touched('moved')},
  (select coalesce(json_agg(json_build_object('id', id::text, 'status', status, 'from', from_status)), '[]') from task_moved where status <> from_status) as tasks`,
  )

export interface Shifted extends Pick<EffectsRow, 'tasks' | 'touched'> {
  moved: number
  routes: number[]
}

/** One alert for each route that had nothing blocked before. */
const firstBlocked = `
  select (array_agg(m.tenant_id))[1], 'alert.blocked', null, null, null, r.agent, null, json_build_object('capability', r.capability, 'requires', r.requires, 'subtasks', count(*))::text
  from moved m join routes r on r.id = m.route_id
  where not ${blockedBefore('m.route_id')}
  group by r.id, r.agent, r.capability, r.requires`

const block = shift('block_unroutable', {
  from: 'ready',
  to: 'blocked',
  guard: `s.route_id = any ($1::int[]) and s.ready_at < clock_timestamp() - $2::int * interval '1 millisecond'`,
  changes: '-1 as active, 0 as reviewing, 1 as blocked',
  event: 'subtask.blocked',
  alert: firstBlocked,
})
const lockBlocked = prepared(
  'lock_blocked',
  `select s.id from subtask_states s where s.state = 'blocked' and s.route_id = any ($1::int[]) order by s.id limit 500 for update skip locked`,
)

const unblock = shift('unblock_routable', {
  from: 'blocked',
  to: 'ready',
  // What waited longer than its queue wait for workers that were all busy is not helped by their being there, but by room.
  guard: `s.id = any ($3::bigint[]) and s.route_id = any ($1::int[]) and (s.route_id = any ($2::int[]) or not ${inReview('s.id')})`,
  changes: `1 as active, -(id in (select subtask_pk from closed))::int as reviewing, -(id not in (select subtask_pk from closed))::int as blocked`,
  event: 'subtask.ready',
})
const recall = shift('recall_queued', {
  from: 'queued',
  to: 'ready',
  guard: 's.queue = any ($1::text[])',
  changes: '0 as active, 0 as reviewing, 0 as blocked',
  event: 'subtask.requeued',
})

/** Blocks ready rows of routes that nobody serves and that have waited for longer than `afterMs`. */
export async function blockUnroutable(db: Queryable, routes: readonly number[], afterMs: number): Promise<Shifted> {
  return (await db.query<Shifted>(block, [[...routes], afterMs])).rows[0] as Shifted // a select without `from` has one row
}

/** Makes blocked rows ready again whose route has a provider; those in review only where the provider has room, too. */
export async function unblockRoutable(
  database: Database,
  { provided, roomy }: { provided: readonly number[]; roomy: readonly number[] },
): Promise<Shifted> {
  const { rows } = await lockedFirst(database, lockBlocked, [[...provided]], (tx, ids) =>
    tx.query<Shifted>(unblock, [[...provided], [...roomy], ids]),
  )
  return rows[0] as Shifted // as above
}

/** Takes back rows from queues that have lost their last consumer; not charged, since nothing ran. */
export async function recallQueued(db: Queryable, queues: readonly string[]): Promise<Shifted> {
  return (await db.query<Shifted>(recall, [[...queues]])).rows[0] as Shifted // as above
}

const stale = prepared(
  'stale_queued',
  `
select s.id::text as id, s.attempt, s.dispatch, s.queue, s.route_id from subtask_states s
where s.state = 'queued' and s.queued_at <= clock_timestamp() - $1::int * interval '1 millisecond' and s.id > $3
  and ($4::int is null or s.queued_at >= clock_timestamp() - $4 * interval '1 millisecond')
order by s.id limit $2`,
)

interface QueuedAge {
  readonly olderThanMs: number
  /** null: however old. */
  readonly youngerThanMs: number | null
}

/** Rows that were queued so long ago and that no worker has claimed, in order of id. */
export async function readStaleQueued(db: Queryable, age: QueuedAge, page: { after: string; limit: number }): Promise<QueuedRow[]> {
  const youngerThanMs = age.youngerThanMs === null ? null : Math.ceil(age.youngerThanMs)
  return (await db.query<QueuedRow>(stale, [Math.round(age.olderThanMs), page.limit, page.after, youngerThanMs])).rows
}

const ring = prepared(
  'ring_again',
  `
with item as (select * from json_to_recordset($1::json) as i(id bigint, attempt int, dispatch int) where ${few('i.attempt')}),
target as materialized (
  select s.id, s.state = 'queued' as queued from item i join subtask_states s on s.id = i.id and s.attempt = i.attempt and s.dispatch = i.dispatch
  order by s.id for update of s skip locked
)
update subtask_states s set dispatch = s.dispatch + 1, queued_at = clock_timestamp()
from target t where s.id = t.id and t.queued
returning s.id::text as id, s.attempt, s.dispatch, s.queue, s.route_id`,
)

/** Takes the next dispatch number for rows whose job is not there: a queue ignores an id that it has seen. */
export async function ringAgain(db: Queryable, rows: readonly QueuedRow[]): Promise<QueuedRow[]> {
  return (await db.query<QueuedRow>(ring, [JSON.stringify(rows)])).rows
}
