/** `/reviews`: what waits for a person. The first decision wins; a later one learns what was decided. */
import {
  type AssignRequest,
  assignRequestSchema,
  type DecideRequest,
  decideRequestSchema,
  rawDecisionKeys,
  reviewStatuses,
  taskIdSchema,
} from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi } from '../../commands/api.js'
import { maxPage } from '../limits.js'
import { cursor, line, wholeNumber } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { validate } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { reviewPath } from './path-parameters.js'

const defaultListLimit = 50

const listQuery = z.strictObject({
  status: z.enum(reviewStatuses).meta({ description: 'Reviews with this status; default open.' }).optional(),
  task_id: taskIdSchema.meta({ description: 'Reviews of this task.' }).optional(),
  assignee: line(200).meta({ description: 'Reviews that are assigned to them.' }).optional(),
  limit: wholeNumber(1, maxPage, `Items of a page; default ${defaultListLimit}.`).optional(),
  cursor: cursor.optional(),
})

export function reviewRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/reviews',
      id: 'listReviews',
      summary: 'List what waits for a person, the oldest first.',
      query: listQuery,
      answers: { 200: { description: 'A page of reviews.', schema: namedSchemas.ReviewList } },
      errors: [],
      async answer({ query: { status = 'open', task_id: taskId, assignee, limit = defaultListLimit, cursor }, caller }) {
        return { json: await api.reviews(caller, { status, taskId, assignee, limit, cursor }) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/reviews/:id',
      id: 'getReview',
      summary: 'One review.',
      params: reviewPath,
      answers: { 200: { description: 'The review.', schema: namedSchemas.Review } },
      errors: ['review_not_found'],
      async answer({ params, caller }) {
        return { json: await api.review(caller, params.id) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/reviews/:id/assign',
      id: 'assignReview',
      summary: 'Say who is to decide a review, until when, and who gets it then.',
      params: reviewPath,
      body: {
        schema: namedSchemas.AssignRequest,
        read: value => validate<AssignRequest>(assignRequestSchema, value, 'the assignment is not acceptable'),
      },
      answers: { 200: { description: 'The review.', schema: namedSchemas.Review } },
      errors: ['review_not_found', 'state_conflict'],
      async answer({ params, body: { assignee, due_at: dueAt, escalate_to: escalateTo }, caller }) {
        const to = {
          assignee,
          ...(dueAt !== undefined && { dueAt: new Date(dueAt) }),
          ...(escalateTo !== undefined && { escalateTo }),
        }
        return { json: await api.assignReview(caller, params.id, to) }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/reviews/:id/decide',
      id: 'decideReview',
      summary: 'Decide a review. The first decision wins; with a `digest`, only what was shown is decided. `output` is kept byte for byte.',
      params: reviewPath,
      body: {
        schema: namedSchemas.DecideRequest,
        read: value => validate<DecideRequest>(decideRequestSchema, value, 'the decision is not acceptable'),
        rawKeys: rawDecisionKeys,
      },
      answers: { 200: { description: 'The review, decided.', schema: namedSchemas.Review } },
      errors: ['agent_not_found', 'review_not_found', 'state_conflict'],
      async answer({ params, body, caller }) {
        return { json: await api.decideReview(caller, params.id, body) }
      },
    }),
  ]
}
