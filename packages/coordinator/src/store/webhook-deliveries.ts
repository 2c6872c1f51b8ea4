/** Deliveries of events to webhooks: made from committed events, leased to whoever sends them, kept as a log. */
import type { Queryable } from './database.js'
import type { EventRow } from './events.js'
import { prepared } from './statements.js'

const horizon = 'pg_snapshot_xmin(pg_current_snapshot())'

/** Without a lock, which would be a write: most looks find nothing. */
const look = prepared(
  'webhooks_look',
  `
select exists (select from events e where (e.xid, e.seq) > (c.xid, c.seq) and e.xid < ${horizon}) as some,
  exists (select from events e where e.xid >= ${horizon}) as held_back
from event_cursors c where c.consumer = 'webhooks'`,
)

/** Whether there are events behind the cursor, and whether some wait for an older transaction. */
export async function lookForEvents(db: Queryable): Promise<{ some: boolean; heldBack: boolean }> {
  const row = (await db.query<{ some: boolean; held_back: boolean }>(look)).rows[0]
  return { some: row?.some ?? false, heldBack: row?.held_back ?? false }
}

/**
 * Who delivers takes the cursor's row, or passes by while somebody else has it. An alert about a webhook is not told to that
 * webhook. The order of rows keeps that of the events.
 */
const fanOut = prepared(
  'webhooks_fan_out',
  `
with cursor as materialized (
  select c.xid, c.seq from event_cursors c where c.consumer = 'webhooks' for update skip locked
),
page as materialized (
  select e.* from cursor c cross join lateral (
    select e.xid, e.seq, e.at, e.tenant_id, e.name, e.task_pk, e.data from events e
    where (e.xid, e.seq) > (c.xid, c.seq) and e.xid < ${horizon} order by e.xid, e.seq limit $1
  ) e
),
made as (
  insert into webhook_deliveries (webhook_pk, xid, seq, at, name, task_pk, lane, give_up_at)
  select w.pk, p.xid, p.seq, p.at, p.name, p.task_pk,
    case when w.kind = 'callbacks' then 'c ' || coalesce(substring(lower(k.callback_url) from '^[a-z]+://[^/?#]+'), '') else 'w ' || w.pk end,
    clock_timestamp() + $2::bigint * interval '1 millisecond'
  from page p
  join webhooks w on w.tenant_id = p.tenant_id and w.enabled and w.deleted_at is null and p.xid >= w.since and p.name like any (w.patterns)
  left join lateral (select callback_url from tasks where id = p.task_pk and w.kind = 'callbacks' limit 1) k on true
  where (w.kind = 'subscription' or k.callback_url is not null)
    and (p.name <> 'alert.webhook' or p.data::json ->> 'webhook_id' <> w.id)
  order by p.xid, p.seq
  on conflict (webhook_pk, xid, seq) do nothing
  returning 1
),
last as (
  select xid, seq from page order by xid desc, seq desc limit 1
),
moved as (
  update event_cursors c set xid = l.xid, seq = l.seq, updated_at = clock_timestamp() from last l where c.consumer = 'webhooks'
)
select (select count(*)::int from page) as read, (select count(*)::int from made) as made`,
)

/** Turns the next events into deliveries; says how many of each. */
export async function fanOutEvents(db: Queryable, limit: number, giveUpMs: number): Promise<{ read: number; made: number }> {
  return (await db.query<{ read: number; made: number }>(fanOut, [limit, giveUpMs])).rows[0] ?? { read: 0, made: 0 }
}

export interface Claimed {
  readonly pk: string
  readonly lane: string
  readonly attempts: number
  readonly delivery_xid: string
  readonly delivery_seq: string
  readonly webhook_id: string
  readonly url: string | null
  readonly secret: string
  readonly previous_secret: string | null
  /** As of the delivery; the event's own may be gone. */
  readonly event_name: string
  readonly event_at: Date
  readonly event: EventRow | null
}

type ClaimedRow = Omit<Claimed, 'event'> & EventRow & { readonly has_event: boolean }

