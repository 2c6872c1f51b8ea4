/** What is known of artifacts, wherever their bytes lie. */
import type { ArtifactRef } from '@baton/shared'
import type { ArtifactPlace, Claim } from './artifact-store.js'
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

const keep = prepared(
  'keep_artifacts',
  `
insert into artifacts (task_pk, subtask_pk, claim_id, name, media_type, bytes, sha256, stored)
select s.task_pk, s.id, $2, a.name, a.media_type, a.bytes, a.sha256, a.stored
from subtask_states s cross join json_to_recordset($3::json) as a(name text, media_type text, bytes bigint, sha256 text, stored text)
where s.id = $1
on conflict (subtask_pk, name) do nothing`,
)

/** Makes artifacts that are in place part of the subtask's result. */
export async function keepArtifacts(
  db: Queryable,
  subtask: string,
  claimId: string,
  artifacts: readonly (ArtifactRef & { readonly stored: ArtifactPlace })[],
): Promise<void> {
  await db.query(keep, [subtask, claimId, JSON.stringify(artifacts)])
}

const unreferenced = prepared(
  'unreferenced_files',
  `
select f.sha256 from unnest($1::text[]) f(sha256)
left join lateral (select true as referred from artifacts a where a.sha256 = f.sha256 and a.stored = 'directory' limit 1) a on true
where a.referred is null`,
)

/** Those of the files that no row refers to. */
export async function unreferencedFiles(db: Queryable, sha256s: readonly string[]): Promise<string[]> {
  return (await db.query<{ sha256: string }>(unreferenced, [sha256s])).rows.map(row => row.sha256)
}

const running = prepared(
  'running_claims',
  `
select c.claim_id from unnest($1::bigint[], $2::uuid[]) c(subtask, claim_id)
cross join lateral (select s.claim_id, s.state from subtask_states s where s.id = c.subtask limit 1) s
where s.claim_id = c.claim_id and s.state = 'running'`,
)

/** The ids of those claims whose attempts run. */
export async function runningClaims(db: Queryable, claims: readonly Claim[]): Promise<Set<string>> {
  const { rows } = await db.query<{ claim_id: string }>(running, [claims.map(c => c.subtask), claims.map(c => c.claimId)])
  return new Set(rows.map(row => row.claim_id))
}

/** The first number of the advisory locks that keep files from being swept; the second is that of a part of the directory. */
const lockSpace = 7_420_001

const holdSome = prepared('hold_artifact_parts', `select pg_advisory_xact_lock_shared(${lockSpace}, p) from unnest($1::int[]) p`)

/** Until the end of the transaction nobody deletes files of these parts of the directory. */
export async function holdParts(db: Queryable, parts: readonly number[]): Promise<void> {
  await db.query(holdSome, [parts])
}

const sweepPart = prepared('sweep_artifact_part', `select pg_advisory_xact_lock(${lockSpace}, $1::int)`)

/** Until the end of the transaction nobody commits a row that refers to a file of this part of the directory. */
export async function ownPart(db: Queryable, part: number): Promise<void> {
  await db.query(sweepPart, [part])
}

const standing = prepared(
  'artifact_directory',
  `
insert into installation default values on conflict (only_one) do update set only_one = true
returning id, exists (select from artifacts where stored = 'directory') as used`,
)

/** Whose the directory is, drawn at the first call, and whether any row refers to a file. */
export async function readInstallation(db: Queryable): Promise<{ id: string; used: boolean }> {
  return (await db.query<{ id: string; used: boolean }>(standing)).rows[0] as { id: string; used: boolean } // one row, new or not
}
