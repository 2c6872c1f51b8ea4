/** Notes in Postgres, for local mode; and whose notes a claim may use. */
import { maxNotes } from '@baton/shared'
import type { Queryable } from './database.js'
import type { NoteStore } from './note-store.js'
import { prepared } from './statements.js'

const set = prepared(
  'set_note',
  `
with over as (
  delete from notes where task_pk = $1 and runs_out_at <= clock_timestamp() and name <> $2
)
insert into notes (task_pk, name, value, runs_out_at)
select $1, $2, $3, clock_timestamp() + $4::bigint * interval '1 millisecond'
where (select count(*) from notes where task_pk = $1 and name <> $2 and runs_out_at > clock_timestamp()) < ${maxNotes}
on conflict (task_pk, name) do update set value = excluded.value, runs_out_at = excluded.runs_out_at
returning name`,
)
const get = prepared('get_note', 'select value from notes where task_pk = $1 and name = $2 and runs_out_at > clock_timestamp()')
const remove = prepared('delete_note', 'delete from notes where task_pk = $1 and name = $2')
const list = prepared('list_notes', 'select name from notes where task_pk = $1 and runs_out_at > clock_timestamp() order by name')

export function postgresNotes(db: Queryable): NoteStore {
  return {
    set: async (taskPk, name, value, ttlMs) => (await db.query(set, [taskPk, name, value, ttlMs])).rowCount === 1,
    get: async (taskPk, name) => (await db.query<{ value: string }>(get, [taskPk, name])).rows[0]?.value ?? null,
    delete: async (taskPk, name) => {
      await db.query(remove, [taskPk, name])
    },
    list: async taskPk => (await db.query<{ name: string }>(list, [taskPk])).rows.map(row => row.name),
    close: async () => undefined,
  }
}

const holder = prepared(
  'task_of_claim',
  "select task_pk::text as task_pk from subtask_states where id = $1 and state = 'running' and claim_id = $2",
)

/** The task whose subtask the claim runs; undefined: it runs nothing (any more). */
export async function taskOfClaim(db: Queryable, subtask: string, claimId: string): Promise<string | undefined> {
  return (await db.query<{ task_pk: string }>(holder, [subtask, claimId])).rows[0]?.task_pk
}