/** A lane at a time by a skip scan: who has ten thousand deliveries waiting hides nobody. */
const claim = prepared(
  'webhooks_claim',
  `
with recursive lane as (
  (select d.lane from webhook_deliveries d where d.state = 'pending' order by d.lane limit 1)
  union all
  select (select d.lane from webhook_deliveries d where d.state = 'pending' and d.lane > l.lane order by d.lane limit 1) from lane l where l.lane is not null
),
due as materialized (
  select d.pk
  from (
    select l.lane, coalesce(b.room, $2::int) as room from lane l left join json_to_recordset($1::json) as b(lane text, room int) on b.lane = l.lane
    where l.lane is not null
  ) l
  cross join lateral (
    select d.pk from webhook_deliveries d
    where d.lane = l.lane and d.state = 'pending' and d.next_at <= statement_timestamp()
      and exists (select from webhooks w where w.pk = d.webhook_pk and w.enabled)
    order by d.next_at limit l.room
    for update of d skip locked
  ) d
  limit $3
),
claimed as (
  update webhook_deliveries d set attempts = d.attempts + 1, next_at = clock_timestamp() + $4::bigint * interval '1 millisecond'
  from due where d.pk = due.pk
  returning d.*
)
select c.pk::text, c.lane, c.attempts, c.xid::text as delivery_xid, c.seq::text as delivery_seq, c.name as event_name, c.at as event_at,
  w.id as webhook_id, case when w.kind = 'callbacks' then k.callback_url else w.url end as url, w.secret,
  case when w.previous_until > clock_timestamp() then w.previous_secret end as previous_secret,
  e.xid is not null as has_event, e.xid::text, e.seq::text, e.at, e.tenant_id, e.name, e.task_pk::text, k.task_id, k.orchestrator_id,
  s.subtask_id, s.name as subtask, e.attempt, e.agent, e.worker_id, e.data
from claimed c
join webhooks w on w.pk = c.webhook_pk
left join lateral (select * from events e where e.xid = c.xid and e.seq = c.seq limit 1) e on true
left join lateral (select task_id, orchestrator_id, callback_url from tasks where id = c.task_pk limit 1) k on true
left join lateral (select subtask_id, name from subtasks where id = e.subtask_pk limit 1) s on true
order by c.pk`,
)

/** Leases deliveries that are due: of each lane at most its room, in all at most `limit`. */
export async function claimDeliveries(
  db: Queryable,
  { rooms, room, limit, leaseMs }: { rooms: readonly { lane: string; room: number }[]; room: number; limit: number; leaseMs: number },
): Promise<Claimed[]> {
  const { rows } = await db.query<ClaimedRow>(claim, [JSON.stringify(rooms), room, limit, leaseMs])
  return rows.map(row => ({ ...row, event: row.has_event ? row : null }))
}

const pending = prepared('webhooks_pending', `select exists (select from webhook_deliveries where state = 'pending') as some`)

export async function deliveriesPend(db: Queryable): Promise<boolean> {
  return (await db.query<{ some: boolean }>(pending)).rows[0]?.some ?? false
}

export type DeliveryState = 'pending' | 'delivered' | 'given_up'

/** How one try went. */
export interface Try {
  readonly at: string
  readonly ms: number
  readonly status: number | null
  readonly error: string | null
}

const keptTries = 20

/** How one delivery went, which was leased as its `attempts`th. */
export interface Settled {
  readonly pk: string
  readonly attempts: number
  readonly delivered: boolean
  readonly againMs: number
  readonly tried: Try
}

/** A failure counts only for whoever has the lease; a success, for whoever had it. Items come in the order of their rows. */
const settle = prepared(
  'webhooks_settle',
  `
with mine as materialized (
  select i.n, i.delivered, i.again_ms, i.tried, d.pk
  from json_to_recordset($1::json) as i(n int, pk bigint, attempts int, delivered bool, again_ms bigint, tried jsonb)
  cross join lateral (
    select d.pk from webhook_deliveries d where d.pk = i.pk and d.state = 'pending' and (i.delivered or d.attempts = i.attempts) for update
  ) d
),
settled as (
  update webhook_deliveries d set
    state = case when m.delivered then 'delivered' when clock_timestamp() >= d.give_up_at then 'given_up' else 'pending' end,
    next_at = clock_timestamp() + m.again_ms * interval '1 millisecond',
    ended_at = case when m.delivered or clock_timestamp() >= d.give_up_at then clock_timestamp() end,
    tries = (select coalesce(jsonb_agg(t.value order by t.n), '[]') from (
      select * from jsonb_array_elements(d.tries || m.tried) with ordinality as t(value, n) order by n desc limit ${keptTries}) t)
  from mine m where d.pk = m.pk
  returning m.n, d.pk, d.webhook_pk, d.name, d.state, d.xid, d.seq
),
alerted as (
  insert into events (tenant_id, name, data)
  select w.tenant_id, 'alert.webhook', json_build_object('webhook_id', w.id, 'delivery_id', s.pk::text, 'event', s.name, 'event_id', s.xid::text || '-' || s.seq)::text
  from settled s join webhooks w on w.pk = s.webhook_pk where s.state = 'given_up'
)
select n, state from settled`,
)

/** Undefined: somebody else has settled it, or has the lease by now. */
export async function settleDeliveries(db: Queryable, outcomes: readonly Settled[]): Promise<(DeliveryState | undefined)[]> {
  const items = outcomes
    .map(({ pk, attempts, delivered, againMs, tried }, n) => ({ n, pk, attempts, delivered, again_ms: againMs, tried: [tried] }))
    .sort((a, b) => (BigInt(a.pk) < BigInt(b.pk) ? -1 : 1))
  const { rows } = await db.query<{ n: number; state: DeliveryState }>(settle, [JSON.stringify(items)])
  const states = new Map(rows.map(({ n, state }) => [n, state]))
  return outcomes.map((_, n) => states.get(n))
}

