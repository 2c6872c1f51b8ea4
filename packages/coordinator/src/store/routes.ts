/** Routes: what subtasks need, interned. A few rows, cached for good (a route never changes). */
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

export interface RouteSpec {
  readonly pool: string
  readonly capability: string
  readonly requires: readonly string[]
  readonly agent: string | null
}

export interface Route extends RouteSpec {
  readonly id: number
}

const intern = prepared(
  'intern_routes',
  `
with wanted as (
  select distinct on (key) * from json_to_recordset($1::json) as r(pool text, capability text, requires text[], agent text, key text) order by key
),
added as (
  insert into routes (pool, capability, requires, agent, key)
  select pool, capability, coalesce(requires, '{}'), agent, key from wanted w
  where not exists (select from routes r where r.key = w.key)
  on conflict (key) do nothing
  returning id, key
)
select r.id, r.key from routes r join wanted w on w.key = r.key
union
select id, key from added`,
)

const all = prepared('read_routes', 'select id, pool, capability, requires, agent from routes where id > $1 order by id')

export class Routes {
  private readonly db: Queryable
  private readonly ids = new Map<string, number>()
  private readonly byId = new Map<number, Route>()
  private newest = 0

  constructor(db: Queryable) {
    this.db = db
  }

  /** The ids of routes, making those that are not there. */
  async intern(specs: readonly RouteSpec[]): Promise<number[]> {
    const keys = specs.map(keyOf)
    const missing = [...new Map(specs.map((spec, i) => [keys[i] as string, spec])).entries()].filter(([key]) => !this.ids.has(key))
    if (missing.length > 0) {
      const wanted = JSON.stringify(missing.map(([key, spec]) => ({ ...spec, key })))
      // A route that another coordinator is inserting right now is neither inserted nor seen: the second look finds it.
      for (let look = 0; look < 3 && missing.some(([key]) => !this.ids.has(key)); look++)
        for (const { id, key } of (await this.db.query<{ id: number; key: string }>(intern, [wanted])).rows) this.ids.set(key, id)
      for (const [key, spec] of missing) {
        const id = this.ids.get(key)
        if (id !== undefined) this.byId.set(id, { id, ...spec })
      }
    }
    return keys.map(key => {
      const id = this.ids.get(key)
      if (id === undefined) throw new Error(`route ${key} could not be stored`)
      return id
    })
  }

  /** The routes that were interned or read so far. */
  get known(): ReadonlyMap<number, Route> {
    return this.byId
  }

  /** Reads the routes that others added. */
  async read(): Promise<void> {
    // Ids are drawn before commit, so a lower one may become visible later: look a little way back.
    const { rows } = await this.db.query<Route>(all, [Math.max(0, this.newest - 100)])
    for (const route of rows) {
      this.byId.set(route.id, route)
      this.newest = Math.max(this.newest, route.id)
    }
  }
}

function keyOf({ pool, capability, requires, agent }: RouteSpec): string {
  return JSON.stringify([pool, capability, [...requires].sort(), agent])
}
