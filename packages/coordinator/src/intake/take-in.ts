/**
 * What becomes of a task that somebody enqueued: the same reading, planning and storing as `POST /orchestrate`. Delivery
 * may be repeated, which the task's id makes harmless.
 */
import { BatonError, type ErrorCode, type OrchestrateRequest } from '@baton/shared'
import type { Caller, CoordinatorApi } from '../commands/api.js'

export type TakenIn =
  | { readonly kind: 'taken'; readonly taskId: string; readonly outcome: 'created' | 'existing'; readonly status: string }
  /** `reason`: the problem as compact JSON text. */
  | { readonly kind: 'refused'; readonly taskId: string | undefined; readonly reason: string }
  /** Nothing is wrong with it, and it cannot be taken in at present. */
  | { readonly kind: 'later'; readonly afterMs: number }

interface TakeInOptions {
  readonly api: Pick<CoordinatorApi, 'submit'>
  /** Throws `invalid_json`, `body_too_large`, `invalid_request`. */
  readonly read: (text: string) => OrchestrateRequest
  /** Whose tasks these are. */
  readonly caller: Caller
}

/** What may succeed later as it is. */
const passing: ReadonlySet<ErrorCode> = new Set(['unavailable', 'too_many_requests', 'task_limit_reached'])
const listedFields = 20
const defaultPauseMs = 2_000

/** `text` is the job's data as its producer wrote it. Throws what is a fault of ours. */
export async function takeIn(text: string, { api, read, caller }: TakeInOptions): Promise<TakenIn> {
  let taskId: string | undefined
  try {
    const request = read(text)
    taskId = request.task_id
    const [outcome] = await api.submit(caller, [request], { dryRun: false })
    if (outcome === undefined || outcome.kind === 'dry_run' || outcome.kind === 'known')
      throw new BatonError('internal', 'a submission has no outcome')
    if (outcome.kind === 'refused') throw outcome.error
    return { kind: 'taken', taskId, outcome: outcome.kind, status: outcome.task.status }
  } catch (error) {
    if (!(error instanceof BatonError) || error.code === 'internal') throw error
    if (!passing.has(error.code)) return { kind: 'refused', taskId, reason: problemText(error) }
    const seconds = error.extra?.retry_after_seconds
    return { kind: 'later', afterMs: typeof seconds === 'number' ? seconds * 1_000 : defaultPauseMs }
  }
}

/** What the API would answer, without what belongs to HTTP. */
function problemText({ code, message, fields }: BatonError): string {
  return JSON.stringify({ code, detail: message, ...(fields && { fields: fields.slice(0, listedFields) }) })
}
