/** `baton replan TASK`: what is not finished is planned anew; shown as a diff. */
import { BatonError, type ReplanRequest, type ReplanView, replanRequestSchema } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { zodIssues } from '../config/zod-issues.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { readInput, readJson } from '../input.js'
import type { Io } from '../io.js'
import { printJson, printLines } from '../output/print.js'
import { type Paint, paintFor } from '../output/style.js'
import { visible } from '../output/text.js'

interface ReplanOptions extends RemoteOptions {
  readonly plan?: string
  readonly description?: string
  readonly cancelRunning?: boolean
  readonly approval?: boolean
  readonly reason?: string
  readonly dryRun?: boolean
}

export async function replan(taskId: string, options: ReplanOptions, io: Io): Promise<ExitCode> {
  if (options.plan !== undefined && options.description !== undefined)
    throw new BatonError('invalid_request', '--plan and --description exclude each other')
  const request = {
    ...(options.plan !== undefined && { subtasks: await subtasksIn(options.plan, io) }),
    ...(options.description !== undefined && { description: await wordsIn(options.description, io) }),
    ...(options.cancelRunning && { running: 'cancel' }),
    ...(options.approval && { requires_approval: true }),
    ...(options.reason !== undefined && { reason: options.reason }),
  }
  const parsed = replanRequestSchema.safeParse(request)
  if (!parsed.success) throw new BatonError('invalid_request', 'this is no new plan:', { fields: zodIssues(parsed.error, request) })
  const replanned = await connect(options, io).tasks.replan(taskId, parsed.data satisfies ReplanRequest, {
    dryRun: options.dryRun ?? false,
  })
  if (options.json) printJson(io, replanned)
  else printLines(io, diffLines(replanned, options.dryRun ?? false, paintFor(io)))
  return replanned.review ? exitCodes.needsSomebody : exitCodes.done
}

/** A list of subtasks, or a task with them. */
async function subtasksIn(file: string, io: Io): Promise<unknown> {
  const { value } = await readJson(file, io)
  return value !== null && typeof value === 'object' && 'subtasks' in value ? value.subtasks : value
}

/** The words themselves, or `-` for stdin. */
async function wordsIn(text: string, io: Io): Promise<string> {
  return text === '-' ? await readInput('-', io) : text
}

function diffLines({ task_id: taskId, status, plan, diff, review }: ReplanView, dryRun: boolean, paint: Paint): string[] {
  const nothing = diff.added.length + diff.removed.length + diff.changed.length === 0
  return [
    paint('dim', `planned by ${plan.made_by}`),
    ...plan.diagnostics.map(text => paint('yellow', `note: ${visible(text)}`)),
    ...diff.added.map(({ name, capability, depends_on: after }) =>
      paint('green', `+ ${visible(name)}  ${capability}${after.length > 0 ? `  after ${after.map(visible).join(', ')}` : ''}`),
    ),
    ...diff.removed.map(name => paint('red', `- ${visible(name)}`)),
    ...diff.changed.map(({ name, fields }) => paint('yellow', `~ ${visible(name)}  ${fields.join(', ')}`)),
    ...diff.kept.map(name => paint('dim', `  ${visible(name)}`)),
    '',
    nothing
      ? 'nothing changes'
      : review
        ? `it waits for an approval: baton decide ${review.id} approve|reject --reason TEXT --digest ${review.digest}`
        : dryRun
          ? 'nothing was changed (dry run)'
          : `${taskId} is ${status.replaceAll('_', ' ')}; follow it with: baton status ${taskId} --watch`,
  ]
}
