/** Traces of tasks: a sampled task's `traceparent` is the first member of its stored plan, which no view shows. */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

export interface TraceRow {
  id: string
  traceparent: string
  task_id: string
  subtask_id: string
}

const statement = prepared(
  'read_traces',
  `
select d.id::text as id, k.plan::json ->> 'traceparent' as traceparent, k.task_id, d.subtask_id
from subtasks d cross join lateral (select k.plan, k.task_id from tasks k where k.id = d.task_pk limit 1) k
where d.id = any ($1::bigint[]) and k.plan like '{"traceparent":%'`,
)

/** Of these subtasks, those whose task is traced. */
export async function readTraces(db: Queryable, subtasks: readonly string[]): Promise<TraceRow[]> {
  return (await db.query<TraceRow>(statement, [[...subtasks]])).rows
}
