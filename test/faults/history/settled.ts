/** Waits for a fleet to come to rest. */
import { terminalTaskStatuses } from '@baton/shared'
import type { Database } from '../../../packages/coordinator/src/store/database.js'
import { eventually } from '../../harness/eventually.js'
import type { History } from './history.js'

interface Left {
  task_id: string
  status: string
  unswept: boolean
  /** What its subtasks are, in words. */
  left: string | null
}

const query = `
select k.task_id, k.status, k.unswept,
  (select string_agg(format('%s is %s, attempt %s', d.name, s.state, s.attempt), '; ') from (
    select id, state, attempt from subtask_states where task_pk = k.id and state not in ('completed', 'failed', 'skipped', 'cancelled') order by id limit 5) s
    join subtasks d on d.id = s.id) as left
from tasks k
where k.unswept or k.status <> all ($1::text[])
order by k.id
limit 200`

/** A task that was only planned has nothing to come to rest from. */
const atRest = [...terminalTaskStatuses, 'needs_review', 'planned']
const settleMs = 30_000

export async function settled(
  database: Database,
  { timeoutMs = settleMs, open = {} }: { readonly timeoutMs?: number; readonly open?: History['open'] },
): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await database.query<Left>({ text: query }, [atRest])
      const left = rows.filter(row => row.unswept || !(open[row.task_id] as readonly string[] | undefined)?.includes(row.status))
      if (left.length === 0) return
      const shown = left
        .slice(0, 10)
        .map(row => `${row.task_id} is ${row.status}${row.unswept ? ', not swept' : ''} (${row.left ?? 'no subtask left'})`)
      throw new Error(`${left.length} tasks have not come to rest: ${shown.join('; ')}`)
    },
    { timeoutMs, everyMs: 25 },
  )
}
