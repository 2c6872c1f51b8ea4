/** API keys: never the keys themselves, but their SHA-256. None is ever deleted, so that the history knows who acted. */
import type { KeyScope } from '@baton/shared'
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

export interface KeyRow {
  pk: string
  id: string
  name: string
  scope: KeyScope
  tenant: string
  created_at: Date
  created_by: string
  revoked_at: Date | null
  last_used_at: Date | null
}

const columns =
  'k.id::text as pk, k.public_id as id, k.name, k.scope, (select n.name from tenants n where n.id = k.tenant_id) as tenant, k.created_at, k.created_by, k.revoked_at, k.last_used_at'

/** An event about a key, from a CTE `k`. */
const told = (name: string, by: string): string => `
event as (
  insert into events (tenant_id, name, data)
  select tenant_id, '${name}', json_build_object('key_id', public_id, 'name', name, 'scope', scope, 'by', ${by}::text)::text from k
)`

const insert = prepared(
  'insert_key',
  `
with k as (
  insert into api_keys (tenant_id, name, key_sha256, scope, created_by)
  select $1, $2, decode($3, 'hex'), $4, $5
  where (select count(*) from api_keys o where o.tenant_id = $1 and o.revoked_at is null) < $6
  on conflict do nothing
  returning *
),
${told('key.created', '$5')}
select ${columns} from k`,
)

export interface NewKey {
  readonly tenantId: number
  readonly name: string
  /** SHA-256 of the key, as hexadecimal digits. */
  readonly hash: string
  readonly scope: KeyScope
  readonly by: string
}

/** Undefined: a key in force has the name, or there are as many as there may be. */
export async function insertKey(db: Queryable, { tenantId, name, hash, scope, by }: NewKey, atMost: number): Promise<KeyRow | undefined> {
  return (await db.query<KeyRow>(insert, [tenantId, name, hash, scope, by, atMost])).rows[0]
}

const list = prepared(
  'list_keys',
  `
select ${columns} from api_keys k
where k.tenant_id = $1 and k.id > $2 and ($3 or k.revoked_at is null)
order by k.id limit $4`,
)

/** The oldest first. */
export async function listKeys(
  db: Queryable,
  tenantId: number,
  page: { readonly after: string; readonly revoked: boolean; readonly limit: number },
): Promise<KeyRow[]> {
  return (await db.query<KeyRow>(list, [tenantId, page.after, page.revoked, page.limit])).rows
}

const one = prepared('read_key', `select ${columns} from api_keys k where k.tenant_id = $1 and k.public_id = $2`)

export async function readKey(db: Queryable, tenantId: number, id: string): Promise<KeyRow | undefined> {
  return (await db.query<KeyRow>(one, [tenantId, id])).rows[0]
}

const revoke = prepared(
  'revoke_key',
  `
with k as (
  update api_keys set revoked_at = clock_timestamp() where tenant_id = $1 and public_id = $2 and revoked_at is null returning *
),
${told('key.revoked', '$3')}
select ${columns} from k`,
)

/** Undefined: there is none in force. */
export async function revokeKey(db: Queryable, tenantId: number, id: string, by: string): Promise<KeyRow | undefined> {
  return (await db.query<KeyRow>(revoke, [tenantId, id, by])).rows[0]
}

/** A key in force, as requests are judged by it. */
export interface KeyInForce {
  readonly pk: string
  readonly id: string
  readonly name: string
  readonly tenant_id: number
  readonly scope: KeyScope
  readonly hash: string
}

// A key never changes but by being revoked: the ids of those in force say all.
const inForce = prepared(
  'keys_in_force',
  `
with stand as (
  select md5(coalesce(string_agg(id::text, ',' order by id), '')) as stamp from api_keys where revoked_at is null
)
select stamp, case when stamp is distinct from $1 then (
  select coalesce(json_agg(json_build_object('pk', k.id::text, 'id', k.public_id, 'name', k.name, 'tenant_id', k.tenant_id, 'scope', k.scope,
    'hash', encode(k.key_sha256, 'hex'))), '[]')
  from api_keys k where k.revoked_at is null) end as keys
from stand`,
)

/** All keys in force; null: as they were at `stamp`. */
export async function readKeysInForce(db: Queryable, stamp: string | null): Promise<{ stamp: string; keys: KeyInForce[] | null }> {
  const { rows } = await db.query<{ stamp: string; keys: KeyInForce[] | null }>(inForce, [stamp])
  return rows[0] as { stamp: string; keys: KeyInForce[] | null } // an aggregate has one row
}

const used = prepared(
  'keys_used',
  `
update api_keys set last_used_at = date_trunc('minute', clock_timestamp())
where id = any (array(select id from api_keys where id = any ($1::bigint[]) and last_used_at is distinct from date_trunc('minute', clock_timestamp()) order by id for update skip locked))`,
)

/** Notes that these keys were used in this minute. */
export async function noteKeysUsed(db: Queryable, pks: readonly string[]): Promise<void> {
  await db.query(used, [pks])
}
