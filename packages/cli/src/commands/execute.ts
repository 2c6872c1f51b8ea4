/** `baton execute TASK`. */
import { BatonError, type ExecuteRequest } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodeOfStatus, exitCodes } from '../exit-codes.js'
import { followTask, outcomeLines, startTask } from '../follow.js'
import type { Io } from '../io.js'
import { printJson, printLines } from '../output/print.js'

interface ExecuteOptions extends RemoteOptions {
  readonly follow?: boolean
  readonly manual?: boolean
  readonly auto?: boolean
}

export async function execute(taskId: string, options: ExecuteOptions, io: Io): Promise<ExitCode> {
  if (options.manual && options.auto) throw new BatonError('invalid_request', '--manual and --auto exclude each other')
  const client = connect(options, io)
  const mode = options.manual ? 'manual' : options.auto ? 'auto' : undefined
  const request: ExecuteRequest = mode ? { execution_mode: mode } : {}
  if (options.follow) {
    await startTask(client, taskId, request)
    const task = await followTask({ client, taskId, io, show: options.json ? 'silent' : 'human' })
    if (options.json) printJson(io, task)
    else printLines(io, outcomeLines(task, io))
    return exitCodeOfStatus(task.status)
  }
  const started = await client.tasks.execute(taskId, request)
  if (options.json) printJson(io, started)
  else
    printLines(io, [
      `${started.task_id} is ${started.status.replaceAll('_', ' ')}`,
      `follow it with: baton status ${started.task_id} --watch`,
    ])
  return exitCodes.done
}
