/** When Postgres committed what: `track_commit_timestamp`, which a private server is restarted for. */
import type { ServerHandle } from '@baton/cli/servers'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'

export interface CommitTimes {
  /** Of events of tasks whose id begins so: their ids, with the database's clock at their commit, in ms since 1970. */
  of(taskPrefix: string): Promise<Map<string, number>>
  close(): Promise<void>
}

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
      const { rows } = await database.query<{ id: string; at: number }>(
        {
          text: `select e.xid::text || '-' || e.seq as id, extract(epoch from pg_xact_commit_timestamp(e.xid::xid))::float8 * 1000 as at
            from tasks t join events e on e.task_pk = t.id where t.task_id like $1`,
        },
        [`${taskPrefix}-%`],
      )
      return new Map(rows.map(({ id, at }) => [id, at]))
    },
    close: () => database.close(),
  }
}
