/** `baton submit FILE|-`: checks the request here, so that mistakes show before anything is sent. */
import { BatonError, type OrchestrateRequest, orchestrateRequestSchema, parseStrictJson, rawRequestKeys } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { zodIssues } from '../config/zod-issues.js'
import { type ExitCode, exitCodeOfStatus, exitCodes } from '../exit-codes.js'
import { followTask, outcomeLines, startTask } from '../follow.js'
import { readInput } from '../input.js'
import type { Io } from '../io.js'
import { planLines } from '../output/plan.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { paintFor } from '../output/style.js'

interface SubmitOptions extends RemoteOptions {
  readonly execute?: boolean
  readonly dryRun?: boolean
}

export async function submit(file: string, options: SubmitOptions, io: Io): Promise<ExitCode> {
  if (options.execute && options.dryRun) throw new BatonError('invalid_request', '--execute and --dry-run exclude each other')
  const text = await readInput(file, io).catch((error: unknown) => {
    throw isSentence(file, error) ? notAFile(file) : error
  })
  const request = parseRequest(text, file === '-' ? 'stdin' : file)
  const client = connect(options, io)
  const planned = await client.tasks.submit(request, { ...(options.dryRun && { dryRun: true }) })
  if (!options.json) printLines(io, planLines(planned, { paint: paintFor(io), columns: columnsOf(io) }))
  if (options.dryRun || !(options.execute || request.execute)) {
    if (options.json) printJson(io, planned)
    else printLines(io, ['', options.dryRun ? 'nothing was stored (dry run)' : `start it with: baton execute ${planned.task_id} --follow`])
    return exitCodes.done
  }
  if (options.execute) await startTask(client, planned.task_id)
  if (!options.json) printLines(io, [''])
  const task = await followTask({ client, taskId: planned.task_id, io, show: options.json ? 'silent' : 'human' })
  if (options.json) printJson(io, task)
  else printLines(io, outcomeLines(task, io))
  return exitCodeOfStatus(task.status)
}

/** Whether what should be a file is the task itself, in words. */
function isSentence(file: string, error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return /\s/.test(file) && cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENAMETOOLONG')
}

function notAFile(words: string): BatonError {
  const [description] = words.match(/^.{0,200}/s) ?? []
  const example = JSON.stringify({ task_id: 'my-task-1', title: 'My task', description }).replaceAll("'", "'\\''")
  return new BatonError(
    'invalid_request',
    `there is no file of that name; a task in words is handed in as JSON, for instance: echo '${example}' | baton submit -`,
  )
}

/** The request in a text, or every mistake in it. Inputs, metadata and context stay byte for byte what they were. */
export function parseRequest(text: string, name: string): OrchestrateRequest {
  let value: unknown
  try {
    value = parseStrictJson(text, { rawKeys: rawRequestKeys })
  } catch (error) {
    if (error instanceof BatonError) throw new BatonError(error.code, `${name}: ${error.message}`, { cause: error })
    throw error
  }
  const parsed = orchestrateRequestSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const fields = zodIssues(parsed.error, value)
  throw new BatonError('invalid_request', `${name} is not a task that can be handed in:`, { fields })
}
