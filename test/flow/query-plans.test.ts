/**
 * Holds every prepared statement to index plans that do not depend on how large the tables were when it was planned: the
 * plans are read from EXPLAIN on empty tables, under the very settings of the connections.
 */
import { migrate, openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWaiting, tasksWait, wantStart } from '../../packages/coordinator/src/store/admission.js'
import { runningClaims, unreferencedFiles } from '../../packages/coordinator/src/store/artifacts.js'
import { cancelUnfinished } from '../../packages/coordinator/src/store/cancel.js'
import { putChunk } from '../../packages/coordinator/src/store/chunks.js'
import { grantClaims } from '../../packages/coordinator/src/store/claims.js'
import { completeAttempts } from '../../packages/coordinator/src/store/complete.js'
import { completeRunning } from '../../packages/coordinator/src/store/complete-running.js'
import { controlTask } from '../../packages/coordinator/src/store/control.js'
import { cancelSubtask, findSubtask, reassignSubtask, retrySubtask } from '../../packages/coordinator/src/store/control-subtask.js'
import type { Database, Queryable, Statement } from '../../packages/coordinator/src/store/database.js'
import {
  blockUnroutable,
  claimReady,
  promoteRetries,
  readDemand,
  recallQueued,
  ringAgain,
  unblockRoutable,
} from '../../packages/coordinator/src/store/dispatch.js'
import { readDue } from '../../packages/coordinator/src/store/due.js'
import {
  readFollowedTask,
  readHorizon,
  readNewEvents,
  readTaskEvents,
  readTenantEvents,
} from '../../packages/coordinator/src/store/events.js'
import { executeTask, previewExecution } from '../../packages/coordinator/src/store/execute.js'
import { expireAttempts, failAttempts } from '../../packages/coordinator/src/store/fail.js'
import { readHanded } from '../../packages/coordinator/src/store/handed.js'
import { leaveManual } from '../../packages/coordinator/src/store/leave-manual.js'
import {
  countUnfinished,
  insertOrchestrator,
  lockForSubmission,
  readOrchestrator,
  setOrchestratorStatus,
} from '../../packages/coordinator/src/store/orchestrators.js'
import { expireWaits } from '../../packages/coordinator/src/store/overdue.js'
import { pausedMs } from '../../packages/coordinator/src/store/pauses.js'
import { claimPlanning, releasePlanning } from '../../packages/coordinator/src/store/plannings.js'
import { holdsClaim, pageOutput } from '../../packages/coordinator/src/store/read-claim.js'
import {
  countSubtasks,
  readArtifacts,
  readDependencies,
  readOpenReviews,
  readStatusHistory,
  readSubtasks,
  readTask,
  readTaskVersions,
  readWaiting,
} from '../../packages/coordinator/src/store/read-task.js'
import {
  applyReplan,
  decidePlan,
  lockForReplan,
  lockStanding,
  proposePlan,
  readProposal,
  readStanding,
} from '../../packages/coordinator/src/store/replan.js'
import { rerunTask } from '../../packages/coordinator/src/store/rerun.js'
import { buryTasks, forgetOldEvents, purgePiece } from '../../packages/coordinator/src/store/retention.js'
import { startKnown } from '../../packages/coordinator/src/store/start-known.js'
import { appendToStreams } from '../../packages/coordinator/src/store/stream-chunks.js'
import { insertTasks } from '../../packages/coordinator/src/store/submit.js'
import { controlSystem } from '../../packages/coordinator/src/store/system.js'
import { closeMootReviews, escalateReviews, warnOfDelays } from '../../packages/coordinator/src/store/warnings.js'
import {
  claimDeliveries,
  deliveriesPend,
  fanOutEvents,
  listDeliveries,
  lookForEvents,
  replayDeliveries,
  replayDelivery,
  settleDeliveries,
  sweepDeliveries,
} from '../../packages/coordinator/src/store/webhook-deliveries.js'
import { listWebhooks, readWebhook, skipEvents, webhooksListen } from '../../packages/coordinator/src/store/webhooks.js'
import { recordHeartbeats } from '../../packages/coordinator/src/store/workers.js'
import { freshDatabase } from '../harness/index.js'

let database: Database
const statements = new Map<string, { statement: Statement; params: readonly unknown[] }>()

