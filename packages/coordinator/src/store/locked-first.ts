/**
 * Rows that are locked before the statement that is about them. A statement that waits for a row, or finds it changed since
 * it began, sees the row as it is then, and everything else as it was before: also the reviews that were opened and
 * closed with the row. Whoever looks at both locks first, and asks with a statement that begins after that.
 */
import type { Database, Queryable, Statement } from './database.js'
import { prepared } from './statements.js'

/** `lock` selects the `id`s of the rows that it locks; `work` gets these, in the same transaction. */
export function lockedFirst<T>(
  database: Database,
  lock: Statement,
  params: readonly unknown[],
  work: (tx: Queryable, ids: readonly string[]) => Promise<T>,
): Promise<T> {
  return database.transaction(async tx => {
    const { rows } = await tx.query<{ id: string }>(lock, params)
    return work(
      tx,
      rows.map(row => row.id),
    )
  })
}

/** One subtask, whatever it is. */
export const lockSubtask = prepared('lock_subtask', 'select id from subtask_states where id = $1 for update')
