/**
 * Holds every prepared statement to plans that do not depend on how large the tables were when it was planned: they are read
 * from EXPLAIN on empty tables, under the very settings of the connections, and without values.
 */
import { readdir } from 'node:fs/promises'
import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { migrate } from '../../packages/coordinator/src/store/migrate.js'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js'
import { statements } from '../../packages/coordinator/src/store/statements.js'
import { freshDatabase } from '../harness/index.js'

const store = new URL('../../packages/coordinator/src/store/', import.meta.url)

let database: Database
beforeAll(async () => {
  for (const file of await readdir(store)) if (/(?<!\.test)\.ts$/.test(file)) await import(new URL(file, store).href)
  database = await openPostgres({ url: await freshDatabase(), log: silentLogger() })
  await migrate(database)
})
afterAll(() => database?.close())

/** Partial indexes hold live rows only: reading one whole costs what is going on, not what there ever was. */
const live =
  /^(subtask_states_(ready|queued|running|retrying|blocked|cancelling|suspects)|workers_live|tasks_(unswept|timed|waiting)|tenants_paused|reviews_(one_open|due)|event_cursors_behind|webhook_deliveries_due|webhooks_(listening|deleted))$/

/** Of tables with a row for each worker, agent, tenant or key, these read all there is. */
const wholeOfSmall: Readonly<Record<string, readonly string[]>> = {
  forget_workers: ['workers'],
  keys_in_force: ['api_keys'],
  list_workers: ['workers'],
  measure_agents: ['measuring', 'agent_measures'],
  read_measures: ['agent_measures'],
  read_standing: ['workers', 'tenants'],
  set_review_defaults: ['tenants'],
}

/** A node of a plan, as `explain (format json)` tells it. */
interface PlanNode {
  readonly 'Node Type': string
  readonly 'Parent Relationship'?: string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Index Cond'?: string
  readonly 'Join Filter'?: string
  readonly Filter?: string
  readonly Plans?: readonly PlanNode[]
}

/** A filter that compares a column of one side of a join with one of the other. */
const comparesColumns = /\("?[\w*$ ]+"?\.(\w+) = "?[\w*$ ]+"?\.\w+\)/
/** Of these there are as many as a fleet has queues. */
const fewOfThese = /^(route_id|lane)$/
/** These statements are about one task, subtask or worker each. */
const ofOne = /^((execute|cancel|pause|resume)_task|release_subtask|drain_worker)$/
/** The first goes through all chunks once in ten minutes, the second asks whether there is anything at all. */
const wholeByIntent = /^(sweep_chunks|artifact_directory)$/

test('no statement reads a table whole, or each row of one thing for each of another, whatever the planner believes of their sizes', async () => {
  expect(statements.size).toBeGreaterThan(150)
  expect(await offending()).toEqual([])
})

test('nor when it knows how large they are: much that ended, and one task of which much is ready', async () => {
  await database.script(large)
  const filled = /"Relation Name":"(tasks|subtasks|subtask_states|dependencies|attempts|events)"/
  // Live rows only, too; it is taken where the planner knows that few tasks are unfinished.
  const unfinished = /"Index Name":"tasks_unfinished"/
  expect((await offending()).filter(each => filled.test(each) && !unfinished.test(each))).toEqual([])
})

/** 2,000 tasks of ten that ended, and one of 20,000 that are ready; the last ones of each depend on others. */
const large = `
insert into routes (pool, capability, requires, agent, key) values ('shared', 'x', '{}', null, 'x');
insert into tasks (id, tenant_id, task_id, orchestrator_id, title, status, priority, metadata, context, digest, field_digests, plan, total, finished_at)
select n, 1, 't' || n, 'default', 't', case when n = 1 then 'running' else 'completed' end, 2, '{}', '{}', 'd', '{}', '{}', 10, case when n > 1 then clock_timestamp() end
from generate_series(1, 2001) n;
insert into subtasks (id, uuid, tenant_id, task_pk, ordinal, subtask_id, name, capability, on_failure, attempt_limit)
select 10000 + i, gen_random_uuid(), 1, case when i < 20000 then 1 else 2 + (i - 20000) / 10 end, i, 'x::' || i, 's' || i, 'x', 'review', 3 from generate_series(0, 39999) i;
insert into subtask_states (id, tenant_id, task_pk, route_id, priority, owner, state, unmet, attempt, attempt_limit, queue_wait_ms, deadline_ms, ready_at, scheduled_at, finished_at)
select d.id, 1, d.task_pk, 1, 2, 1, case when d.task_pk = 1 then 'ready' else 'completed' end, 0, 1, 3, 1000, 1000, clock_timestamp(), clock_timestamp(), case when d.task_pk > 1 then clock_timestamp() end
from subtasks d;
insert into dependencies (from_id, to_id) select id - 1, id from subtasks where ordinal % 10 = 9;
insert into attempts (subtask_pk, attempt, outcome, charged, output) select id, 1, 'completed', true, '1' from subtask_states where state = 'completed';
insert into events (tenant_id, name, task_pk, subtask_pk) select 1, 'subtask.ready', task_pk, id from subtasks;
analyze tasks, subtasks, subtask_states, dependencies, attempts, events;`

