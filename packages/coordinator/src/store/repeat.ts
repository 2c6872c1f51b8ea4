/** Repeats what Postgres broke off for another's sake: a deadlock, a serialization failure. */
import { isTransient } from './database.js'

const maxRepeats = 8

/** `work` has to be one statement or one transaction, so that nothing of it was kept when it failed. */
export async function repeatTransient<T>(work: () => Promise<T>): Promise<T> {
  for (let repeat = 0; ; repeat++) {
    try {
      return await work()
    } catch (error) {
      if (!isTransient(error) || repeat === maxRepeats) throw error
    }
  }
}
