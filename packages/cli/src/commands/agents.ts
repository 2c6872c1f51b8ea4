/** `baton agents`. */
import type { AgentView } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Colour, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export async function agents(options: RemoteOptions, io: Io): Promise<ExitCode> {
  const list = await connect(options, io).agents.list()
  if (options.json) printJson(io, { agents: list })
  else printLines(io, agentLines(list, paintFor(io), columnsOf(io)))
  return exitCodes.done
}

const colours: Record<AgentView['health'], Colour> = { healthy: 'green', degraded: 'yellow', offline: 'red' }

export function agentLines(list: readonly AgentView[], paint: Paint, columns: number): string[] {
  if (list.length === 0) return ['no agents; declare some in baton.config.ts (`baton init` writes one) or start a worker that hosts them']
  const rows = list.map(agent => [
    agent.is_default ? `${agent.name} (default)` : agent.name,
    paint(colours[agent.health], agent.health),
    `${agent.load.active}/${agent.load.slots}`,
    String(agent.load.workers),
    agent.capabilities.join(', '),
    visible(agent.description),
  ])
  return tableLines(['agent', 'health', 'busy', 'workers', 'capabilities', 'description'], rows, columns)
}
