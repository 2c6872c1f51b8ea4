/** `baton cancel|pause|resume TASK`. */
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { printJson, printLines } from '../output/print.js'

interface ControlOptions extends RemoteOptions {
  readonly reason?: string
}

const next = {
  cancel: () => [],
  pause: (taskId: string) => [`let it go on with: baton resume ${taskId}`],
  resume: (taskId: string) => [`follow it with: baton status ${taskId} --watch`],
} as const

export async function control(verb: keyof typeof next, taskId: string, options: ControlOptions, io: Io): Promise<ExitCode> {
  const { reason } = options
  const task = await connect(options, io).tasks[verb](taskId, reason === undefined ? {} : { reason })
  if (options.json) printJson(io, task)
  else printLines(io, [`${task.task_id} is ${task.status.replaceAll('_', ' ')}`, ...next[verb](task.task_id)])
  return exitCodes.done
}
