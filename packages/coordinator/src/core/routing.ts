/**
 * Brokerage: which queue a route's jobs go to. Pure; the dispatcher feeds it with the live providers.
 *
 * If every provider of the capability may do the work, the capability's own queue gets it and any worker takes it: late
 * binding, the load balances itself. If only some may (further tags, a pinned agent), the best of them gets it on its
 * own queue (core/score.ts says which is best).
 */
import { type QueueKey, queueName } from '@baton/shared'
import { type Candidate, type Insight, noInsight, scoreAgents } from './score.js'

export interface ProviderLoad {
  readonly pool: string
  readonly agent: string
  readonly capabilities: readonly string[]
  readonly concurrency: number
  readonly active: number
  /** Its worker's event loop is held up. */
  readonly lagging?: boolean
  /** How long one of its attempts may take, as it says itself. */
  readonly sla_ms?: number | null
}

export interface RouteNeeds {
  readonly pool: string
  readonly capability: string
  readonly requires: readonly string[]
  readonly agent: string | null
}

export interface Resolution {
  readonly queue: string
  readonly key: QueueKey
  /** Slots of the live consumers of that queue, and how many are free. */
  readonly slots: number
  readonly free: number
  /** Attempts that these slots start in a second when all are busy; null while it is not known how long some of them take. */
  readonly startsPerSecond: number | null
}

function offeringFor<P extends ProviderLoad>(route: RouteNeeds, providers: readonly P[]): P[] {
  return providers.filter(
    p =>
      p.pool === route.pool && (p.capabilities.includes(route.capability) || (route.agent === route.capability && p.agent === route.agent)),
  )
}

/** The live agents that may do the work of a route. */
export function eligibleFor<P extends ProviderLoad>(route: RouteNeeds, providers: readonly P[]): P[] {
  return offeringFor(route, providers).filter(
    p => (route.agent === null || p.agent === route.agent) && route.requires.every(r => p.capabilities.includes(r)),
  )
}

/** The queue for a route, or undefined when no live agent may do the work. */
export function resolveRoute(
  route: RouteNeeds,
  providers: readonly ProviderLoad[],
  insight: Insight = noInsight,
  slaMs: number | null = null,
): Resolution | undefined {
  const offering = offeringFor(route, providers)
  const eligible = eligibleFor(route, providers)
  if (eligible.length === 0) return undefined
  if (route.agent === null && eligible.length === offering.length)
    return resolution(route, { kind: 'capability', name: route.capability }, eligible, insight)
  const [best] = scoreAgents({ ...route, slaMs }, eligible, insight)
  return best && resolution(route, { kind: 'agent', name: best.agent }, groupByAgent(eligible).get(best.agent) ?? [], insight)
}

/** Every agent of the pool that covers some of what a route needs, the best first. */
export function candidatesFor(
  route: RouteNeeds & { readonly slaMs: number | null },
  providers: readonly ProviderLoad[],
  insight: Insight,
): Candidate[] {
  return scoreAgents(
    route,
    providers.filter(p => p.pool === route.pool),
    insight,
  ).filter(candidate => candidate.terms.coverage > 0)
}

function capacity(providers: readonly ProviderLoad[]): { slots: number; free: number } {
  return {
    slots: providers.reduce((sum, p) => sum + p.concurrency, 0),
    free: providers.reduce((sum, p) => sum + Math.max(0, p.concurrency - p.active), 0),
  }
}

function resolution(route: RouteNeeds, key: QueueKey, providers: readonly ProviderLoad[], insight: Insight): Resolution {
  const { pool, capability } = route
  return { queue: queueName(pool, key), key, ...capacity(providers), startsPerSecond: startsPerSecond(capability, providers, insight) }
}

function startsPerSecond(capability: string, providers: readonly ProviderLoad[], insight: Insight): number | null {
  let starts = 0
  for (const { agent, concurrency } of providers) {
    const latencyMs = insight.measureOf(agent, capability)?.latencyMs ?? null
    if (latencyMs === null) return null
    starts += (concurrency * 1_000) / Math.max(1, latencyMs)
  }
  return starts
}

function groupByAgent<P extends { readonly agent: string }>(providers: readonly P[]): Map<string, P[]> {
  const groups = new Map<string, P[]>()
  for (const provider of providers) {
    const group = groups.get(provider.agent)
    if (group) group.push(provider)
    else groups.set(provider.agent, [provider])
  }
  return groups
}

/**
 * How many jobs a queue may hold: as many as there are free slots, and what the others start within a second; two rounds of
 * its live concurrency at most, and while it is not known how long an attempt takes. Enough that no slot waits for the
 * dispatcher, little enough that what is urgent does not wait behind what is not.
 */
export function queueLimit({ slots, free, startsPerSecond }: Pick<Resolution, 'slots' | 'free' | 'startsPerSecond'>): number {
  const rounds = Math.max(1, 2 * slots)
  if (startsPerSecond === null) return rounds
  return Math.min(rounds, Math.max(0, free) + Math.max(1, Math.ceil(startsPerSecond)))
}
