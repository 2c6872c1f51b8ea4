/** What callers learn while Postgres is away: 503 and when to ask again, not a fault of ours. */
import { BatonError } from '@baton/shared'
import { mayPass } from '../store/database.js'
import type { CoordinatorApi } from './api.js'

const retryAfterSeconds = 2

/** The same API, with every failure of the database's own as `unavailable`. */
export function withUnavailable(api: CoordinatorApi): CoordinatorApi {
  const translated = Object.entries(api).map(([name, method]) => [
    name,
    async (...args: unknown[]) => {
      try {
        return await (method as (...args: unknown[]) => unknown).apply(api, args) // every member of the API is a method
      } catch (error) {
        if (error instanceof BatonError || !mayPass(error)) throw error
        throw new BatonError(
          'unavailable',
          'Postgres cannot commit this at present; nothing was changed that was not acknowledged. Try again',
          {
            cause: error,
            extra: { retry_after_seconds: retryAfterSeconds },
          },
        )
      }
    },
  ])
  return Object.fromEntries(translated) as CoordinatorApi // the same names, the same signatures
}
