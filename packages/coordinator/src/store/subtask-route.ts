/** The route of one subtask. */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

const statement = prepared(
  'read_subtask_route',
  `
select r.pool, r.capability, r.requires, r.agent from subtasks d join subtask_states s on s.id = d.id join routes r on r.id = s.route_id
where d.task_pk = $1 and d.subtask_id = $2 and d.superseded = 0`,
)

export async function readSubtaskRoute(
  db: Queryable,
  taskPk: string,
  subtaskId: string,
): Promise<{ pool: string; capability: string; requires: string[]; agent: string | null } | undefined> {
  return (await db.query<{ pool: string; capability: string; requires: string[]; agent: string | null }>(statement, [taskPk, subtaskId]))
    .rows[0]
}

const known = prepared('agent_known', 'select exists (select from agents where tenant_id = $1 and name = $2) as known')

/** Whether an agent of that name was ever declared or hosted. */
export async function isAgentKnown(db: Queryable, tenantId: number, name: string): Promise<boolean> {
  return (await db.query<{ known: boolean }>(known, [tenantId, name])).rows[0]?.known === true
}
