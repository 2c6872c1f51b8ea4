/** `baton cancel TASK`, `baton pause|resume TASK|--orchestrator ID|--all`. */
import { BatonError } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { printJson, printLines } from '../output/print.js'
import { visible } from '../output/text.js'

interface ControlOptions extends RemoteOptions {
  readonly reason?: string
}

interface PauseOptions extends ControlOptions {
  readonly orchestrator?: string
  readonly all?: boolean
}

const next = {
  cancel: () => [],
  pause: (what: string) => [`let it go on with: baton resume ${what}`],
  resume: (taskId: string) => [`follow it with: baton status ${taskId} --watch`],
} as const

export async function control(verb: keyof typeof next, taskId: string, options: ControlOptions, io: Io): Promise<ExitCode> {
  const task = await connect(options, io).tasks[verb](taskId, reasonOf(options))
  if (options.json) printJson(io, task)
  else printLines(io, [`${task.task_id} is ${task.status.replaceAll('_', ' ')}`, ...next[verb](task.task_id)])
  return exitCodes.done
}

/** Pauses or resumes exactly one thing: a task, an orchestrator, or everything. */
export async function pauseOrResume(
  verb: 'pause' | 'resume',
  taskId: string | undefined,
  options: PauseOptions,
  io: Io,
): Promise<ExitCode> {
  const { orchestrator, all = false } = options
  if ([taskId !== undefined, orchestrator !== undefined, all].filter(Boolean).length !== 1)
    throw new BatonError('invalid_configuration', `say what to ${verb}: a task, --orchestrator ID, or --all`)
  if (taskId !== undefined) return control(verb, taskId, options, io)
  if (orchestrator !== undefined) return setOrchestrator(verb, orchestrator, options, io)
  const system = await connect(options, io)[verb](reasonOf(options))
  if (options.json) printJson(io, system)
  else if (system.paused)
    printLines(io, [`everything is paused since ${system.since} by ${visible(system.by ?? '')}`, ...next.pause('--all')])
  else printLines(io, ['nothing is paused but what is paused by itself'])
  return exitCodes.done
}

async function setOrchestrator(verb: 'pause' | 'resume', id: string, options: PauseOptions, io: Io): Promise<ExitCode> {
  const client = connect(options, io)
  const orchestrator = await client.orchestrators.setStatus(id, verb === 'pause' ? 'paused' : 'running', reasonOf(options))
  if (options.json) printJson(io, orchestrator)
  else
    printLines(io, [
      `orchestrator ${orchestrator.id} is ${orchestrator.status}`,
      ...(verb === 'pause' ? next.pause(`--orchestrator ${orchestrator.id}`) : []),
    ])
  return exitCodes.done
}

function reasonOf({ reason }: ControlOptions): { reason?: string } {
  return reason === undefined ? {} : { reason }
}
