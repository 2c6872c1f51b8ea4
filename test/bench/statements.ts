/** Which SQL statements take a private Postgres' time: pg_stat_statements, for `--profile`. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerHandle } from '@baton/cli/servers'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'

interface StatementRow {
  readonly calls: string
  readonly total_ms: number
  readonly mean_ms: number
  readonly planning_ms: number
  readonly rows_each: number
  readonly query: string
}

const costliest = `
select calls::text, total_exec_time as total_ms, mean_exec_time as mean_ms, total_plan_time as planning_ms,
  rows::float8 / greatest(calls, 1) as rows_each, regexp_replace(query, '\\s+', ' ', 'g') as query
from pg_stat_statements order by total_exec_time + total_plan_time desc limit 40`

/**
 * Restarts the server with the extension; the processes that use it connect anew. Resolves to what writes the costliest
 * statements, as text, to a file in the directory.
 */
export async function profileStatements(server: ServerHandle): Promise<(dir: string) => Promise<void>> {
  const open = () => openPostgres({ url: server.url, log: silentLogger(), max: 1 })
  const withDatabase = async <T>(work: (database: Awaited<ReturnType<typeof open>>) => Promise<T>): Promise<T> => {
    const database = await open()
    try {
      return await work(database)
    } finally {
      await database.close()
    }
  }
  await withDatabase(database => database.query({ text: `alter system set shared_preload_libraries = 'pg_stat_statements'` }))
  await server.restart()
  await withDatabase(async database => {
    await database.query({ text: 'alter system set pg_stat_statements.track_planning = on' })
    await database.script('select pg_reload_conf(); create extension pg_stat_statements')
  })
  return async dir => {
    const { rows } = await withDatabase(database => database.query<StatementRow>({ text: costliest }))
    const line = ({ calls, total_ms, mean_ms, planning_ms, rows_each, query }: StatementRow) =>
      [total_ms.toFixed(0), calls, mean_ms.toFixed(3), planning_ms.toFixed(0), rows_each.toFixed(1), query.slice(0, 300)].join('\t')
    const text = ['total ms\tcalls\tmean ms\tplanning ms\trows\tstatement', ...rows.map(line), ''].join('\n')
    await writeFile(join(dir, `statements-${server.pid}.tsv`), text)
  }
}
