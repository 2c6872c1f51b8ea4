/** `baton agents`, `baton match`. */
import { type AgentMatch, type AgentView, BatonError, type MatchRequest, parseDuration } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Colour, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

interface AgentsOptions extends RemoteOptions {
  readonly domain?: string
  readonly capability?: string
  readonly health?: AgentView['health']
}

export async function agents({ domain, capability, health, ...options }: AgentsOptions, io: Io): Promise<ExitCode> {
  const filters = { ...(domain && { domain }), ...(capability && { capability }), ...(health && { health }) }
  const list = await connect(options, io).agents.list(filters)
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
    successOf(agent),
    latencyOf(agent),
    String(agent.load.workers),
    agent.capabilities.join(', '),
    visible(agent.description),
  ])
  return tableLines(['agent', 'health', 'busy', 'success', 'takes', 'workers', 'capabilities', 'description'], rows, columns)
}

/** Over its capabilities, by how much it worked at each. Nothing is measured by coordinators older than that. */
function overall(measured: AgentView['measured'], value: (of: AgentView['measured'][number]) => number | null): number | undefined {
  const known = measured.flatMap(of => {
    const one = value(of)
    return one === null ? [] : [{ one, weight: of.attempts }]
  })
  const weights = known.reduce((sum, { weight }) => sum + weight, 0)
  return weights === 0 ? undefined : known.reduce((sum, { one, weight }) => sum + one * weight, 0) / weights
}

function successOf({ measured = [] }: AgentView): string {
  const rate = overall(measured, of => of.success_rate)
  return rate === undefined ? '' : `${Math.floor(rate * 100)} %`
}

function latencyOf({ measured = [] }: AgentView): string {
  const ms = overall(measured, of => of.latency_ms)
  if (ms === undefined) return ''
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`
}

interface MatchOptions extends RemoteOptions {
  readonly agent?: string
  readonly requires?: readonly string[]
  readonly sla?: string
}

export async function match(capability: string | undefined, { agent, requires, sla, ...options }: MatchOptions, io: Io): Promise<ExitCode> {
  const needs: MatchRequest = {
    ...(capability !== undefined && { capability }),
    ...(agent !== undefined && { agent }),
    ...(requires !== undefined && { requires: [...requires] }),
    ...(sla !== undefined && { sla_seconds: secondsOf(sla) }),
  }
  const found = await connect(options, io).agents.match(needs)
  if (options.json) printJson(io, found)
  else printLines(io, matchLines(found, paintFor(io), columnsOf(io)))
  return found.agent === null ? exitCodes.needsSomebody : exitCodes.done
}

function secondsOf(sla: string): number {
  const ms = parseDuration(sla)
  if (ms === undefined) throw new BatonError('invalid_request', '--sla must be a duration, such as 90s or 10m')
  return ms / 1_000
}

function matchLines({ agent, why, candidates }: AgentMatch, paint: Paint, columns: number): string[] {
  const head = agent === null ? paint('yellow', `nobody: ${visible(why)}`) : `${paint('bold', agent)}: ${visible(why)}`
  if (candidates.length === 0) return [head]
  const rows = candidates.map(({ agent: name, score, terms, why: whyNot }) => [
    name,
    score.toFixed(2),
    ...[terms.coverage, terms.health, terms.load, terms.sla_fit, terms.success].map(term => term.toFixed(2)),
    visible(whyNot ?? ''),
  ])
  return [head, '', ...tableLines(['agent', 'score', 'coverage', 'health', 'load', 'SLA', 'success', ''], rows, columns)]
}
