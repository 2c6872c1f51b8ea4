/** What running attempts stream. A repeated item changes nothing: its claim and number are its key. */
import type { StreamItem } from '@baton/shared'
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

const append = prepared(
  'append_stream',
  `
with item as materialized (
  select i.*, s.tenant_id, s.task_pk, s.attempt, s.agent, s.id is not null as held
  from json_to_recordset($1::json) as i(subtask bigint, claim_id uuid, "from" int, chunks text, ord int)
  left join lateral (
    select s.id, s.tenant_id, s.task_pk, s.attempt, s.agent from subtask_states s
    where s.id = i.subtask and s.state = 'running' and s.claim_id = i.claim_id limit 1
  ) s on true
),
appended as (
  insert into stream_chunks (tenant_id, task_pk, subtask_pk, attempt, agent, claim_id, n, chunks)
  select tenant_id, task_pk, subtask, attempt, agent, claim_id, "from", chunks from item where held order by ord
  on conflict (claim_id, n) do nothing
)
select held from item order by ord`,
)

/** Whether each item's claim is the running one; those are stored when this resolves. */
export async function appendToStreams(db: Queryable, items: readonly StreamItem[]): Promise<boolean[]> {
  return (await db.query<{ held: boolean }>(append, [JSON.stringify(items.map((item, ord) => ({ ...item, ord })))])).rows.map(
    row => row.held,
  )
}
