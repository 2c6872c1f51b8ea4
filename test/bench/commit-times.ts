/** When Postgres committed what: `track_commit_timestamp`, which a private server is restarted for. */
import type { ServerHandle } from '@baton/cli/servers'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'

/** In ms since 1970, by the database's clock but for the last one, which is the coordinator's. */
export interface Course {
  readonly committedAt: number
  /** When its delivery was made; null: there is none. */
  readonly madeAt: number | null
  /** When it was first sent. */
  readonly sentAt: number | null
}

export interface CommitTimes {
  /** Events of tasks whose id begins so, by their ids. */
  of(taskPrefix: string): Promise<Map<string, Course>>
  close(): Promise<void>
}

const ms = (time: string, name: string): string => `extract(epoch from ${time})::float8 * 1000 as "${name}"`

/** A delivery is tried for a day, counted from when it was made. */
const courses = `
select e.xid::text || '-' || e.seq as id, ${ms('pg_xact_commit_timestamp(e.xid::xid)', 'committedAt')},
  ${ms("d.give_up_at - interval '1 day'", 'madeAt')}, ${ms("(d.tries -> 0 ->> 'at')::timestamptz", 'sentAt')}
from tasks t join events e on e.task_pk = t.id left join webhook_deliveries d on d.xid = e.xid and d.seq = e.seq
where t.task_id like $1`

/** The processes that use the server connect anew. */
export async function commitTimesOf(server: ServerHandle): Promise<CommitTimes> {
  const open = () => openPostgres({ url: server.url, log: silentLogger(), max: 1 })
  const before = await open()
  await before.query({ text: 'alter system set track_commit_timestamp = on' })
  await before.close()
  await server.restart()
  const database = await open()
  return {
    async of(taskPrefix) {
      const { rows } = await database.query<Course & { id: string }>({ text: courses }, [`${taskPrefix}-%`])
      return new Map(rows.map(({ id, ...course }) => [id, course]))
    },
    close: () => database.close(),
  }
}
