/** What was handed over to the worker that reported a result. */
import type { Queryable } from './database.js'
import { few, type QueuedRow } from './fragments.js'
import { prepared } from './statements.js'

interface HandedAgain extends QueuedRow {
  n: number
  /** The claim that it runs under. */
  claim_id: string
  task_pk: string
}

const statement = prepared(
  'read_handed',
  `
with item as (
  select * from json_to_recordset($1::json) as i(n int, id bigint, claim_id uuid)
  where ${few('i.n')}
)
select i.n, i.claim_id::text as claim_id, s.id::text as id, s.attempt, s.dispatch, s.queue, s.route_id, s.task_pk::text as task_pk
from item i
join dependencies d on d.from_id = i.id
join subtask_states s on s.id = d.to_id
where s.claim_id = i.claim_id and case when s.queue is not null then s.state end = 'running'`,
)

/** Of completed subtasks, the dependents that run under the claims that their reports named. */
export async function readHanded(
  db: Queryable,
  items: readonly { readonly n: number; readonly id: string; readonly claim_id: string }[],
): Promise<HandedAgain[]> {
  return (await db.query<HandedAgain>(statement, [JSON.stringify(items)])).rows
}
