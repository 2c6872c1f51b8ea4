/** The databases that a suite runs on, each empty: `describe.each(databases)('on %s', (_, open) => …)`. */
import { openPglite, openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { freshDatabase } from '../harness/index.js'

export const databases = [
  ['PGlite', () => openPglite({ dataDir: 'memory', log: silentLogger() })],
  ['PostgreSQL', async () => openPostgres({ url: await freshDatabase(), log: silentLogger(), max: 8 })],
] as const
