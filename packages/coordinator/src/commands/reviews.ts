/** What waits for a person: listed, assigned, decided. The first decision wins. */
import {
  BatonError,
  fittingDecisions,
  jsonProblem,
  jsonText,
  plainValue,
  type ReviewList,
  type ReviewView,
  type TaskStatus,
  terminalTaskStatuses,
} from '@baton/shared'
import type { Database } from '../store/database.js'
import type { EffectsRow } from '../store/fragments.js'
import { assignReview, decideReview, listReviews, type ReviewRow, readReview } from '../store/reviews.js'
import type { Room } from '../store/room.js'
import type { Routes } from '../store/routes.js'
import { readSubtaskRoute } from '../store/subtask-route.js'
import type { Caller, ReviewDecision, ReviewFilters } from './api.js'
import { requireAgent } from './known-agent.js'
import { integerCursor } from './task-view.js'

interface ReviewsOptions {
  readonly database: Database
  readonly routes: Routes
  readonly room: () => Room
  readonly after: { apply(effects: EffectsRow): Promise<void>; changed(taskPks: readonly string[]): void; ready(): void }
  /** Decides about a new plan. */
  readonly decidePlan: (
    caller: Caller,
    review: { readonly id: string; readonly task_id: string },
    told: Pick<ReviewDecision, 'decision' | 'reason' | 'digest'>,
  ) => Promise<void>
}

export function createReviews({ database, routes, room, after, decidePlan }: ReviewsOptions) {
  const required = async (caller: Caller, id: string): Promise<ReviewRow> => {
    const review = /^\d{1,18}$/.test(id) ? await readReview(database, caller.tenantId, id) : undefined
    if (!review) throw new BatonError('review_not_found', `there is no review ${id}`)
    return review
  }
  return {
    async reviews(caller: Caller, filters: ReviewFilters): Promise<ReviewList> {
      const rows = await listReviews(database, {
        tenantId: caller.tenantId,
        status: filters.status ?? null,
        taskId: filters.taskId ?? null,
        assignee: filters.assignee ?? null,
        after: String(integerCursor('cursor', filters.cursor)),
        limit: filters.limit + 1,
      })
      const shown = rows.slice(0, filters.limit)
      return { reviews: shown.map(viewOf), next_cursor: rows.length > filters.limit ? (shown[shown.length - 1]?.id ?? null) : null }
    },

    /** Throws `review_not_found`. */
    async review(caller: Caller, id: string): Promise<ReviewView> {
      return viewOf(await required(caller, id))
    },

    /** Throws `review_not_found`, `state_conflict`. */
    async assignReview(
      caller: Caller,
      id: string,
      to: { assignee: string | null; dueAt?: Date; escalateTo?: string | null },
    ): Promise<ReviewView> {
      const review = await required(caller, id)
      const { tenantId, actor } = caller
      const assignment = { tenantId, id, assignee: to.assignee, dueAt: to.dueAt ?? null, escalateTo: to.escalateTo, actor }
      const done = await assignReview(database, assignment)
      const present = await required(caller, id)
      if (!done) throw notOpen(present)
      after.changed([review.task_pk])
      return viewOf(present)
    },

    /** Throws `review_not_found`, `state_conflict`, `forbidden`, `invalid_request`. */
    async decideReview(caller: Caller, id: string, decision: ReviewDecision): Promise<ReviewView> {
      const review = await required(caller, id)
      if (review.status !== 'open') throw notOpen(review)
      if (!fittingDecisions[review.kind].includes(decision.decision))
        throw new BatonError(
          'invalid_request',
          `a review of kind ${review.kind} is decided by ${fittingDecisions[review.kind].join(', ')}`,
          {
            fields: [{ path: 'decision', issue: `must be one of ${fittingDecisions[review.kind].join(', ')}` }],
          },
        )
      if (review.agent !== null && caller.actor === `agent:${review.agent}`)
        throw new BatonError('forbidden', 'an agent cannot decide a review of its own work')
      if (review.kind === 'plan') {
        await decidePlan(caller, review, decision)
        after.changed([review.task_pk])
        return viewOf(await required(caller, id))
      }
      if (decision.decision === 'supply') {
        const problem = jsonProblem(plainValue(decision.output ?? null))
        if (problem) throw new BatonError('invalid_request', `the output ${problem}`, { fields: [{ path: 'output', issue: problem }] })
      }
      const routeId = decision.decision === 'reassign' ? await routeTo(caller, review, decision.agent) : null
      const ruling = {
        tenantId: caller.tenantId,
        id,
        decision: decision.decision,
        reason: decision.reason,
        output: decision.decision === 'supply' ? jsonText(decision.output ?? null) : null,
        routeId,
        digest: decision.digest ?? null,
        actor: caller.actor,
      }
      const decided = await decideReview(database, ruling, room())
      if (!decided.done) throw notDecided(await required(caller, id), decision.digest)
      await after.apply(decided)
      after.ready()
      return viewOf(await required(caller, id))
    },
  }

  async function routeTo(caller: Caller, review: ReviewRow, agent: string | undefined): Promise<number> {
    if (agent === undefined)
      throw new BatonError('invalid_request', 'reassign needs an agent', {
        fields: [{ path: 'agent', issue: 'is required for `reassign`' }],
      })
    await requireAgent(database, caller.tenantId, agent)
    const route = await readSubtaskRoute(database, review.task_pk, review.subtask_id ?? '')
    if (!route) throw new BatonError('subtask_not_found', 'the review is not about a subtask')
    const [id] = await routes.intern([{ pool: route.pool, capability: agent, requires: [], agent }])
    if (id === undefined) throw new BatonError('internal', 'the route could not be stored')
    return id
  }
}
export type Reviews = ReturnType<typeof createReviews>

function notDecided(review: ReviewRow, digest: string | undefined): BatonError {
  if (review.status !== 'open' || digest === undefined || digest === review.digest) return notOpen(review)
  return new BatonError(
    'state_conflict',
    `review ${review.id} is no longer about what was shown; look at it again, and decide with its present digest`,
    {
      extra: { review_status: review.status, digest: review.digest },
    },
  )
}

function notOpen(review: ReviewRow): BatonError {
  const how =
    review.status === 'decided'
      ? `was decided (${review.decision}) by ${review.decided_by} at ${review.decided_at?.toISOString()}`
      : review.status === 'closed'
        ? `is closed: ${review.reason ?? 'it became moot'}`
        : (terminalTaskStatuses as readonly TaskStatus[]).includes(review.task_status)
          ? `cannot be decided any more: its task is ${review.task_status}`
          : `cannot be decided so: its subtask is ${review.subtask_state}`
  return new BatonError('state_conflict', `review ${review.id} ${how}`, {
    extra: { review_status: review.status, ...(review.decision && { decision: review.decision, decided_by: review.decided_by }) },
  })
}

function viewOf(row: ReviewRow): ReviewView {
  return {
    id: row.id,
    kind: row.kind,
    status: row.status,
    task_id: row.task_id,
    subtask_id: row.subtask_id,
    subtask: row.name,
    subtask_state: row.subtask_state,
    assignee: row.assignee,
    due_at: row.due_at?.toISOString() ?? null,
    escalate_to: row.escalate_to,
    escalated_at: row.escalated_at?.toISOString() ?? null,
    digest: row.digest,
    detail: row.detail,
    decision: row.decision,
    reason: row.reason,
    decided_by: row.decided_by,
    created_at: row.created_at.toISOString(),
    decided_at: row.decided_at?.toISOString() ?? null,
  }
}
