/**
 * Brings the database to the version of this code. Migrations are append-only files; several coordinators may start at
 * once (an advisory lock orders them), and one killed in the middle leaves nothing half done (a transaction each).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BatonError } from '@baton/shared'
import { failpoint } from '@baton/shared/node'
import type { Database, Statement } from './database.js'

const directory = fileURLToPath(new URL('../../migrations/', import.meta.url))

export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** The migrations that came with this code, in order. */
export function readMigrations(): Migration[] {
  return readdirSync(directory)
    .filter(file => /^\d{4}_.*\.sql$/.test(file))
    .sort()
    .map(name => ({ version: Number(name.slice(0, 4)), name, sql: readFileSync(`${directory}/${name}`, 'utf8') }))
}

// Building an index, or waiting for whoever does, may take longer than a statement is given otherwise.
const noTimeout: Statement = { text: 'set local statement_timeout = 0' }
const oneAtATime: Statement = { text: "select pg_advisory_xact_lock(hashtext('baton migrations'))", patient: true }

/** Applies what is missing. Throws `invalid_configuration` when the database is newer than this code can serve. */
export async function migrate(database: Database, migrations: readonly Migration[] = readMigrations()): Promise<number> {
  await ensureTable(database)
  const newest = Math.max(...migrations.map(m => m.version))
  let applied = 0
  for (const migration of migrations) {
    applied += await database.transaction(async tx => {
      await tx.query(noTimeout)
      await tx.query(oneAtATime)
      const { rows } = await tx.query<{ newest: number | null }>({ text: 'select max(version) as newest from baton_migrations' })
      const present = rows[0]?.newest ?? 0
      // One release back still runs beside this one; further ahead it cannot know what changed.
      if (present > newest + 1)
        throw new BatonError(
          'invalid_configuration',
          `the database is at migration ${present}, this version of Baton knows ${newest}: start a newer version`,
        )
      if (present >= migration.version) return 0
      for (const statement of splitStatements(migration.sql)) await tx.query({ text: statement, patient: true })
      failpoint('migrate.mid')
      await tx.query({ text: 'insert into baton_migrations (version, name) values ($1, $2)' }, [migration.version, migration.name])
      return 1
    })
  }
  return applied
}

async function ensureTable(database: Database): Promise<void> {
  await database.transaction(async tx => {
    await tx.query(noTimeout)
    await tx.query(oneAtATime)
    await tx.query({
      text: 'create table if not exists baton_migrations (version int primary key, name text not null, applied_at timestamptz not null default clock_timestamp())',
    })
  })
}

/** Statements end with `;` at the end of a line; the migrations hold no function bodies. */
function splitStatements(sql: string): string[] {
  return sql
    .replace(/^\s*--.*$/gm, '')
    .split(/;\s*(?:\n|$)/)
    .map(s => s.trim())
    .filter(s => s.length > 0)
}
