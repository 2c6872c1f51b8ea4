/** Tasks whose plan was asked of an agent, once it has answered. */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

const answered = prepared(
  'answered_plans',
  `
select k.tenant_id, k.task_id, q.agent, a.output
from unnest($1::int[]) r(id)
cross join lateral (
  select s.id, s.task_pk from subtask_states s where s.state = 'ready' and s.route_id = r.id
  union all
  select s.id, s.task_pk from subtask_states s where s.state = 'blocked' and s.route_id = r.id
) s
cross join lateral (select k.tenant_id, k.task_id, k.status, k.id from tasks k where k.id = s.task_pk limit 1) k
cross join lateral (select e.from_id from dependencies e where e.to_id = s.id order by e.from_id limit 1) e
cross join lateral (select d.agent from subtasks d where d.id = e.from_id limit 1) q
cross join lateral (select f.attempt from subtask_states f where f.id = e.from_id limit 1) f
left join lateral (select a.output from attempts a where a.subtask_pk = e.from_id and a.attempt = f.attempt and a.outcome = 'completed' limit 1) a on true
where k.status in ('running', 'blocked')
order by s.id limit $2`,
)

export interface AnsweredRow {
  tenant_id: number
  task_id: string
  /** Whom it was asked of. */
  agent: string | null
  /** JSON text; null: there is none, the agent failed. */
  output: string | null
}

/** What waits on these routes to be planned. */
export async function readAnswered(db: Queryable, routeIds: readonly number[], limit: number): Promise<AnsweredRow[]> {
  return (await db.query<AnsweredRow>(answered, [[...routeIds], limit])).rows
}
