/** `baton events [TASK]`: what happens, a line for each event. */
import { BatonError, type EventView } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { outageNotes } from '../output/outage.js'
import { printJson, printLines } from '../output/print.js'
import { type Paint, paintFor } from '../output/style.js'
import { visible } from '../output/text.js'

interface EventsOptions extends RemoteOptions {
  readonly names?: string
  readonly after?: string
}

export async function events(taskId: string | undefined, options: EventsOptions, io: Io): Promise<ExitCode> {
  const { after } = options
  if (after !== undefined && !/^\d{1,20}-\d{1,19}$/.test(after))
    throw new BatonError('invalid_request', `--after takes the id of an event, such as 1234-56, not ${JSON.stringify(after)}`)
  const client = connect(options, io)
  const how = {
    ...(options.names !== undefined && { names: options.names.split(',').map(name => name.trim()) }),
    ...(after !== undefined && { after }),
    ...outageNotes(io, client.url),
    signal: io.interruption(),
  }
  const paint = paintFor(io)
  const told = taskId === undefined ? client.events.follow(how) : client.tasks.events(taskId, how)
  for await (const event of told)
    if (options.json) printJson(io, event)
    else printLines(io, [eventLine(event, paint)])
  return exitCodes.done
}

export function eventLine({ id, at, name, task_id, subtask, attempt, agent, worker_id, data }: EventView, paint: Paint): string {
  // What is about no task is mostly about a worker: without its id `worker.lost` would not say which.
  const who = [task_id ?? worker_id, subtask, attempt === null ? null : `#${attempt}`, agent === null ? null : `(${agent})`].filter(
    part => part !== null,
  )
  const about = who.length === 0 ? '' : ` ${visible(who.join(' '))}`
  const what = data === null ? '' : ` ${visible(JSON.stringify(data))}`
  return `${paint('dim', `${at} ${id}`)} ${paint(name.startsWith('alert.') ? 'yellow' : 'bold', name)}${about}${paint('dim', what)}`
}
