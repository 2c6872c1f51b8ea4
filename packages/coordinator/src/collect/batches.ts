/**
 * Runs a batch as one statement, and keeps one bad item from failing its neighbours: what is the data's fault is halved
 * until the culprit is alone. What may pass is nobody's fault: no item is refused for it, and the worker asks again.
 */
import type { Logger } from '@baton/shared/node'
import { isOverrun, mayPass } from '../store/database.js'

export type ItemResult<R> = { readonly ok: true; readonly value: R } | { readonly ok: false; readonly reason: string }

/** Results in order. Throws only what may pass: the database cannot commit this at present. */
export async function runBatch<T, R>(
  items: readonly T[],
  run: (items: readonly T[]) => Promise<R[]>,
  log: Logger,
): Promise<ItemResult<R>[]> {
  try {
    const values = await run(items)
    return values.map(value => ({ ok: true, value }))
  } catch (error) {
    // A batch that takes too long may be too much at once.
    const tooMuch = isOverrun(error) && items.length > 1
    if (mayPass(error) && !tooMuch) throw error
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
