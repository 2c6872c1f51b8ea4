/**
 * `baton cancel TASK [SUBTASK]`, `baton retry|release TASK SUBTASK`, `baton reassign TASK SUBTASK AGENT`,
 * `baton rerun TASK SUBTASK...`. A subtask is meant by its name or by its id.
 */
import type { Client, SubtaskStanding } from '@baton/client'
import { BatonError } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { readJson } from '../input.js'
import type { Io } from '../io.js'
import { printJson, printLines } from '../output/print.js'
import { visible } from '../output/text.js'
import { control } from './control.js'

interface VerbOptions extends RemoteOptions {
  readonly reason?: string
}

interface RerunOptions extends VerbOptions {
  readonly input?: string
}

export async function cancel(taskId: string, subtask: string | undefined, options: VerbOptions, io: Io): Promise<ExitCode> {
  if (subtask === undefined) return control('cancel', taskId, options, io)
  return tell(taskId, subtask, options, io, (client, id) => client.tasks.cancelSubtask(taskId, id, why(options)))
}

export async function retry(taskId: string, subtask: string, options: VerbOptions, io: Io): Promise<ExitCode> {
  return tell(taskId, subtask, options, io, (client, id) => client.tasks.retrySubtask(taskId, id, why(options)))
}

export async function reassign(taskId: string, subtask: string, agent: string, options: VerbOptions, io: Io): Promise<ExitCode> {
  return tell(taskId, subtask, options, io, (client, id) => client.tasks.reassignSubtask(taskId, id, { agent, ...why(options) }))
}

export async function release(taskId: string, subtask: string, options: RemoteOptions, io: Io): Promise<ExitCode> {
  return tell(taskId, subtask, options, io, (client, id) => client.tasks.release(taskId, id))
}

export async function rerun(taskId: string, subtasks: readonly string[], options: RerunOptions, io: Io): Promise<ExitCode> {
  const input = options.input === undefined ? {} : { input: await readJson(options.input, io) }
  const task = await connect(options, io).tasks.rerun(taskId, { from: [...subtasks], ...input, ...why(options) })
  const many = task.subtasks === 1 ? '1 subtask runs' : `${task.subtasks} subtasks run`
  if (options.json) printJson(io, task)
  else
    printLines(io, [
      `${many} again; ${task.task_id} is ${task.status.replaceAll('_', ' ')}`,
      `follow it with: baton status ${task.task_id} --watch`,
    ])
  return exitCodes.done
}

const why = ({ reason }: VerbOptions) => (reason === undefined ? {} : { reason })

async function tell(
  taskId: string,
  subtask: string,
  options: RemoteOptions,
  io: Io,
  verb: (client: Client, subtaskId: string) => Promise<SubtaskStanding>,
): Promise<ExitCode> {
  const client = connect(options, io)
  const standing = await verb(client, await idOf(client, taskId, subtask))
  if (options.json) printJson(io, standing)
  else printLines(io, [`${visible(standing.subtask_id)} is ${standing.state.replaceAll('_', ' ')}`])
  return exitCodes.done
}

/** Ids hold `::`, names never do. */
async function idOf(client: Client, taskId: string, subtask: string): Promise<string> {
  if (subtask.includes('::')) return subtask
  for await (const { name, subtask_id } of client.tasks.subtasks(taskId)) if (name === subtask) return subtask_id
  throw new BatonError('subtask_not_found', `task ${taskId} has no subtask ${subtask}`)
}
