/**
 * Plays histories on one PGlite, each in a transaction that is rolled back: no history sees another, and none costs a
 * database. PGlite has one session; races are in races.test.ts.
 */
import { silentLogger } from '@baton/shared/node'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { migrate } from '../../packages/coordinator/src/store/migrate.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { cleanUp } from '../harness/index.js'
import { type Emphasis, type History, Play } from './history.js'
import { openStore, prepare, type Store, within } from './store.js'

/** Ends the transaction of a history. */
class Enough extends Error {}

/** Rows of rolled-back histories stay in the tables' files until then. */
const tidyEvery = 50
const tables = 'tasks, subtasks, subtask_states, dependencies, attempts, reviews, events, pauses'

export class OnPglite {
  private readonly database: Database
  private readonly store: Store
  private played = 0

  private constructor(database: Database, store: Store) {
    this.database = database
    this.store = store
  }

  /** Closed when the test file ends. */
  static async open(): Promise<OnPglite> {
    const database = await openPglite({ dataDir: 'memory', log: silentLogger() })
    cleanUp(() => database.close())
    await migrate(database)
    await prepare(database)
    return new OnPglite(database, await openStore(database))
  }

  async play(history: History, { emphasis, closely }: { emphasis?: Emphasis; closely?: boolean } = {}): Promise<void> {
    if (++this.played % tidyEvery === 0) await this.tidy()
    const work = this.database.transaction(async tx => {
      await new Play(within(this.store, tx), { drafts: history.drafts, emphasis, looks: closely ? 'always' : 'often' }).all(history)
      throw new Enough()
    })
    await work.catch((error: unknown) => {
      if (!(error instanceof Enough)) throw error
    })
  }

  private async tidy(): Promise<void> {
    await this.database.script(`truncate ${tables}`)
    for (const table of ['workers', 'orchestrators', 'tenants']) await this.database.script(`vacuum ${table}`)
  }
}
