/**
 * Fills the tables with finished tasks. Baton itself has made one of each kind; its rows are multiplied by SQL, in every
 * table that has rows of it, so that they are what Baton writes, whatever columns and tables it has by then.
 *
 * Invariant: H1 an id stands for one row: the copies' ids lie above every id that was drawn, and the sequence is moved on.
 */
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'

interface Kind {
  /** The task that Baton completed. */
  readonly taskId: string
  /** How many subtasks its copies are to have together. */
  readonly subtasks: number
}

interface HistoryOptions {
  readonly databaseUrl: string
  readonly kinds: readonly Kind[]
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

const subtasksPerStatement = 50_000
const idsPerBlock = 1_000

interface Column {
  readonly table: string
  readonly name: string
  readonly type: string
}

/** Columns that are not generated, of every table that belongs to tasks; a partition's rows are reached by its parent. */
const columnsOfTasks = `
select c.table_name as table, c.column_name as name, c.data_type as type
from information_schema.columns c
join pg_class k on k.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
where c.table_schema = 'public' and k.relkind in ('r', 'p') and not k.relispartition
  and c.is_identity = 'NO' and c.is_generated = 'NEVER'
  and (c.table_name in ('tasks', 'dependencies') or exists (
    select from information_schema.columns o
    where o.table_schema = c.table_schema and o.table_name = c.table_name and o.column_name in ('task_pk', 'subtask_pk')))
order by c.table_name, c.ordinal_position`

/** Which column says to which task a row belongs, and whether by way of a subtask. */
function belonging(columns: readonly Column[]): string {
  const names = new Set(columns.map(({ name }) => name))
  const [table] = columns.map(column => column.table)
  const ofSubtask = 'in (select id from subtasks where task_pk = $1)'
  if (table === 'tasks') return 'id = $1'
  if (names.has('task_pk')) return 'task_pk = $1'
  return names.has('subtask_pk') ? `subtask_pk ${ofSubtask}` : `from_id ${ofSubtask}`
}

/** Of a copy's column: $2 is how far the first copy's ids are moved, $3 how far each further one's; `k` counts copies. */
function copied({ table, name, type }: Column, taskId: string): string {
  const isId =
    /^(task_pk|subtask_pk|from_id|to_id|spawned_by)$/.test(name) || (name === 'id' && /^(tasks|subtasks|subtask_states)$/.test(table))
  if (isId) return `r.${name} + $2::bigint + k * $3::bigint`
  if (type === 'uuid') return `case when r.${name} is not null then gen_random_uuid() end`
  if (name === 'task_id') return `r.task_id || '-' || k`
  if (name === 'subtask_id') return `replace(r.subtask_id, '${taskId}', '${taskId}-' || k)` // a name of ours, without quotes
  return `r.${name}`
}

/** Resolves with the number of subtasks that were added. Vacuums and analyses afterwards, as autovacuum would in time. */
export async function fillHistory({ databaseUrl, kinds, say, signal }: HistoryOptions): Promise<number> {
  const database = await openPostgres({ url: databaseUrl, log: silentLogger(), max: 1, signal })
  try {
    await database.script('set statement_timeout = 0')
    const { rows: columns } = await database.query<Column>({ text: columnsOfTasks })
    const tables = [...new Set(columns.map(({ table }) => table))].map(table => columns.filter(column => column.table === table))
    let added = 0
    for (const { taskId, subtasks } of kinds) {
      const { rows } = await database.query<{ id: string; total: number; low: string; high: string }>(
        {
          text: `select t.id::text, t.total, least(t.id, min(s.id))::text as low, greatest(t.id, max(s.id))::text as high
            from tasks t join subtasks s on s.task_pk = t.id where t.tenant_id = 1 and t.task_id = $1 and t.status = 'completed' group by t.id`,
        },
        [taskId],
      )
      const [task] = rows
      if (!task) throw new Error(`there is no completed task ${taskId}`)
      const stride = Number(task.high) - Number(task.low) + 1
      const copies = Math.ceil(subtasks / task.total)
      const base = (await reserve(copies * stride)) - Number(task.low)
      const perStatement = Math.ceil(subtasksPerStatement / task.total)
      for (let from = 0; from < copies; from += perStatement) {
        signal.throwIfAborted()
        const to = Math.min(copies, from + perStatement) - 1
        for (const table of tables) await copy(table, taskId, [task.id, base, stride, from, to])
        added += (to - from + 1) * task.total
        say(`history: ${added} subtasks`)
      }
    }
    for (const [first] of tables) await database.query({ text: `vacuum (analyze) ${first?.table}`, patient: true })
    await database.query({ text: 'checkpoint', patient: true })
    return added
  } finally {
    await database.close()
  }

  /** The first of so many ids that nobody else draws (H1). */
  async function reserve(ids: number): Promise<number> {
    const { rows } = await database.query<{ block: string }>(
      {
        text: `select setval('id_blocks', nextval('id_blocks') + $1)::text as block`,
      },
      [Math.ceil(ids / idsPerBlock)],
    )
    return (Number(rows[0]?.block) - Math.ceil(ids / idsPerBlock)) * idsPerBlock
  }

  async function copy(table: readonly Column[], taskId: string, params: readonly unknown[]): Promise<void> {
    const names = table.map(({ name }) => name).join(', ')
    const values = table.map(column => copied(column, taskId)).join(', ')
    const text = `insert into ${table[0]?.table} (${names})
      select ${values} from generate_series($4::int, $5::int) k
      cross join (select * from ${table[0]?.table} where ${belonging(table)} offset 0) r`
    await database.query({ text, patient: true }, params)
  }
}
