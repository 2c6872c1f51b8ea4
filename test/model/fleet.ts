/**
 * The fleet of every history: small, and rich enough that a claim can be of the wrong worker. Two agents share a
 * capability, one of them has another beside it, and routes ask for each combination.
 */
import type { Room } from '../../packages/coordinator/src/store/room.js'
import type { RouteSpec } from '../../packages/coordinator/src/store/routes.js'

export const pool = 'shared'

/** As they are stored: the first comes with the database. */
export const orchestratorNumbers: Readonly<Record<string, number>> = { default: 1, other: 2 }

export const agents = {
  ann: { capabilities: ['alpha'] },
  bob: { capabilities: ['alpha', 'beta'] },
} as const satisfies Record<string, { capabilities: readonly string[] }>
export type AgentName = keyof typeof agents
export const agentNames = Object.keys(agents) as AgentName[] // its keys are the names

export const workers = {
  w1: ['ann', 'bob'],
  w2: ['bob'],
} as const satisfies Record<string, readonly AgentName[]>
export type WorkerName = keyof typeof workers
export const workerNames = Object.keys(workers) as WorkerName[] // as above

/** Their ids are their places in this list, from 1. */
export const routes = {
  alpha: { pool, capability: 'alpha', requires: [], agent: null },
  beta: { pool, capability: 'beta', requires: [], agent: null },
  both: { pool, capability: 'alpha', requires: ['beta'], agent: null },
  ann: { pool, capability: 'ann', requires: [], agent: 'ann' },
  bob: { pool, capability: 'bob', requires: [], agent: 'bob' },
} as const satisfies Record<string, RouteSpec>
export type RouteName = keyof typeof routes
export const routeNames = Object.keys(routes) as RouteName[] // as above

export const routeId = (route: RouteName): number => routeNames.indexOf(route) + 1
export const queueOf = (route: RouteName): string => `q.${route}`

/** How many more jobs the queue of each route takes; routes that are left out take none. */
export type Rooms = Readonly<Partial<Record<RouteName, number>>>

export const roomOf = (rooms: Rooms): Room =>
  routeNames.flatMap(route => {
    const room = rooms[route] ?? 0
    return room > 0 ? [{ route_id: routeId(route), queue: queueOf(route), room }] : []
  })

/** Whether an agent on a worker may take work of a route. */
export function isEligible(worker: WorkerName, agent: AgentName, route: RouteName): boolean {
  const hosted: readonly AgentName[] = workers[worker]
  const offered: readonly string[] = agents[agent].capabilities
  const { capability, requires, agent: pinned }: RouteSpec = routes[route]
  return (
    hosted.includes(agent) &&
    (pinned === null || pinned === agent) &&
    (offered.includes(capability) || capability === pinned) &&
    requires.every(tag => offered.includes(tag))
  )
}
