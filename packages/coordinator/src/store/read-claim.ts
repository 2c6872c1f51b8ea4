/** What a running attempt may read beyond its grant: its input and what its dependencies made, in pages. */
import type { DependencyView } from '@baton/shared'
import type { ArtifactPlace } from './artifact-store.js'
import { dependencyList } from './claims.js'
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

/** Characters of text, or bytes of an artifact, per page. */
export const pageSize = 200_000

const holds = "(select s.state = 'running' and s.claim_id = $2 from subtask_states s where s.id = $1)"

const input = prepared(
  'page_input',
  `select substr(d.input, $3::int + 1, ${pageSize}) as data, char_length(d.input) as total from subtasks d where d.id = $1 and ${holds}`,
)

const output = prepared(
  'page_output',
  `
select substr(a.output, $4::int + 1, ${pageSize}) as data, char_length(a.output) as total
from (select from_id from dependencies where to_id = $1 offset 0) e
cross join lateral (select name from subtasks d where d.id = e.from_id limit 1) d
cross join lateral (select attempt from subtask_states f where f.id = e.from_id limit 1) f
cross join lateral (select output from attempts a where a.subtask_pk = e.from_id and a.attempt = f.attempt limit 1) a
where d.name = $3 and a.output is not null and ${holds}`,
)

const artifact = prepared(
  'page_artifact',
  `
select f.media_type, f.stored, f.claim_id, f.bytes, f.sha256, c.data, (select max(n) from chunks l where l.claim_id = f.claim_id and l.name = f.name) as last
from (select from_id from dependencies where to_id = $1 offset 0) e
cross join lateral (select name from subtasks d where d.id = e.from_id limit 1) d
cross join lateral (select claim_id, name, media_type, stored, bytes, sha256 from artifacts f where f.subtask_pk = e.from_id and f.name = $4 limit 1) f
left join chunks c on c.claim_id = f.claim_id and c.name = f.name and c.n = $5
where d.name = $3 and ${holds}`,
)

const list = prepared('page_dependencies', `select dep.list, dep.more from (${dependencyList('$1', '$3::int')}) dep where ${holds}`)

const held = prepared('holds_claim', `select coalesce(${holds}, false) as held`)

export interface TextPage {
  data: string
  total: number
}

export async function holdsClaim(db: Queryable, subtask: string, claimId: string): Promise<boolean> {
  return (await db.query<{ held: boolean }>(held, [subtask, claimId])).rows[0]?.held ?? false
}

export async function pageInput(db: Queryable, subtask: string, claimId: string, offset: number): Promise<TextPage | undefined> {
  return (await db.query<TextPage>(input, [subtask, claimId, offset])).rows[0]
}

export async function pageOutput(
  db: Queryable,
  subtask: string,
  claimId: string,
  dependency: string,
  offset: number,
): Promise<TextPage | undefined> {
  return (await db.query<TextPage>(output, [subtask, claimId, dependency, offset])).rows[0]
}

export interface ArtifactPage {
  media_type: string
  stored: ArtifactPlace
  claim_id: string
  bytes: string
  sha256: string
  /** Of the chunk that was asked for; null where the bytes are elsewhere. */
  data: Uint8Array | null
  last: number | null
}

/** What is known of a dependency's artifact, and its chunk `n` if its bytes are here. */
export async function pageArtifact(
  db: Queryable,
  subtask: string,
  claimId: string,
  names: { dependency: string; artifact: string },
  n: number,
): Promise<ArtifactPage | undefined> {
  return (await db.query<ArtifactPage>(artifact, [subtask, claimId, names.dependency, names.artifact, n])).rows[0]
}

/** A page of dependencies behind an ordinal, and whether there are more. */
export async function pageDependencies(
  db: Queryable,
  subtask: string,
  claimId: string,
  afterOrdinal: number,
): Promise<{ list: DependencyView[]; more: boolean }> {
  const { rows } = await db.query<{ list: DependencyView[] | null; more: boolean }>(list, [subtask, claimId, afterOrdinal])
  return { list: rows[0]?.list ?? [], more: rows[0]?.more ?? false }
}
