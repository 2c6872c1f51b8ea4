/** Webhooks: who is told of which events, where, and with which keys. */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

export interface WebhookRow {
  pk: string
  id: string
  kind: 'subscription' | 'callbacks'
  url: string | null
  description: string
  events: string[]
  enabled: boolean
  secret: string
  previous_secret: string | null
  previous_until: Date | null
  created_at: Date
  updated_at: Date
}

const columns =
  'w.pk::text, w.id, w.kind, w.url, w.description, w.events, w.enabled, w.secret, w.previous_secret, w.previous_until, w.created_at, w.updated_at'

/** An event about a webhook, from a CTE `w(tenant_id, id)`. */
const told = (name: string, cte: string, by: string): string => `
event as (
  insert into events (tenant_id, name, data) select tenant_id, '${name}', json_build_object('webhook_id', id, 'by', ${by}::text)::text from ${cte}
)`

export interface NewWebhook {
  readonly tenantId: number
  readonly id: string
  readonly kind: 'subscription' | 'callbacks'
  readonly url: string | null
  readonly description: string
  readonly events: readonly string[]
  readonly patterns: readonly string[]
  readonly enabled: boolean
  readonly secret: string
  readonly by: string
}

const insert = prepared(
  'insert_webhook',
  `
with w as (
  insert into webhooks (tenant_id, id, kind, url, description, events, patterns, enabled, secret)
  select $1, $2, $3, $4, $5, $6::text[], $7::text[], $8, $9
  where (select count(*) from webhooks o where o.tenant_id = $1 and o.deleted_at is null) < $11
  on conflict (tenant_id, id) do nothing
  returning *
),
${told('webhook.created', 'w', '$10')}
select ${columns} from w`,
)

/** Undefined: the id is taken, or there are as many as there may be. */
export async function insertWebhook(db: Queryable, webhook: NewWebhook, atMost: number): Promise<WebhookRow | undefined> {
  const { tenantId, id, kind, url, description, events, patterns, enabled, secret, by } = webhook
  return (await db.query<WebhookRow>(insert, [tenantId, id, kind, url, description, events, patterns, enabled, secret, by, atMost])).rows[0]
}

const list = prepared(
  'list_webhooks',
  `select ${columns} from webhooks w where w.tenant_id = $1 and w.deleted_at is null and w.id > $2 order by w.id limit $3`,
)

export async function listWebhooks(db: Queryable, tenantId: number, afterId: string, limit: number): Promise<WebhookRow[]> {
  return (await db.query<WebhookRow>(list, [tenantId, afterId, limit])).rows
}

const one = prepared('read_webhook', `select ${columns} from webhooks w where w.tenant_id = $1 and w.id = $2 and w.deleted_at is null`)

export async function readWebhook(db: Queryable, tenantId: number, id: string): Promise<WebhookRow | undefined> {
  return (await db.query<WebhookRow>(one, [tenantId, id])).rows[0]
}

const update = prepared(
  'update_webhook',
  `
with w as (
  update webhooks w set url = coalesce($3, w.url), description = coalesce($4, w.description), events = coalesce($5::text[], w.events),
    patterns = coalesce($6::text[], w.patterns), enabled = coalesce($7, w.enabled),
    since = case when $7 and not w.enabled then pg_snapshot_xmin(pg_current_snapshot()) else w.since end, updated_at = clock_timestamp()
  where w.tenant_id = $1 and w.id = $2 and w.deleted_at is null
  returning *
),
${told('webhook.updated', 'w', '$8')}
select ${columns} from w`,
)

export interface WebhookChanges {
  readonly url: string | null
  readonly description: string | null
  readonly events: readonly string[] | null
  readonly patterns: readonly string[] | null
  readonly enabled: boolean | null
}

/** Null stays as it is. */
export async function updateWebhook(
  db: Queryable,
  { tenantId, id }: { tenantId: number; id: string },
  changes: WebhookChanges,
  by: string,
): Promise<WebhookRow | undefined> {
  const { url, description, events, patterns, enabled } = changes
  return (await db.query<WebhookRow>(update, [tenantId, id, url, description, events, patterns, enabled, by])).rows[0]
}

const rotate = prepared(
  'rotate_webhook',
  `
with w as (
  update webhooks w set previous_secret = w.secret, previous_until = clock_timestamp() + $4::bigint * interval '1 millisecond', secret = $3,
    updated_at = clock_timestamp()
  where w.tenant_id = $1 and w.id = $2 and w.deleted_at is null
  returning *
),
${told('webhook.rotated', 'w', '$5')}
select ${columns} from w`,
)

/** The secret of before signs beside the new one for `overlapMs`. */
export async function rotateWebhook(
  db: Queryable,
  { tenantId, id }: { tenantId: number; id: string },
  secret: string,
  overlapMs: number,
  by: string,
): Promise<WebhookRow | undefined> {
  return (await db.query<WebhookRow>(rotate, [tenantId, id, secret, overlapMs, by])).rows[0]
}

const remove = prepared(
  'delete_webhook',
  `
with w as (
  update webhooks w set deleted_at = clock_timestamp(), enabled = false, secret = '', previous_secret = null, updated_at = clock_timestamp()
  where w.tenant_id = $1 and w.id = $2 and w.deleted_at is null and w.kind = 'subscription'
  returning *
),
${told('webhook.deleted', 'w', '$3')}
select id from w`,
)

export async function deleteWebhook(db: Queryable, { tenantId, id }: { tenantId: number; id: string }, by: string): Promise<boolean> {
  return (await db.query(remove, [tenantId, id, by])).rows.length > 0
}

/** Subscriptions, and tasks with a callback that are unfinished or were finished so recently that something may be on its way. */
const listening = `
  exists (select from webhooks where kind = 'subscription' and enabled and deleted_at is null)
  or exists (select from tasks where callback_url is not null and finished_at is null)
  or exists (select from tasks where callback_url is not null and finished_at > statement_timestamp() - interval '10 minutes')`

const isListening = prepared('webhooks_listen', `select ${listening} as listening`)

export async function webhooksListen(db: Queryable): Promise<boolean> {
  return (await db.query<{ listening: boolean }>(isListening)).rows[0]?.listening ?? false
}

/**
 * Nobody listens: what happened meanwhile need not be looked at. Who begins to listen in a transaction that this statement
 * cannot see writes behind where it moves the cursor to.
 */
const skip = prepared(
  'webhooks_skip',
  `
update event_cursors set xid = pg_snapshot_xmin(pg_current_snapshot()), seq = 0, updated_at = clock_timestamp()
where consumer = 'webhooks' and xid < pg_snapshot_xmin(pg_current_snapshot()) and not (${listening})`,
)

export async function skipEvents(db: Queryable): Promise<void> {
  await db.query(skip)
}
