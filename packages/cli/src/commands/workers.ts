/** `baton workers`, `baton drain WORKER`. */
import { formatDuration, type WorkerView } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Colour, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export async function workers(options: RemoteOptions, io: Io): Promise<ExitCode> {
  const list = await connect(options, io).workers.list()
  if (options.json) printJson(io, { workers: list })
  else printLines(io, workerLines(list, { paint: paintFor(io), columns: columnsOf(io), now: Date.now() }))
  return exitCodes.done
}

export async function drain(workerId: string, options: RemoteOptions, io: Io): Promise<ExitCode> {
  const worker = await connect(options, io).workers.drain(workerId)
  if (options.json) printJson(io, worker)
  else
    printLines(io, [
      `${visible(worker.id)} is ${worker.state}${worker.state === 'stopped' ? '' : '; it ends by itself once what it has is finished'}`,
    ])
  return exitCodes.done
}

const colours: Record<WorkerView['state'], Colour> = { starting: 'blue', ready: 'green', draining: 'yellow', stopped: 'dim', lost: 'red' }

export function workerLines(
  list: readonly WorkerView[],
  { paint, columns, now }: { paint: Paint; columns: number; now: number },
): string[] {
  if (list.length === 0) return ['no workers; `baton worker` starts one, in local mode `baton up` is one']
  const rows = list.map(worker => [
    worker.id,
    paint(colours[worker.state] ?? 'bold', worker.state),
    `${worker.active}/${worker.concurrency}`,
    `${visible(worker.host)}:${worker.pid}`,
    worker.version,
    `${formatDuration(Math.max(0, now - Date.parse(worker.last_heartbeat_at)))} ago`,
    worker.agents.join(', '),
  ])
  return tableLines(['worker', 'state', 'busy', 'process', 'version', 'heard', 'agents'], rows, columns)
}
