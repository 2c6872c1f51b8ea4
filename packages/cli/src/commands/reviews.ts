/** `baton reviews`, `baton review ID`, `baton assign ID [ASSIGNEE]`, `baton decide ID DECISION`. */
import {
  type AssignRequest,
  assignRequestSchema,
  BatonError,
  type DecideRequest,
  decideRequestSchema,
  fittingDecisions,
  formatDuration,
  maxDurationMs,
  parseDuration,
  type ReviewView,
} from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { zodIssues } from '../config/zod-issues.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { readJson } from '../input.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

interface ListOptions extends RemoteOptions {
  readonly task?: string
  readonly all?: boolean
}

interface AssignOptions extends RemoteOptions {
  readonly due?: string
  readonly escalateTo?: string
}

interface DecideOptions extends RemoteOptions {
  readonly reason: string
  readonly output?: string
  readonly agent?: string
  readonly digest?: string
}

const pageSize = 1_000

export async function reviews(options: ListOptions, io: Io): Promise<ExitCode> {
  const client = connect(options, io)
  const found: ReviewView[] = []
  for (const status of options.all ? (['open', 'decided', 'closed'] as const) : (['open'] as const)) {
    let cursor: string | null = null
    do {
      const page: Awaited<ReturnType<typeof client.reviews.list>> = await client.reviews.list({
        status,
        limit: pageSize,
        ...(options.task !== undefined && { taskId: options.task }),
        ...(cursor !== null && { cursor }),
      })
      found.push(...page.reviews)
      cursor = page.next_cursor
    } while (cursor !== null)
  }
  found.sort((a, b) => Number(a.id) - Number(b.id))
  if (options.json) printJson(io, { reviews: found })
  else if (found.length === 0) printLines(io, [options.all ? 'there are no reviews' : 'nothing waits for a person'])
  else printLines(io, reviewLines(found, { paint: paintFor(io), columns: columnsOf(io), now: Date.now() }))
  return exitCodes.done
}

export async function review(id: string, options: RemoteOptions, io: Io): Promise<ExitCode> {
  const found = await connect(options, io).reviews.get(id)
  if (options.json) printJson(io, found)
  else printLines(io, detailLines(found, paintFor(io)))
  return exitCodes.done
}

export async function assign(id: string, assignee: string | undefined, options: AssignOptions, io: Io): Promise<ExitCode> {
  const request = {
    assignee: assignee ?? null,
    ...(options.due !== undefined && { due_at: dueAt(options.due) }),
    ...(options.escalateTo !== undefined && { escalate_to: options.escalateTo }),
  }
  const parsed = assignRequestSchema.safeParse(request)
  if (!parsed.success) throw new BatonError('invalid_request', 'this cannot be assigned so:', { fields: zodIssues(parsed.error, request) })
  const found = await connect(options, io).reviews.assign(id, parsed.data satisfies AssignRequest)
  if (options.json) printJson(io, found)
  else
    printLines(io, [`review ${found.id} is assigned to ${found.assignee === null ? 'nobody' : visible(found.assignee)}${untilWhen(found)}`])
  return exitCodes.done
}

/** A duration is counted from now; whatever else it is, is for the schema to judge. */
function dueAt(when: string): string {
  const ms = parseDuration(when)
  return ms === undefined || ms > maxDurationMs ? when : new Date(Date.now() + ms).toISOString()
}

export async function decide(id: string, decision: string, options: DecideOptions, io: Io): Promise<ExitCode> {
  const request = {
    decision,
    reason: options.reason,
    ...(options.output !== undefined && { output: await readJson(options.output, io) }),
    ...(options.agent !== undefined && { agent: options.agent }),
    ...(options.digest !== undefined && { digest: options.digest }),
  }
  const parsed = decideRequestSchema.safeParse(request)
  if (!parsed.success) throw new BatonError('invalid_request', 'this cannot be decided so:', { fields: zodIssues(parsed.error, request) })
  const decided = await connect(options, io).reviews.decide(id, parsed.data satisfies DecideRequest)
  if (options.json) printJson(io, decided)
  else printLines(io, [`review ${decided.id} is ${decided.status}: ${decided.decision}`, ...after(decided)])
  return exitCodes.done
}

/** A line per review. */
export function reviewLines(
  list: readonly ReviewView[],
  { paint, columns, now }: { paint: Paint; columns: number; now: number },
): string[] {
  const rows = list.map(one => [
    one.id,
    one.kind,
    paint(one.status === 'open' ? 'yellow' : 'dim', one.decision ?? one.status),
    visible(one.task_id),
    visible(one.subtask ?? ''),
    `${formatDuration(Math.max(1_000, now - Date.parse(one.created_at))).split(' ')[0]}`,
    visible(one.assignee ?? ''),
    visible(summaryOf(one)),
  ])
  return tableLines(['review', 'kind', 'status', 'task', 'subtask', 'age', 'assignee', 'about'], rows, columns)
}

/** Everything that a person decides on, and how. */
export function detailLines(review: ReviewView, paint: Paint): string[] {
  const about = review.subtask === null ? '' : `, subtask ${visible(review.subtask)}`
  const state = review.subtask_state === null ? '' : ` (${review.subtask_state.replaceAll('_', ' ')})`
  const fitting = (fittingDecisions[review.kind] ?? []).join('|')
  return [
    `${paint('bold', `review ${review.id}`)} of task ${visible(review.task_id)}${about}${state}`,
    `${review.kind}, ${paint(review.status === 'open' ? 'yellow' : 'dim', review.status)}${review.assignee === null ? '' : `, assigned to ${visible(review.assignee)}`}${untilWhen(review)}`,
    visible(summaryOf(review)),
    ...(review.digest ? [paint('dim', `digest ${review.digest}`)] : []),
    ...(review.decision === null
      ? []
      : [`${review.decision} by ${visible(review.decided_by ?? '')} at ${review.decided_at}: ${visible(review.reason ?? '')}`]),
    ...(review.status === 'open'
      ? ['', `decide it with: baton decide ${review.id} ${fitting} --reason TEXT${review.digest ? ` --digest ${review.digest}` : ''}`]
      : []),
  ]
}

/** Until when it is to be decided, and what happens then. */
function untilWhen({ status, due_at: due, escalate_to: next, escalated_at: escalated }: ReviewView): string {
  return [
    due ? `, due ${due}` : '',
    next && status === 'open' ? `, then it goes to ${visible(next)}` : '',
    escalated ? `, escalated ${escalated}` : '',
  ].join('')
}

/** Of a subtask that failed or that nobody took, the message of its failure. */
function summaryOf({ kind, detail }: ReviewView): string {
  if (kind !== 'exhausted' && kind !== 'unroutable') return detail
  try {
    const { code, message } = JSON.parse(detail) as { code?: unknown; message?: unknown } // written by the coordinator
    return typeof message === 'string' ? `${message}${typeof code === 'string' ? ` (${code})` : ''}` : detail
  } catch {
    return detail
  }
}

function after({ task_id: taskId }: ReviewView): string[] {
  return [`see what follows with: baton status ${taskId}`]
}
