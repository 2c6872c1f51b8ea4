/**
 * PGlite, PostgreSQL within this process, behind the database seam: local mode. The one file that imports PGlite.
 *
 * Invariants: P1 one process at a time has a data directory. PGlite takes no lock itself, and a second process would
 * corrupt the files. P2 a database whose making was interrupted is made anew: PGlite could not open it, nor say why.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Logger } from '@baton/shared/node'
import { PGlite, type PGliteOptions, type Transaction } from '@electric-sql/pglite'
import { type Database, type Queryable, type Rows, type Statement, sqlState } from './database.js'
import { lockDirectory } from './directory-lock.js'
import { InFlight } from './in-flight.js'
import { sqlLiteral } from './sql-literal.js'
import { watched } from './watched.js'

interface PgliteOptions {
  /** Where the data lives; `memory` keeps nothing. */
  readonly dataDir: string
  readonly log: Logger
}

const int8 = 20
const bytea = 17
const duplicatePrepared = '42P05'

/**
 * Measured with 0.5: at its defaults PGlite takes 2.5 s and 790 MB for a new database, most of it initdb. Unpacking a
 * prepared directory, a smaller initial memory and 16 MB of shared buffers bring that to 0.8 s and 300 MB, and to 0.3 s
 * and 190 MB for a database that exists (`npm run bench -- smoke` prints today's figures).
 */
const tuning: PGliteOptions = {
  initialMemory: 128 * 1024 * 1024,
  postgresqlconf: [
    'shared_buffers=16MB',
    'jit=off',
    'max_connections=4',
    'enable_seqscan=off',
    'enable_bitmapscan=off',
    'enable_hashjoin=off',
    'enable_mergejoin=off',
    'plan_cache_mode=force_generic_plan',
  ],
  // PGlite's own conversion of bytea goes byte by byte and takes seconds for a megabyte.
  parsers: { [int8]: (value: string) => value, [bytea]: (value: string) => Buffer.from(value.slice(2), 'hex') },
  serializers: { [bytea]: (value: Uint8Array) => `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}` },
}

/**
 * The directory that `scripts/prepare-pglite.mjs` made at build time: a database with the migrations that there were then.
 * Those that came since are applied as ever.
 */
const preparedDirectory = fileURLToPath(new URL('../../prepared/pglite.tgz', import.meta.url))

/** Opens the database, making it first where there is none. Throws `data_directory_locked` when another process has it. */
export async function openPglite({ dataDir, log }: PgliteOptions): Promise<Database> {
  if (dataDir === 'memory') return new Pglite(await create('memory://', true), async () => undefined)
  const directory = join(dataDir, 'pgdata')
  const unfinished = join(dataDir, 'unfinished')
  mkdirSync(dataDir, { recursive: true })
  const unlock = await lockDirectory(dataDir)
  try {
    if (existsSync(unfinished)) rmSync(directory, { recursive: true, force: true }) // P2
    const isNew = !existsSync(join(directory, 'PG_VERSION'))
    if (isNew) {
      log.debug({ directory }, 'making a new database')
      writeFileSync(unfinished, '')
    }
    const pglite = await create(directory, isNew)
    rmSync(unfinished, { force: true })
    return new Pglite(pglite, unlock)
  } catch (error) {
    await unlock()
    throw error
  }
}

async function create(where: string, isNew: boolean): Promise<PGlite> {
  // PGlite would unpack it by a stream of the web's kind, which takes Node 0.3 s longer.
  const prepared =
    isNew && existsSync(preparedDirectory)
      ? new Blob([await promisify(gunzip)(await readFile(preparedDirectory))], { type: 'application/x-tar' })
      : undefined
  return PGlite.create(where, { ...tuning, ...(prepared && { loadDataDir: prepared }) })
}

class Pglite implements Database {
  private readonly pglite: PGlite
  private readonly unlock: () => Promise<void>
  private readonly inFlight = new InFlight()
  private readonly prepared = new Set<string>()
  private closed: Promise<void> | undefined

  constructor(pglite: PGlite, unlock: () => Promise<void>) {
    this.pglite = pglite
    this.unlock = unlock
  }

  query<R>(statement: Statement, params: readonly unknown[] = []): Promise<Rows<R>> {
    return this.inFlight.run(() => this.run<R>(this.pglite, statement, params))
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.inFlight.run(() =>
      this.pglite.transaction(async (session: Transaction) => {
        const { tx, throwIfFailed } = watched({
          query: <R>(statement: Statement, params: readonly unknown[] = []) => this.run<R>(session, statement, params),
        })
        const result = await work(tx)
        throwIfFailed()
        return result
      }),
    )
  }

  /** A statement with a name is prepared once; PREPARE holds also when its transaction is rolled back. */
  private async run<R>(
    session: Pick<PGlite, 'query'> | Transaction,
    { name, text }: Statement,
    params: readonly unknown[],
  ): Promise<Rows<R>> {
    if (name === undefined) return rowsOf<R>(await session.query<R>(text, [...params]))
    if (!this.prepared.has(name)) {
      // Who came a moment earlier may have prepared it by then. Waiting for them would be a deadlock: they may be waiting
      // for the transaction that this one is of, in which nothing can come in between.
      await session.query(`prepare "${name}" as ${text}`).catch(error => {
        if (sqlState(error) !== duplicatePrepared) throw error
      })
      this.prepared.add(name)
    }
    return rowsOf<R>(await session.query<R>(`execute "${name}"${params.length > 0 ? `(${params.map(sqlLiteral).join(', ')})` : ''}`))
  }

  async script(text: string): Promise<void> {
    await this.inFlight.run(() => this.pglite.exec(text))
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<void> {
    // Without quotes PGlite takes a name for SQL and folds it to lower case.
    await this.inFlight.run(() => this.pglite.listen(`"${channel}"`, onNotify))
  }

  close(): Promise<void> {
    this.closed ??= this.inFlight
      .close()
      .then(() => this.pglite.close())
      .finally(() => this.unlock())
    return this.closed
  }
}

function rowsOf<R>(result: { rows: R[]; affectedRows?: number }): Rows<R> {
  return { rows: result.rows, rowCount: result.affectedRows || result.rows.length } // PGlite counts 0 for a select
}