/** Takes note of what would be asked, and answers with nothing. */
const recorder: Queryable = {
  query: async (statement, params = []) => {
    statements.set(statement.name ?? '', { statement, params })
    const nothing = {
      verdicts: [],
      jobs: [],
      tasks: [],
      ready: [],
      touched: [],
      routes: [],
      ended: [],
      workers: [],
      held: [],
      moved: 1,
      chosen: [],
      depends_on: ['x'],
      checkpoints: [],
      id: '1',
      accepted: [],
      n: 0,
      status: 'running',
      again: ['1'],
      dropped: ['2'],
      xid: null,
      horizon: '1',
    }
    return { rows: statement.name === 'rerun_unfinished_outside' ? [] : [nothing as never], rowCount: 1 }
  },
}

/** The same, also within transactions. */
const recording = { ...recorder, transaction: work => work(recorder) } as Database // nothing else is asked of it

beforeAll(async () => {
  database = await openPostgres({ url: await freshDatabase(), log: silentLogger() })
  await migrate(database)
  const uuid = '00000000-0000-4000-8000-000000000001'
  const room = [{ route_id: 1, queue: 'shared.c.x', room: 5 }]
  const row = { id: '1', attempt: 1, dispatch: 1, queue: 'shared.c.x', route_id: 1 }
  const backoff = { initialMs: 1, maxMs: 2 }
  // It asks others with what it was told, which is nothing here: they are recorded anew below.
  await startWaiting({ transaction: work => work(recorder) } as Database, { limit: 1, resolves: () => true })
  await insertTasks({ ...database, ...recorder } as Database, { tasks: [], subtasks: [], edges: [] })
  await executeTask(recorder, { tenantId: 1, taskId: 't', mode: 'auto', checkpoints: [], unroutable: [] })
  await completeRunning(recorder, [{ id: '1', attempt: 1, claim_id: uuid, output: '1' }], room, { leaseMs: 1, defaultSlaMs: 1 })
  await readHanded(recorder, [{ n: 0, id: '1', claim_id: uuid }])
  await startKnown(
    recorder,
    [{ id: '1', attempt: 1, claim_id: uuid, agent: 'x', worker_id: 'w', after: ['2'], sla_ms: null, lease_ms: null, deadline_ms: null }],
    {
      leaseMs: 1,
      defaultSlaMs: 1,
    },
  )
  await completeAttempts(recorder, [{ id: '1', attempt: 1, claim_id: uuid, output: '1' }], room)
  await failAttempts(
    recorder,
    [{ id: '1', attempt: 1, claim_id: uuid, outcome: 'failed', failure: '{}', retryable: true, charged: true, saved: null }],
    room,
    backoff,
  )
  for (const which of ['lost', 'late', 'overdue', 'unheeded'] as const)
    await expireAttempts(recorder, which, { at: '2026-01-01', leaseMs: 1, limit: 500 }, room, backoff)
  await expireWaits(recording, '2026-01-01', 500, room)
  await warnOfDelays(recorder, '2026-01-01', 500)
  await escalateReviews(recorder, '2026-01-01', 500)
  await closeMootReviews(recorder, 500)
  await rerunTask(
    { ...database, transaction: work => work(recorder) },
    { tenantId: 1, taskId: 't', from: [], input: null, references: ['x'], reason: null, actor: 'a' },
  )
  await lockForReplan(recorder, 1, 't')
  await readStanding(recorder, '1', 10)
  await lockStanding(recorder, ['1'])
  await applyReplan(recorder, { taskPk: '1', superseded: ['1'], subtasks: [], edges: [], plan: '{}', told: '{}' })
  await proposePlan(recorder, { tenantId: 1, taskPk: '1', detail: 'd', digest: 'd', proposal: '{}' })
  await readProposal(recorder, 1, '1')
  await decidePlan(recorder, { tenantId: 1, id: '1', decision: 'approve', reason: 'r', actor: 'a' })
  await claimPlanning(recorder, { tenantId: 1, taskId: 't', digest: 'd' }, { coordinatorId: 'c', forMs: 1 })
  await releasePlanning(recorder, { tenantId: 1, taskId: 't', digest: 'd' }, 'c')
  await findSubtask(recorder, { tenantId: 1, taskId: 't', subtaskId: 's' })
  await cancelSubtask(recording, '1', { reason: 'r', actor: 'a' }, room)
  await retrySubtask(recording, '1', { reason: 'r', actor: 'a' })
  await reassignSubtask(recording, '1', 1, { reason: 'r', actor: 'a' })
  await grantClaims(recorder, [{ id: '1', attempt: 1, claim_id: uuid, agent: 'a', worker_id: 'w' }], {
    leaseMs: 1,
    defaultSlaMs: 1,
    deferMs: 1,
  })
  await recordHeartbeats(recorder, [{ worker_id: 'w', state: 'ready', active: [], load: {}, loop_lag_ms: 0 }], 1)
  await readDemand(recorder)
  await claimReady(
    recorder,
    room.map(r => ({ ...r, after: [{ priority: 1, owner: 1, task_pk: '1' }] })),
  )
  await promoteRetries(recorder, 1)
  await blockUnroutable(recorder, [1], 1)
  await unblockRoutable(recording, { provided: [1], roomy: [1] })
  await recallQueued(recorder, ['q'])
  await ringAgain(recorder, [row])
  await cancelUnfinished(recording, 1)
  await buryTasks(recorder, 1, 1)
  await purgePiece(
    {
      transaction: work =>
        work({ query: async (s, p) => ({ ...(await recorder.query(s, p)), rows: [{ task_pk: '1', purged: 0 }] as never }) }),
    } as Database,
    1,
  )
  await forgetOldEvents(recorder, 1, 1)
  await readDue(recorder, { leaseMs: 1, graceMs: 1 })
  await putChunk(recorder, { subtask: '1', claimId: uuid, name: 'x', n: 0, data: new Uint8Array() })
  await holdsClaim(recorder, '1', uuid)
  await unreferencedFiles(recorder, ['x'])
  await runningClaims(recorder, [{ subtask: '1', claimId: uuid }])
  await pageOutput(recorder, '1', uuid, 'x', 0)
  await readTaskVersions(recorder, [{ tenantId: 1, taskId: 't' }])
  await readSubtasks(recorder, [{ task_pk: '1', after: 0, rows: 10 }])
  await countSubtasks(recorder, [{ task_pk: '1' }])
  await readDependencies(recorder, [{ task_pk: '1', after: 0, after_from: 0, rows: 10 }])
  await readArtifacts(recorder, [{ task_pk: '1', after: 0, rows: 10 }])
  await readStatusHistory(recorder, [{ task_pk: '1' }])
  await readOpenReviews(recorder, [{ task_pk: '1' }])
  await readWaiting(recorder, '1', 0, 10)
  await readTask(recorder, 1, 't')
  const told = { reason: 'x', actor: 'y' }
  for (const verb of ['cancel', 'pause', 'resume'] as const) await controlTask(recorder, verb, { tenantId: 1, taskId: 't' }, told)
  for (const verb of ['pause', 'resume'] as const) await controlSystem(recorder, verb, 1, told)
  const key = { tenantId: 1, id: 'o' }
  const limits = { maxConcurrentTasks: 1, maxTasks: 1, timeout: 1, retryAttempts: 1, queueWait: 1, deadline: 1, lease: 1 }
  const definition = { name: 'o', description: '', agent_id: null, default_worker_agent_id: null, metadata: '{}', limits }
  await insertOrchestrator(recorder, key, definition, 'y')
  await setOrchestratorStatus(recorder, key, 'running', told)
  await readOrchestrator(recorder, 1, 'o')
  await lockForSubmission(recorder, [key])
  await countUnfinished(recorder, key)
  await previewExecution(recorder, 1, 't', [])
  await leaveManual(recording, { tenantId: 1, taskId: 't', actor: 'y' })
  await wantStart(recorder, { tenantId: 1, taskId: 't', mode: 'auto', checkpoints: [] })
  await tasksWait(recorder)
  const place = { xid: 1n, seq: 1n }
  await readTenantEvents(recorder, 1, place, 10)
  await readTaskEvents(recorder, '1', place, 10)
  await readNewEvents(recorder, { tenantIds: [1], taskPks: ['1'] }, place, 10)
  await readHorizon(recorder)
  await appendToStreams(recorder, [{ subtask: '1', claim_id: uuid, from: 0, chunks: '[]' }])
  await readFollowedTask(recorder, 1, 't')
  await lookForEvents(recorder)
  await fanOutEvents(recorder, 10, 1)
  await claimDeliveries(recorder, { rooms: [{ lane: 'w 1', room: 1 }], room: 4, limit: 10, leaseMs: 1 })
  await deliveriesPend(recorder)
  const tried = { at: '', ms: 1, status: 200, error: null }
  await settleDeliveries(recorder, [{ pk: '1', attempts: 1, delivered: false, againMs: 1, tried }])
  await listDeliveries(recorder, '1', { before: '9', state: null, limit: 10 })
  await replayDelivery(recorder, '1', '1', 1)
  const since = { since: new Date(0), until: new Date(1), after: null, state: null, giveUpMs: 1, limit: 10 }
  await replayDeliveries(recorder, '1', since)
  await sweepDeliveries(recorder, 1, 10)
  await webhooksListen(recorder)
  await skipEvents(recorder)
  await listWebhooks(recorder, 1, '', 10)
  await readWebhook(recorder, 1, 'x')
  const clocks = `select k.id, ${pausedMs('k', 'k.started_at', 'clock_timestamp()')} as paused from tasks k where k.id = any ($1::bigint[])`
  await recorder.query({ name: 'paused_clocks', text: clocks }, [['1']])
})
afterAll(() => database?.close())

