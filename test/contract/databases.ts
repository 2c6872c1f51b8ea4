/** The implementations of the database seam, each with a fresh and empty database for whoever asks. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '@baton/shared/node'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js'
import { cleanUp, freshDatabase } from '../harness/index.js'

export interface DatabaseKind {
  readonly name: string
  /** Closed when the test (or the file) ends. */
  open(): Promise<Database>
}

const log = silentLogger()

export async function freshDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'baton-test-'))
  cleanUp(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Another pool of connections to the same database is another coordinator. */
export async function openPool(url: string): Promise<Database> {
  return closing(await openPostgres({ url, log, max: 4 }))
}

export async function openDirectory(dataDir: string): Promise<Database> {
  return closing(await openPglite({ dataDir, log }))
}

export const databaseKinds: readonly DatabaseKind[] = [
  { name: 'PostgreSQL', open: async () => openPool(await freshDatabase()) },
  { name: 'PGlite in memory', open: () => openDirectory('memory') },
  { name: 'PGlite in a directory', open: async () => openDirectory(await freshDirectory()) },
]

function closing(database: Database): Database {
  cleanUp(() => database.close())
  return database
}
