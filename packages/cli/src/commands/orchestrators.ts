/** `baton orchestrators`, `baton pause|resume --orchestrator ID`. */
import { limitsOf, type OrchestratorStatus, type OrchestratorView } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Colour, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export async function orchestrators(options: RemoteOptions, io: Io): Promise<ExitCode> {
  const client = connect(options, io)
  const found: OrchestratorView[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof client.orchestrators.list>> = await client.orchestrators.list({
      limit: 1_000,
      ...(cursor !== null && { cursor }),
    })
    found.push(...page.orchestrators)
    cursor = page.next_cursor
  } while (cursor !== null)
  if (options.json) printJson(io, { orchestrators: found })
  else printLines(io, orchestratorLines(found, paintFor(io), columnsOf(io)))
  return exitCodes.done
}

const colours: Record<OrchestratorStatus, Colour> = { running: 'green', idle: 'dim', paused: 'yellow' }

export function orchestratorLines(list: readonly OrchestratorView[], paint: Paint, columns: number): string[] {
  const rows = list.map(one => [
    one.id,
    visible(one.name),
    paint(colours[one.status], one.status),
    one.default_worker_agent_id ?? '',
    Object.entries(limitsOf((one.metadata ?? {}) as Record<string, unknown>)) // an object, by the server's schema
      .flatMap(([name, limit]) => (limit === null ? [] : [`${name}=${limit}`]))
      .join(' '),
  ])
  return tableLines(['orchestrator', 'name', 'status', 'default worker', 'limits'], rows, columns)
}
