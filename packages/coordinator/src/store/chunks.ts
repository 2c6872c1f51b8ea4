/**
 * Large results, and artifacts whose bytes lie in Postgres: chunks keyed by (claim, name, number), committed one by one
 * while the attempt runs, and made part of the result by the report. A repeated chunk replaces itself.
 */
import { type ArtifactRef, maxArtifactBytes } from '@baton/shared'
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

const put = prepared(
  'put_chunk',
  `
with row as materialized (
  select s.state = 'running' and s.claim_id = $2 as held from subtask_states s where s.id = $1
),
holder as (
  select from row where held
),
size as (
  select coalesce(sum(octet_length(data)), 0) as bytes from chunks where claim_id = $2 and name = $3 and n <> $4
),
stored as (
  insert into chunks (claim_id, name, n, data)
  select $2, $3, $4, $5::bytea from holder, size where size.bytes + octet_length($5::bytea) <= ${maxArtifactBytes}
  on conflict (claim_id, name, n) do update set data = excluded.data
  returning 1
)
select (select count(*) from holder) > 0 as held, (select count(*) from stored) > 0 as stored`,
)

/** `stale`: the claim is not (any more) the running one. */
export async function putChunk(
  db: Queryable,
  chunk: { subtask: string; claimId: string; name: string; n: number; data: Uint8Array },
): Promise<'stored' | 'stale' | 'too_large'> {
  const { rows } = await db.query<{ held: boolean; stored: boolean }>(put, [chunk.subtask, chunk.claimId, chunk.name, chunk.n, chunk.data])
  if (!rows[0]?.held) return 'stale'
  return rows[0].stored ? 'stored' : 'too_large'
}

const check = prepared(
  'check_artifacts',
  `
select a.name, (c.bytes = a.bytes and c.sha256 = a.sha256) is true as whole
from json_to_recordset($2::json) as a(name text, bytes bigint, sha256 text)
left join lateral (
  select octet_length(d.data) as bytes, encode(sha256(d.data), 'hex') as sha256
  from (select coalesce(string_agg(data, ''::bytea order by n), ''::bytea) as data from chunks where claim_id = $1 and name = a.name) d
) c on true`,
)

/** Names of artifacts whose chunks are not all there, or not what was announced. */
export async function brokenArtifacts(db: Queryable, claimId: string, artifacts: readonly ArtifactRef[]): Promise<string[]> {
  const { rows } = await db.query<{ name: string; whole: boolean }>(check, [claimId, JSON.stringify(artifacts)])
  return rows.filter(r => !r.whole).map(r => r.name)
}

const sweep = prepared(
  'sweep_chunks',
  `
delete from chunks c
where c.created_at < clock_timestamp() - interval '1 hour'
  -- Subplans, which are hashed: joined, each chunk would be compared with each artifact.
  and ((c.claim_id, c.name) in (select a.claim_id, a.name from artifacts a where a.stored = 'postgres')) is not true
  and (c.claim_id in (select s.claim_id from subtask_states s where s.state = 'running')) is not true`,
)

/** Drops chunks of attempts that ended without them. */
export async function sweepChunks(db: Queryable): Promise<void> {
  await db.query(sweep)
}

const read = prepared(
  'read_chunks',
  `select coalesce(string_agg(data, ''::bytea order by n), ''::bytea) as data from chunks where claim_id = $1 and name = $2`,
)

/** All that was sent under a name. */
export async function readChunks(db: Queryable, claimId: string, name: string): Promise<Uint8Array> {
  return (await db.query<{ data: Uint8Array }>(read, [claimId, name])).rows[0]?.data ?? new Uint8Array()
}

const readNumbered = prepared('read_numbered_chunks', 'select n, data from chunks where claim_id = $1 and name = $2 order by n')

/** What was sent under a name, piece by piece. */
export async function readNumberedChunks(db: Queryable, claimId: string, name: string): Promise<{ n: number; data: Uint8Array }[]> {
  return (await db.query<{ n: number; data: Uint8Array }>(readNumbered, [claimId, name])).rows
}
