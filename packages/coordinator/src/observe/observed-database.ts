/** The same database, with the time of each named statement counted. */
import { type Database, isTransient, isUnavailable, type Queryable } from '../store/database.js'
import type { CoordinatorMetrics } from './observer.js'

export function observedDatabase(database: Database, metrics: CoordinatorMetrics): Database {
  const observed = (db: Queryable): Queryable => ({
    query: async (statement, params) => {
      const began = performance.now()
      try {
        return await db.query(statement, params)
      } catch (error) {
        const cause = isTransient(error) ? 'transient' : isUnavailable(error) ? 'unavailable' : 'other'
        metrics.add('orchestrator_statement_errors_total', { cause })
        throw error
      } finally {
        // The names are ours; what has none is a look at whether the database answers.
        metrics.observe('orchestrator_statement_seconds', { statement: statement.name ?? 'unnamed' }, (performance.now() - began) / 1_000)
      }
    },
  })
  return {
    ...observed(database),
    transaction: work => database.transaction(tx => work(observed(tx))),
    script: text => database.script(text),
    listen: (channel, onNotify) => database.listen(channel, onNotify),
    close: () => database.close(),
  }
}
