/** Who does the work: the agents as they are, and which of them would get some. */
import type { AgentMatch, AgentView, MatchRequest } from '@baton/shared'
import type { Resolution, RouteNeeds } from '../core/routing.js'
import type { Candidate } from '../core/score.js'
import type { Queryable } from '../store/database.js'
import { readMeasures } from '../store/measures.js'
import { type AgentRow, listAgents } from '../store/read-lists.js'
import type { Caller } from './api.js'

interface DeclaredAgent {
  readonly agent: string
  readonly capabilities: readonly string[]
}

interface BrokerageOptions {
  readonly database: Queryable
  readonly pool: string
  readonly fleet: {
    refresh(): Promise<void>
    queuedAt(agent: string, capabilities: readonly string[]): number
    match(
      needs: RouteNeeds & { readonly slaMs: number | null },
      declared: readonly DeclaredAgent[],
    ): { resolution: Resolution | undefined; candidates: Candidate[] }
  }
}

const maxCandidates = 100

export function createBrokerage({ database, pool, fleet }: BrokerageOptions) {
  return {
    async agents(caller: Caller, filters: { domain?: string; capability?: string; health?: string }): Promise<AgentView[]> {
      const [rows, measures] = await Promise.all([listAgents(database, caller.tenantId), readMeasures(database, caller.tenantId)])
      const measured = new Map<string, AgentView['measured']>()
      for (const { agent, capability, attempts, success_rate, latency_ms } of measures) {
        const one = {
          capability,
          attempts,
          success_rate: round(success_rate, 4),
          latency_ms: latency_ms === null ? null : round(latency_ms, 1),
        }
        measured.set(agent, [...(measured.get(agent) ?? []), one])
      }
      return rows
        .map(row => viewOf(row, fleet.queuedAt(row.name, row.capabilities), measured.get(row.name) ?? []))
        .filter(
          a =>
            (filters.domain === undefined || a.domain === filters.domain) &&
            (filters.capability === undefined || a.capabilities.includes(filters.capability)) &&
            (filters.health === undefined || a.health === filters.health),
        )
    },

    /** Which agent a subtask with these needs would go to now. */
    async matchAgents(caller: Caller, { capability, agent, requires, sla_seconds }: MatchRequest): Promise<AgentMatch> {
      const [declared] = await Promise.all([listAgents(database, caller.tenantId), fleet.refresh()])
      const needs = {
        pool,
        capability: capability ?? agent ?? '', // one of them is given
        requires: requires ?? [],
        agent: agent ?? null,
        slaMs: sla_seconds === undefined ? null : sla_seconds * 1_000,
      }
      const known = declared.map(row => ({ agent: row.name, capabilities: row.capabilities }))
      const { resolution, candidates } = fleet.match(needs, known)
      const [best] = candidates
      return {
        agent: resolution && best?.eligible ? best.agent : null,
        queue: resolution ? { kind: resolution.key.kind, name: resolution.key.name } : null,
        why: whyMatched(needs, resolution, candidates),
        candidates: candidates.slice(0, maxCandidates).map(({ agent, eligible, score, terms, missing, why }) => ({
          agent,
          eligible,
          score: round(score, 4),
          terms: {
            coverage: round(terms.coverage, 4),
            health: round(terms.health, 4),
            load: round(terms.load, 4),
            sla_fit: round(terms.sla_fit, 4),
            success: round(terms.success, 4),
          },
          missing: [...missing],
          why,
        })),
      }
    },
  }
}
export type Brokerage = ReturnType<typeof createBrokerage>

function whyMatched(needs: RouteNeeds, resolution: Resolution | undefined, candidates: readonly Candidate[]): string {
  const wanted = [needs.capability, ...needs.requires].map(name => `\`${name}\``).join(', ')
  if (!resolution)
    return needs.agent === null ? `no live agent offers ${wanted}` : `agent \`${needs.agent}\` is not live, or does not offer ${wanted}`
  if (needs.agent !== null) return `it is pinned to \`${needs.agent}\``
  const eligible = candidates.filter(c => c.eligible)
  const best = `\`${eligible[0]?.agent}\``
  if (eligible.length === 1) return `${best} alone offers ${wanted}`
  return resolution.key.kind === 'agent'
    ? `${best} has the best score of those that offer ${wanted}`
    : `every live agent that offers ${wanted} may take it: whichever has a slot first, and ${best} is placed best`
}

function viewOf(row: AgentRow, queued: number, measured: AgentView['measured']): AgentView {
  return {
    name: row.name,
    description: row.description,
    skills: row.skills,
    capabilities: row.capabilities,
    domain: row.domain,
    health: row.workers === 0 ? 'offline' : row.lagging > 0 ? 'degraded' : 'healthy',
    is_default: row.is_default,
    sla_seconds: row.sla_ms === null ? null : row.sla_ms / 1_000,
    load: { active: row.active, slots: row.slots, workers: row.workers, queued },
    measured: measured.sort((a, b) => (a.capability < b.capability ? -1 : 1)),
  }
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