/** What a statement's plan does that would cost more with every row there is. */
async function offending(): Promise<string[]> {
  const found: string[] = []
  const leading = await leadingColumns()
  for (const [name, { text }] of statements)
    await database.transaction(async tx => {
      await tx.query({ text: `prepare "plan_${name}" as ${text}` })
      const [statement] = (
        await tx.query<{ params: number }>(
          { text: 'select cardinality(parameter_types) as params from pg_prepared_statements where name = $1' },
          [`plan_${name}`],
        )
      ).rows
      const args = Array.from({ length: statement?.params ?? 0 }, () => 'null').join(', ') // plans are made for any values
      const { rows } = await tx.query<{ 'QUERY PLAN': readonly [{ Plan: PlanNode }] }>({
        text: `explain (format json) execute "plan_${name}"${args ? `(${args})` : ''}`,
      })
      await tx.query({ text: `deallocate "plan_${name}"` })
      for (const node of nodesOf(rows[0]?.['QUERY PLAN'][0].Plan)) {
        const problem = problemOf(node, leading, name)
        if (problem !== undefined) found.push(`${name}: ${problem}: ${JSON.stringify({ ...node, Plans: undefined })}`)
      }
    })
  return found
}

function problemOf(node: PlanNode, leading: ReadonlyMap<string, string>, statement: string): string | undefined {
  const { 'Node Type': type, 'Index Name': index, 'Index Cond': condition = '', 'Join Filter': joined = '', Filter: filter = '' } = node
  if (wholeByIntent.test(statement) && !/Join|Nested Loop/.test(type)) return undefined
  const relation = node['Relation Name'] ?? ''
  if (wholeOfSmall[statement]?.includes(relation)) return undefined
  if (/^(Seq Scan|Bitmap Heap Scan|Hash Join|Merge Join)$/.test(type)) return 'it reads a table whole'
  if (index !== undefined && !live.test(index)) {
    const first = leading.get(index)
    // A condition on a later column alone reads the whole index.
    if (first === undefined || !new RegExp(`\\b${first}\\b`).test(condition)) return `it reads an index whole that begins with ${first}`
    // Of a task that is called by its name, the tenant alone would read every task of the tenant.
    if (/\btask_id = /.test(filter) && relation === 'tasks' && !/\btask_id = /.test(condition)) return 'it reads every task of a tenant'
  }
  const column = comparesColumns.exec(joined)?.[1]
  if (column === undefined || fewOfThese.test(column) || ofOne.test(statement)) return undefined
  const inner = node.Plans?.find(plan => plan['Parent Relationship'] === 'Inner')
  return inner !== undefined && isProbe(inner) ? undefined : 'it compares each row with each other'
}

/** Whether it looks something up, and does not go through all that it has for each row that it is asked about. */
function isProbe(node: PlanNode): boolean {
  const { 'Node Type': type } = node
  return !/^(Materialize|(CTE|Function|Values|WorkTable) Scan)$/.test(type) && nodesOf(node).some(each => each['Index Cond'] !== undefined)
}

function nodesOf(plan: PlanNode | undefined): PlanNode[] {
  return plan === undefined ? [] : [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}

/** The first column of each index. */
async function leadingColumns(): Promise<Map<string, string>> {
  const { rows } = await database.query<{ name: string; first: string }>({
    text: `
select i.relname as name, a.attname as first
from pg_index x join pg_class i on i.oid = x.indexrelid join pg_attribute a on a.attrelid = i.oid and a.attnum = 1
where i.relnamespace = current_schema()::regnamespace`,
  })
  return new Map(rows.map(({ name, first }) => [name, first]))
}
