/**
 * How well an agent is placed to do some work: five terms from 0 to 1, and their weighted sum. Pure.
 *
 * An agent that does not cover all that is needed, or that no live worker hosts, is not eligible, whatever its score.
 */

export const scoreWeights = { coverage: 0.2, health: 0.2, load: 0.25, sla_fit: 0.15, success: 0.2 } as const

export type ScoreTerm = keyof typeof scoreWeights
export type ScoreTerms = Readonly<Record<ScoreTerm, number>>

export interface Candidate {
  readonly agent: string
  readonly eligible: boolean
  readonly score: number
  readonly terms: ScoreTerms
  /** Of what is needed, what it does not offer. */
  readonly missing: readonly string[]
  /** Why it is not eligible; null: it is. */
  readonly why: string | null
}

/** How an agent did at a capability so far. */
export interface Measure {
  readonly attempts: number
  readonly successRate: number
  /** Null: nothing has completed yet. */
  readonly latencyMs: number | null
}

/** What is known beside the workers' own words. */
export interface Insight {
  measureOf(agent: string, capability: string): Measure | undefined
  /** How many jobs wait for this agent alone. */
  queuedFor(pool: string, agent: string): number
}

export const noInsight: Insight = { measureOf: () => undefined, queuedFor: () => 0 }

interface Needs {
  readonly pool: string
  readonly capability: string
  readonly requires: readonly string[]
  readonly agent: string | null
  /** How long an attempt may take; null: nobody says. */
  readonly slaMs: number | null
}

/** An agent on a worker. */
interface Host {
  readonly agent: string
  readonly capabilities: readonly string[]
  readonly concurrency: number
  readonly active: number
  readonly lagging?: boolean
  readonly sla_ms?: number | null
}

/** This many attempts count as much as the presumption that all goes well. */
const presumed = 5

/** Agents by their hosts, the best first; between equals, the first by name. */
export function scoreAgents(needs: Needs, hosts: readonly Host[], insight: Insight): Candidate[] {
  const groups = new Map<string, Host[]>()
  for (const host of hosts) groups.set(host.agent, [...(groups.get(host.agent) ?? []), host])
  return [...groups]
    .map(([agent, group]) => scoreAgent(needs, agent, group, insight))
    .sort((a, b) => Number(b.eligible) - Number(a.eligible) || b.score - a.score || (a.agent < b.agent ? -1 : 1))
}

function scoreAgent(needs: Needs, agent: string, hosts: readonly Host[], insight: Insight): Candidate {
  const offered = new Set(hosts.flatMap(host => host.capabilities))
  const wanted = [...new Set([needs.capability, ...needs.requires])]
  const offers = (capability: string) => offered.has(capability) || (needs.agent === capability && agent === needs.agent)
  const missing = wanted.filter(capability => !offers(capability))
  const live = hosts.some(host => host.concurrency > 0)
  const measure = insight.measureOf(agent, needs.capability)
  const slots = hosts.reduce((sum, host) => sum + host.concurrency, 0)
  const busy = hosts.reduce((sum, host) => sum + host.active, 0) + insight.queuedFor(needs.pool, agent)
  const terms: ScoreTerms = {
    coverage: (wanted.length - missing.length) / wanted.length,
    health: live
      ? hosts.filter(host => host.concurrency > 0 && !host.lagging).length / hosts.filter(host => host.concurrency > 0).length
      : 0,
    load: live ? 1 / (1 + busy / Math.max(1, slots)) : 0,
    sla_fit: slaFit(needs.slaMs, declaredSla(hosts), measure?.latencyMs ?? null),
    success: measure ? (measure.successRate * measure.attempts + presumed) / (measure.attempts + presumed) : 1,
  }
  const score = (Object.keys(scoreWeights) as ScoreTerm[]).reduce((sum, term) => sum + scoreWeights[term] * terms[term], 0)
  const why = whyNot({ agent, pinned: needs.agent, missing, live })
  return { agent, eligible: why === null, score, terms, missing, why }
}

function whyNot(of: { agent: string; pinned: string | null; missing: readonly string[]; live: boolean }): string | null {
  const reasons = [
    of.missing.length > 0 && `it does not offer ${of.missing.map(name => `\`${name}\``).join(', ')}`,
    of.pinned !== null && of.pinned !== of.agent && `the work is pinned to \`${of.pinned}\``,
    !of.live && 'no worker that takes work hosts it at present',
  ].filter(reason => reason !== false)
  return reasons.length === 0 ? null : reasons.join('; ')
}

/** Whether it is expected to be in time: by what was measured, else by what it says itself. */
function slaFit(neededMs: number | null, declaredMs: number | null, latencyMs: number | null): number {
  const allowed = neededMs ?? declaredMs
  const expected = latencyMs ?? declaredMs
  if (allowed === null || expected === null || expected <= allowed) return 1
  return allowed / expected
}

/** The longest that its hosts say. */
function declaredSla(hosts: readonly Host[]): number | null {
  const said = hosts.flatMap(host => host.sla_ms ?? [])
  return said.length === 0 ? null : Math.max(...said)
}
