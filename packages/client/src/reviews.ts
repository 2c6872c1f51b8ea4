/** Reviews: what waits for a person. */
import type { AssignRequest, DecideRequest, ReviewList, ReviewStatus, ReviewView } from '@baton/shared'
import type { Http } from './http.js'

export interface ReviewFilters {
  /** Default open. */
  readonly status?: ReviewStatus
  readonly taskId?: string
  readonly assignee?: string
  readonly limit?: number
  readonly cursor?: string
}

export interface Reviews {
  /** One page, the oldest first. */
  list(filters?: ReviewFilters): Promise<ReviewList>
  /** Throws `review_not_found`. */
  get(id: string): Promise<ReviewView>
  /** Says who is to decide it, and until when. Throws `review_not_found`, `state_conflict` when it is not open any more. */
  assign(id: string, request: AssignRequest): Promise<ReviewView>
  /**
   * Decides it; the first decision wins. Never repeated by itself: whoever meets no answer looks with `get`. Throws
   * `review_not_found`, `state_conflict` with who decided what, `invalid_request` where the decision does not fit its kind.
   *
   * @example
   * const { reviews: [review] } = await baton.reviews.list({ taskId: 'feature-7' })
   * if (review) await baton.reviews.decide(review.id, { decision: 'retry', reason: 'the service is back' })
   */
  decide(id: string, request: DecideRequest): Promise<ReviewView>
}

export function reviewsOf(http: Http): Reviews {
  return {
    list: ({ status, taskId, assignee, limit, cursor } = {}) =>
      http.json({ method: 'GET', path: ['reviews'], query: { status, task_id: taskId, assignee, limit, cursor } }),
    get: id => http.json({ method: 'GET', path: ['reviews', id] }),
    assign: (id, request) => http.json({ method: 'POST', path: ['reviews', id, 'assign'], body: request }),
    decide: (id, request) => http.json({ method: 'POST', path: ['reviews', id, 'decide'], body: request, once: true }),
  }
}