export interface DeliveryRow {
  pk: string
  event_id: string
  at: Date
  name: string
  task_id: string | null
  state: DeliveryState
  attempts: number
  tries: Try[]
  next_at: Date | null
  ended_at: Date | null
}

const deliveryColumns = `d.pk::text, d.xid::text || '-' || d.seq as event_id, d.at, d.name, k.task_id, d.state, d.attempts, d.tries,
  case when d.state = 'pending' then d.next_at end as next_at, d.ended_at`
const taskOf = 'left join lateral (select task_id from tasks where id = d.task_pk limit 1) k on true'

const log = prepared(
  'webhooks_log',
  `
select ${deliveryColumns} from webhook_deliveries d ${taskOf}
where d.webhook_pk = $1 and d.pk < $2 and ($3::text is null or d.state = $3) order by d.pk desc limit $4`,
)

/** The newest first, before a delivery. */
export async function listDeliveries(
  db: Queryable,
  webhookPk: string,
  { before, state, limit }: { before: string; state: string | null; limit: number },
): Promise<DeliveryRow[]> {
  return (await db.query<DeliveryRow>(log, [webhookPk, before, state, limit])).rows
}

const replayOne = prepared(
  'webhooks_replay_one',
  `
with d as (
  update webhook_deliveries d set state = 'pending', attempts = 0, next_at = clock_timestamp(), give_up_at = clock_timestamp() + $3::bigint * interval '1 millisecond', ended_at = null
  where d.webhook_pk = $1 and d.pk = $2
  returning *
)
select ${deliveryColumns} from d ${taskOf}`,
)

export async function replayDelivery(db: Queryable, webhookPk: string, pk: string, giveUpMs: number): Promise<DeliveryRow | undefined> {
  return (await db.query<DeliveryRow>(replayOne, [webhookPk, pk, giveUpMs])).rows[0]
}

/** In bounded batches: `last` of one is `after` of the next. */
const replaySince = prepared(
  'webhooks_replay_since',
  `
with page as materialized (
  select d.pk, d.at from webhook_deliveries d
  where d.webhook_pk = $1 and d.at >= $2::timestamptz and (d.at, d.pk) > ($3::timestamptz, $4::bigint) and d.at < $5::timestamptz
  order by d.at, d.pk limit $8
),
replayed as (
  update webhook_deliveries d set state = 'pending', attempts = 0, next_at = clock_timestamp(), give_up_at = clock_timestamp() + $7::bigint * interval '1 millisecond', ended_at = null
  from page p where d.pk = p.pk and ($6::text is null or d.state = $6)
  returning 1
)
select (select count(*)::int from replayed) as replayed, l.at::text, l.pk::text
from (select 1) one left join lateral (select at, pk from page order by at desc, pk desc limit 1) l on true`,
)

export interface ReplayPage {
  readonly replayed: number
  /** Null: there is no more. */
  readonly last: { readonly at: string; readonly pk: string } | null
}

export async function replayDeliveries(
  db: Queryable,
  webhookPk: string,
  {
    since,
    until,
    after,
    state,
    giveUpMs,
    limit,
  }: {
    since: Date
    until: Date
    after: { at: string; pk: string } | null
    state: string | null
    giveUpMs: number
    limit: number
  },
): Promise<ReplayPage> {
  const params = [webhookPk, since, after?.at ?? '-infinity', after?.pk ?? '0', until, state, giveUpMs, limit]
  const row = (await db.query<{ replayed: number; at: string | null; pk: string | null }>(replaySince, params)).rows[0]
  return { replayed: row?.replayed ?? 0, last: row?.at && row.pk ? { at: row.at, pk: row.pk } : null }
}

const sweepEnded = prepared(
  'webhooks_sweep',
  `
delete from webhook_deliveries d using (
  (select o.pk from webhook_deliveries o where o.ended_at < statement_timestamp() - $1::bigint * interval '1 millisecond' order by o.ended_at limit $2)
  union
  (select o.pk from webhooks w cross join lateral (select pk from webhook_deliveries where webhook_pk = w.pk order by pk limit $2) o where w.deleted_at is not null limit $2)
) old where d.pk = old.pk`,
)
const sweepDeleted = prepared(
  'webhooks_sweep_deleted',
  `delete from webhooks w where w.deleted_at is not null and not exists (select from webhook_deliveries d where d.webhook_pk = w.pk)`,
)

/** Drops a bounded number of deliveries that ended long ago or whose webhook is gone; says how many. */
export async function sweepDeliveries(db: Queryable, keptMs: number, limit: number): Promise<number> {
  const { rowCount } = await db.query(sweepEnded, [keptMs, limit])
  if (rowCount === 0) await db.query(sweepDeleted)
  return rowCount
}
