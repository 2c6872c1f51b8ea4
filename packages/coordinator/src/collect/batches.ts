/**
 * Runs a batch as one statement, and keeps one bad item from failing its neighbours: what may pass is repeated, what is
 * the data's fault is halved until the culprit is alone.
 */
import type { Logger } from '@baton/shared/node'
import { isTransient, isUnavailable } from '../store/database.js'

const maxRepeats = 8

export type ItemResult<R> = { readonly ok: true; readonly value: R } | { readonly ok: false; readonly reason: string }

/** Results in order. Throws only when the database cannot commit at present. */
export async function runBatch<T, R>(
  items: readonly T[],
  run: (items: readonly T[]) => Promise<R[]>,
  log: Logger,
): Promise<ItemResult<R>[]> {
  for (let repeat = 0; ; repeat++) {
    try {
      const values = await run(items)
      return values.map(value => ({ ok: true, value }))
    } catch (error) {
      if (isUnavailable(error)) throw error
      if (isTransient(error) && repeat < maxRepeats) continue
      const [only] = items
      if (items.length === 1 && only !== undefined) {
        log.error({ err: error, item: only }, 'an item could not be stored')
        return [{ ok: false, reason: error instanceof Error ? error.message : String(error) }]
      }
      const middle = Math.ceil(items.length / 2)
      log.warn({ err: error, items: items.length }, 'a batch failed; its halves are tried apart')
      return [...(await runBatch(items.slice(0, middle), run, log)), ...(await runBatch(items.slice(middle), run, log))]
    }
  }
}
