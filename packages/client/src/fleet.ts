/** Who can do work, and how the coordinator is. */
import type { AgentMatch, AgentView, MatchRequest, WorkerView } from '@baton/shared'
import type { Http } from './http.js'

export interface Agents {
  /** Every agent that is declared or hosted. */
  list(filters?: { domain?: string; capability?: string; health?: AgentView['health'] }): Promise<AgentView[]>
  /** Which agent a subtask with these needs would go to now, and how every agent is placed. Throws `invalid_request`. */
  match(needs: MatchRequest): Promise<AgentMatch>
}

export interface Workers {
  /** Every worker that the coordinator remembers, lost ones included. */
  list(): Promise<WorkerView[]>
  /** Throws `worker_not_found`. */
  get(id: string): Promise<WorkerView>
  /** Asks it to take no more work, to finish what it has, and to end. Throws `worker_not_found`, `state_conflict` when it has ended. */
  drain(id: string): Promise<{ id: string; state: WorkerView['state'] }>
}

export interface Health {
  /** Whether it takes requests now. */
  readonly ready: boolean
  /** What each store says: `ok`, or the problem. */
  readonly checks: Readonly<Record<string, string>>
  readonly version: string
  readonly mode: 'local' | 'fleet'
}

export function agentsOf(http: Http): Agents {
  return {
    list: (filters = {}) => everyPage<AgentView>(http, 'agents', filters),
    match: needs => http.json({ method: 'POST', path: ['agents', 'match'], body: needs }),
  }
}

export function workersOf(http: Http): Workers {
  return {
    list: () => everyPage<WorkerView>(http, 'workers', {}),
    get: id => http.json({ method: 'GET', path: ['workers', id] }),
    drain: id => http.json({ method: 'POST', path: ['workers', id, 'drain'] }),
  }
}

export async function healthOf(http: Http): Promise<Health> {
  const [live, ready] = await Promise.all([
    http.json<{ version: string; mode: 'local' | 'fleet' }>({ method: 'GET', path: ['healthz'] }),
    // Not being ready is an answer here, and no error.
    http.json<{ status: unknown; checks?: Record<string, string> }>({ method: 'GET', path: ['readyz'], accept: [503] }),
  ])
  return { ready: ready.status === 'ready', checks: ready.checks ?? {}, version: live.version, mode: live.mode }
}

async function everyPage<T>(http: Http, plural: string, query: Record<string, string | undefined>): Promise<T[]> {
  const all: T[] = []
  let cursor: string | undefined
  do {
    const page = await http.json<Record<string, unknown>>({ method: 'GET', path: [plural], query: { ...query, cursor } })
    all.push(...(page[plural] as T[])) // the list stands under its plural in every answer of this API
    cursor = typeof page.next_cursor === 'string' ? page.next_cursor : undefined
  } while (cursor !== undefined)
  return all
}
