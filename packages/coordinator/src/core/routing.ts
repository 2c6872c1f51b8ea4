/**
 * Brokerage: which queue a route's jobs go to. Pure; the dispatcher feeds it with the live providers.
 *
 * If every provider of the capability may do the work, the capability's own queue gets it and any worker takes it: late
 * binding, the load balances itself. If only some may (further tags, a pinned agent), the best of them gets it on its
 * own queue.
 */
import { type QueueKey, queueName } from '@baton/shared'

export interface ProviderLoad {
  readonly pool: string
  readonly agent: string
  readonly capabilities: readonly string[]
  readonly concurrency: number
  readonly active: number
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
export function resolveRoute(route: RouteNeeds, providers: readonly ProviderLoad[]): Resolution | undefined {
  const offering = offeringFor(route, providers)
  const eligible = eligibleFor(route, providers)
  if (eligible.length === 0) return undefined
  if (route.agent === null && eligible.length === offering.length)
    return resolution(route.pool, { kind: 'capability', name: route.capability }, eligible)
  const best = [...groupByAgent(eligible).entries()].sort(([nameA, a], [nameB, b]) => score(b) - score(a) || (nameA < nameB ? -1 : 1))[0]
  return best && resolution(route.pool, { kind: 'agent', name: best[0] }, best[1])
}

/** Free share of an agent's slots: the less loaded wins. */
function score(providers: readonly ProviderLoad[]): number {
  const { slots, free } = capacity(providers)
  return free / Math.max(1, slots)
}

function capacity(providers: readonly ProviderLoad[]): { slots: number; free: number } {
  return {
    slots: providers.reduce((sum, p) => sum + p.concurrency, 0),
    free: providers.reduce((sum, p) => sum + Math.max(0, p.concurrency - p.active), 0),
  }
}

function resolution(pool: string, key: QueueKey, providers: readonly ProviderLoad[]): Resolution {
  return { queue: queueName(pool, key), key, ...capacity(providers) }
}

function groupByAgent(providers: readonly ProviderLoad[]): Map<string, ProviderLoad[]> {
  const groups = new Map<string, ProviderLoad[]>()
  for (const provider of providers) groups.set(provider.agent, [...(groups.get(provider.agent) ?? []), provider])
  return groups
}

/**
 * How many jobs a queue may hold: two rounds of its live concurrency. Enough that no slot waits for the dispatcher,
 * little enough that what is urgent does not wait behind what is not.
 */
export function queueLimit(slots: number): number {
  return Math.max(1, 2 * slots)
}
