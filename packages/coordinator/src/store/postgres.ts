/** PostgreSQL behind the database seam. The one file that imports `pg`. */

import { BatonError } from '@baton/shared'
import { atMost, type Logger, maskSecrets } from '@baton/shared/node'
import pg from 'pg'
import { type Database, DatabaseClosedError, isUnavailable, type Queryable, type Rows, type Statement, sqlState } from './database.js'
import { InFlight } from './in-flight.js'
import { watched } from './watched.js'

interface PostgresOptions {
  readonly url: string
  readonly log: Logger
  /** Connections at most; default 10. */
  readonly max?: number
  /** Gives up waiting for the first connection. */
  readonly signal?: AbortSignal
}

/**
 * Settings of every connection. Statements are planned once per connection, maybe while the tables are still empty, and a
 * plan that reads a whole table then would stay for good: hence everything that can read one is switched off, and plans
 * are generic from the first execution on. What is left are nested loops over indexes, whatever the planner believes of a
 * table's size; the statements are written so that this is what they want (fragments.ts).
 */
const settings = [
  'enable_seqscan=off',
  'enable_bitmapscan=off',
  'enable_hashjoin=off',
  'enable_mergejoin=off',
  'plan_cache_mode=force_generic_plan',
  'jit=off',
  'statement_timeout=12000',
  'idle_in_transaction_session_timeout=30000',
]

/** A server that does not answer at all (it is frozen, or the network is) counts as away after this time. */
const queryTimeoutMs = 14_000
/** The same for a patient statement. The driver takes 0 for "not given". */
const patientMs = 86_400_000

/** How long closing may wait for connections to end. */
const endMs = 2_000

const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === 20 ? (value: string) => value : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
}

/** Connects, waiting with a log line now and then until the server is there; refuses at once what waiting cannot mend. */
export async function openPostgres(options: PostgresOptions): Promise<Database> {
  const { log } = options
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max ?? 10,
    connectionTimeoutMillis: 5_000,
    query_timeout: queryTimeoutMs,
    keepAlive: true,
    application_name: 'baton',
    options: settings.map(s => `-c ${s}`).join(' '),
    types,
  })
  // Not the error itself: the driver hangs the whole connection on it, with the text of every statement.
  pool.on('error', error => log.warn({ reason: error.message, code: sqlState(error) }, 'an idle PostgreSQL connection broke'))
  const where = maskSecrets(options.url)
  for (let waited = 0; ; waited++) {
    try {
      await pool.query('select 1')
      break
    } catch (error) {
      if (!isUnavailable(error)) {
        await pool.end()
        throw new BatonError('invalid_configuration', `DATABASE_URL ${where}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        })
      }
      if (options.signal?.aborted) {
        await pool.end()
        throw new BatonError('unreachable', 'stopped while waiting for PostgreSQL', { cause: error })
      }
      if (waited % 6 === 0)
        log.warn({ url: where, reason: error instanceof Error ? error.message : String(error) }, 'waiting for PostgreSQL')
      await new Promise(resolve => setTimeout(resolve, 500))
    }
  }
  return new Postgres(pool, options)
}

class Postgres implements Database {
  private readonly pool: pg.Pool
  private readonly options: PostgresOptions
  private readonly inFlight = new InFlight()
  private readonly closing = new AbortController()
  private readonly listeners: Promise<void>[] = []
  private closed: Promise<void> | undefined

  constructor(pool: pg.Pool, options: PostgresOptions) {
    this.pool = pool
    this.options = options
  }

  query<R>(statement: Statement, params: readonly unknown[] = []): Promise<Rows<R>> {
    return this.inFlight.run(async () => rowsOf<R>(await this.pool.query(queryOf(statement, params))))
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.inFlight.run(() => this.transact(work))
  }

  async script(text: string): Promise<void> {
    await this.inFlight.run(() => this.pool.query(text))
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<void> {
    if (this.closing.signal.aborted) throw new DatabaseClosedError()
    this.listeners.push(this.keepListening(channel, onNotify))
  }

  close(): Promise<void> {
    this.closed ??= (async () => {
      this.closing.abort()
      await this.inFlight.close()
      await atMost(endMs, Promise.all([...this.listeners, this.pool.end()]))
    })()
    return this.closed
  }

  private async transact<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    const client = await this.pool.connect()
    let broken: Error | undefined
    let ended = false
    const onError = (error: Error) => {
      broken = error
    }
    client.on('error', onError)
    try {
      await client.query('begin')
      const { tx, throwIfFailed } = watched({
        query: async <R>(statement: Statement, params: readonly unknown[] = []) => {
          // The connection serves others by then.
          if (ended) throw new Error('the transaction has ended')
          return rowsOf<R>(await client.query(queryOf(statement, params)))
        },
      })
      const result = await work(tx)
      throwIfFailed()
      ended = true
      await client.query('commit')
      return result
    } catch (error) {
      ended = true
      if (sqlState(error) === undefined || isUnavailable(error)) broken ??= error instanceof Error ? error : new Error(String(error))
      await client.query('rollback').catch(rollbackError => {
        broken ??= rollbackError
      })
      throw error
    } finally {
      client.off('error', onError)
      client.release(broken !== undefined && isUnavailable(broken))
    }
  }

  private async keepListening(channel: string, onNotify: (payload: string) => void): Promise<void> {
    while (!this.closing.signal.aborted) {
      const client = new pg.Client({ connectionString: this.options.url, application_name: 'baton listen', keepAlive: true })
      const ended = new Promise<void>(resolve => {
        client.on('end', resolve)
        client.on('error', () => resolve())
        this.closing.signal.addEventListener('abort', () => resolve(), { once: true })
      })
      try {
        await client.connect()
        client.on('notification', message => onNotify(message.payload ?? ''))
        await client.query(`listen ${pg.escapeIdentifier(channel)}`)
        await ended
      } catch (error) {
        this.options.log.debug({ err: error }, 'listening to PostgreSQL failed; trying again')
        await new Promise(resolve => setTimeout(resolve, 500))
      } finally {
        await client.end().catch(() => undefined)
      }
    }
  }
}

function queryOf({ name, text, patient }: Statement, params: readonly unknown[]): pg.QueryConfig {
  return { text, values: [...params], ...(name !== undefined && { name }), ...(patient && { query_timeout: patientMs }) }
}

function rowsOf<R>(result: pg.QueryResult): Rows<R> {
  return { rows: result.rows as R[], rowCount: result.rowCount ?? 0 } // the statement's author states its row type
}