/** Partial indexes hold live rows only: reading one whole costs what is going on, not what there ever was. */
const live =
  /subtask_states_(ready|queued|running|retrying|blocked|cancelling|suspects)|workers_live|tasks_(unswept|timed|waiting)|tenants_paused|reviews_(one_open|due)|event_cursors_behind|webhook_deliveries_due|webhooks_(listening|deleted)/

test('no statement reads a table whole, whatever the planner believes of its size', async () => {
  expect(statements.size).toBeGreaterThan(18)
  const offending: string[] = []
  await database.transaction(async tx => {
    for (const [name, { statement, params }] of statements) {
      await tx.query({ text: `prepare "plan_${name}" as ${statement.text}` })
      const args = params
        .map(value => (value === null ? 'null' : typeof value === 'number' ? String(value) : `'${literal(value)}'`))
        .join(', ')
      const { rows } = await tx.query<{ 'QUERY PLAN': string }>({ text: `explain execute "plan_${name}"${args ? `(${args})` : ''}` })
      const lines = rows.map(r => r['QUERY PLAN'])
      lines.forEach((line, i) => {
        if (/Seq Scan/.test(line) || /(Hash|Merge) (Semi |Anti |Left |Right |Full )?Join/.test(line))
          offending.push(`${name}: ${line.trim()}`)
        if (/Index (Only )?Scan/.test(line) && !live.test(line) && !/Index Cond/.test(lines[i + 1] ?? ''))
          offending.push(`${name}: ${line.trim()}`)
        // Of a task that is called by its name, the tenant alone would read every task of the tenant.
        if (/ on tasks\b/.test(line) && /\btask_id = /.test(filterOf(lines, i)) && !/Index Cond:.*\btask_id = /.test(lines[i + 1] ?? ''))
          offending.push(`${name}: ${line.trim()} ${filterOf(lines, i)}`)
        // A condition on a later column of the key alone reads the whole index.
        if (/using attempts_pkey/.test(line) && !/subtask_pk/.test(lines[i + 1] ?? ''))
          offending.push(`${name}: ${line.trim()} ${lines[i + 1]?.trim()}`)
        if (/using subtasks_ordinal/.test(line) && !/task_pk/.test(lines[i + 1] ?? ''))
          offending.push(`${name}: ${line.trim()} ${lines[i + 1]?.trim()}`)
      })
    }
  })
  expect(offending).toEqual([])
})

/** The filter of the node at that line, or nothing. */
function filterOf(lines: readonly string[], at: number): string {
  const next = lines.slice(at + 1).findIndex(line => line.includes('->'))
  return lines.slice(at + 1, next < 0 ? undefined : at + 1 + next).find(line => /^\s*Filter:/.test(line)) ?? ''
}

function literal(value: unknown): string {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return `{${value.join(',')}}`
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  return String(value).replaceAll("'", "''")
}
