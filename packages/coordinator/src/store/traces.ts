/** Traces of tasks: a sampled task's `traceparent` is the first member of its stored plan, which no view shows. */
import type { Queryable, Statement } from './database.js'

export interface TraceRow {
  id: string
  traceparent: string
  task_id: string
  subtask_id: string
}

const statement: Statement = {
  name: 'read_traces',
  text: `
select d.id::text as id, k.plan::json ->> 'traceparent' as traceparent, k.task_id, d.subtask_id
from subtasks d join tasks k on k.id = d.task_pk
where d.id = any ($1::bigint[]) and k.plan like '{"traceparent":%'`,
}

/** Of these subtasks, those whose task is traced. */
export async function readTraces(db: Queryable, subtasks: readonly string[]): Promise<TraceRow[]> {
  return (await db.query<TraceRow>(statement, [[...subtasks]])).rows
}
