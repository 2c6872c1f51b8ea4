import type { Queryable } from './database.js'

/** A transaction as `work` sees it, which remembers whether a statement failed. */
export function watched(tx: Queryable): { readonly tx: Queryable; throwIfFailed(): void } {
  let failed: { readonly error: unknown } | undefined
  return {
    tx: {
      query: async (statement, params) => {
        try {
          return await tx.query(statement, params)
        } catch (error) {
          failed ??= { error }
          throw error
        }
      },
    },
    throwIfFailed: () => {
      if (failed) throw failed.error
    },
  }
}
