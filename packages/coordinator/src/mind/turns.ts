/**
 * Who may ask the model now: so many at once, others in turn, and nobody for a while after it has failed several times in a
 * row. So a model that hangs costs a few submissions their time limit, and not every one.
 */
import type { Clock } from '@baton/shared/node'
import type { Ask } from './chat.js'

export interface TurnsOptions {
  readonly ask: Ask
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly atOnce: number
  /** How many may wait for their turn. */
  readonly maxWaiting: number
  readonly restMs: number
}

/** This many failures in a row, and it is left alone for a while. */
const failuresBeforeRest = 3

export function takeTurns({ ask, clock, atOnce, maxWaiting, restMs }: TurnsOptions): Ask {
  let active = 0
  let failures = 0
  let restUntil = Number.NEGATIVE_INFINITY
  const waiting = new Set<() => void>()

  const turn = async (signal: AbortSignal): Promise<void> => {
    if (active < atOnce) {
      active++
      return
    }
    if (waiting.size >= maxWaiting) throw new Error('has too many plans to make already')
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        waiting.delete(go)
        reject(signal.reason)
      }
      waiting.add(go)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
  /** The place goes to the next one as it is. */
  const end = () => {
    const [next] = waiting
    if (next) {
      waiting.delete(next)
      next()
    } else active--
  }
  const resting = () => {
    if (clock.monotonicMs() < restUntil) throw new Error(`is left alone for a while, because it failed ${failures} times in a row`)
  }

  return async (messages, signal) => {
    resting()
    signal.throwIfAborted()
    await turn(signal)
    try {
      resting() // it may have failed while this one waited
      const answer = await ask(messages, signal)
      failures = 0
      return answer
    } catch (error) {
      if (clock.monotonicMs() >= restUntil && ++failures >= failuresBeforeRest) restUntil = clock.monotonicMs() + restMs
      throw error
    } finally {
      end()
    }
  }
}
