/** `baton reviews`, `baton review ID`, `baton assign ID [ASSIGNEE]`, `baton decide ID DECISION`. */
import {
  BatonError,
  type DecideRequest,
  decideRequestSchema,
  fittingDecisions,
  formatDuration,
  parseStrictJson,
  RawJson,
  type ReviewView,
} from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { zodIssues } from '../config/zod-issues.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { readInput } from '../input.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

interface ListOptions extends RemoteOptions {
  readonly task?: string
  readonly all?: boolean
}

interface DecideOptions extends RemoteOptions {
  readonly reason: string
  readonly output?: string
  readonly agent?: string
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

export async function assign(id: string, assignee: string | undefined, options: RemoteOptions, io: Io): Promise<ExitCode> {
  const found = await connect(options, io).reviews.assign(id, { assignee: assignee ?? null })
  if (options.json) printJson(io, found)
  else printLines(io, [`review ${found.id} is assigned to ${found.assignee === null ? 'nobody' : visible(found.assignee)}`])
  return exitCodes.done
}

export async function decide(id: string, decision: string, options: DecideOptions, io: Io): Promise<ExitCode> {
  const request = {
    decision,
    reason: options.reason,
    ...(options.output !== undefined && { output: await readJson(options.output, io) }),
    ...(options.agent !== undefined && { agent: options.agent }),
  }
  const parsed = decideRequestSchema.safeParse(request)
  if (!parsed.success) throw new BatonError('invalid_request', 'this cannot be decided so:', { fields: zodIssues(parsed.error, request) })
  const decided = await connect(options, io).reviews.decide(id, parsed.data satisfies DecideRequest)
  if (options.json) printJson(io, decided)
  else printLines(io, [`review ${decided.id} is ${decided.status}: ${decided.decision}`, ...after(decided)])
  return exitCodes.done
}

/** The text stays byte for byte what it was. */
async function readJson(file: string, io: Io): Promise<RawJson> {
  const text = await readInput(file, io)
  try {
    return new RawJson(text.trim(), parseStrictJson(text))
  } catch (error) {
    if (!(error instanceof BatonError)) throw error
    throw new BatonError(error.code, `${file === '-' ? 'stdin' : file}: ${error.message}`, { cause: error })
  }
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
    `${review.kind}, ${paint(review.status === 'open' ? 'yellow' : 'dim', review.status)}${review.assignee === null ? '' : `, assigned to ${visible(review.assignee)}`}${review.due_at === null ? '' : `, due ${review.due_at}`}`,
    visible(summaryOf(review)),
    ...(review.decision === null
      ? []
      : [`${review.decision} by ${visible(review.decided_by ?? '')} at ${review.decided_at}: ${visible(review.reason ?? '')}`]),
    ...(review.status === 'open' ? ['', `decide it with: baton decide ${review.id} ${fitting} --reason TEXT`] : []),
  ]
}

/** Of an exhausted subtask, the message of its last failure. */
function summaryOf({ kind, detail }: ReviewView): string {
  if (kind !== 'exhausted') return detail
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
