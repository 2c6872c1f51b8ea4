/**
 * The seam to Postgres: a structural subset of what a pool of connections offers, so that PostgreSQL and PGlite can
 * stand behind it. bigint comes back as text, timestamps as Date, json parsed.
 */
import { BatonError } from '@baton/shared'

/** One SQL statement. A named one is prepared once per connection. */
export interface Statement {
  readonly name?: string
  readonly text: string
  /** May take as long as it takes; others count as unanswered after some seconds. */
  readonly patient?: boolean
}

export interface Rows<R> {
  readonly rows: R[]
  readonly rowCount: number
}

export interface Queryable {
  query<R = Record<string, unknown>>(statement: Statement, params?: readonly unknown[]): Promise<Rows<R>>
}

export interface Database extends Queryable {
  /**
   * Runs `work` in one transaction. Rolls back and throws when it throws, and when one of its statements failed, whatever
   * `work` made of that: a COMMIT would succeed then and commit nothing.
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  /** Runs a script of several statements. */
  script(text: string): Promise<void>
  /** Calls back on every NOTIFY of the channel, for as long as the database is open; may miss some while reconnecting. */
  listen(channel: string, onNotify: (payload: string) => void): Promise<void>
  /** Waits for what runs, refuses everything from now on with `DatabaseClosedError`. Idempotent. */
  close(): Promise<void>
}

/** Thrown by a database that was closed. */
export class DatabaseClosedError extends Error {
  constructor() {
    super('the database is closed')
    this.name = 'DatabaseClosedError'
  }
}

/** The SQLSTATE of a database error, or undefined when it is something else (`EPIPE` and `E2BIG` have five letters too). */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^(?!E)(?=.*\d)[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** Whether repeating the same transaction may succeed: deadlock, serialization failure. */
export function isTransient(error: unknown): boolean {
  const state = sqlState(error)
  return state === '40001' || state === '40P01' || state === '55P03'
}

/** Whether the database, not the statement, was at fault: it is away, starting, shutting down, closed, or out of connections, memory or disk. */
export function isUnavailable(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return /^(08|53|57P|58)/.test(state)
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code === 'string' && /^E(CONN|PIPE|TIMEDOUT|NOTFOUND|HOST|NET|AI)/.test(code)) return true
  return (
    error instanceof DatabaseClosedError ||
    (error instanceof Error &&
      /Connection terminated|Query read timeout|connection timeout|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable/i.test(
        error.message,
      ))
  )
}

/** Whether it took longer than a statement may: too much was asked at once, or somebody else held the rows. */
export function isOverrun(error: unknown): boolean {
  return sqlState(error) === '57014'
}

/** Whether neither the statement nor its data was at fault: asked again later, it may succeed. */
export function mayPass(error: unknown): boolean {
  return isTransient(error) || isUnavailable(error) || isOverrun(error) || (error instanceof BatonError && error.code === 'unavailable')
}
