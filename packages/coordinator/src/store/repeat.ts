/** Repeats what Postgres broke off for another's sake: a deadlock, a serialization failure. */
import { type Database, isTransient, type Queryable, type Rows, type Statement } from './database.js'

const maxRepeats = 8

/** `work` has to be one statement or one transaction, so that nothing of it was kept when it failed. */
async function repeatTransient<T>(work: () => Promise<T>): Promise<T> {
  for (let repeat = 0; ; repeat++) {
    try {
      return await work()
    } catch (error) {
      if (!isTransient(error) || repeat === maxRepeats) throw error
    }
  }
}

/**
 * The same database, in which every statement outside of a transaction, and every transaction as a whole, is repeated
 * when it was broken off. What a transaction does besides its statements has to bear that.
 */
export function withRepeats(database: Database): Database {
  return {
    query: <R>(statement: Statement, params?: readonly unknown[]): Promise<Rows<R>> =>
      repeatTransient(() => database.query<R>(statement, params)),
    transaction: <T>(work: (tx: Queryable) => Promise<T>): Promise<T> => repeatTransient(() => database.transaction(work)),
    script: text => database.script(text),
    listen: (channel, onNotify) => database.listen(channel, onNotify),
    close: () => database.close(),
  }
}
