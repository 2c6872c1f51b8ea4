/** Random choices that can be made again: a failure prints the seed, `BATON_TEST_SEED` gives it back. */
import { randomInt } from 'node:crypto'

export interface Choices {
  readonly seed: number
  /** From 0 (included) to 1 (not included). */
  random(): number
  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number
  pick<T>(list: readonly T[]): T
  shuffled<T>(list: readonly T[]): T[]
}

/** `what` says whose choices they are, in what is printed. */
export function choices(what: string): Choices {
  const given = process.env.BATON_TEST_SEED
  if (given && !/^\d{1,10}$/.test(given)) throw new Error(`BATON_TEST_SEED is a whole number, not ${given}`)
  const seed = given ? Number(given) : randomInt(2 ** 32)
  process.stdout.write(`${what}: BATON_TEST_SEED=${seed}\n`)
  return seeded(seed)
}

/** The choices of a seed that was chosen elsewhere. */
export function seeded(seed: number): Choices {
  const random = mulberry32(seed)
  const between = (min: number, max: number) => min + Math.floor(random() * (max - min + 1))
  return {
    seed,
    random,
    between,
    pick: list => {
      const picked = list[between(0, list.length - 1)]
      if (picked === undefined) throw new RangeError('nothing to pick from')
      return picked
    },
    shuffled: list => {
      const copy = [...list]
      for (let i = copy.length - 1; i > 0; i--) {
        const j = between(0, i)
        const [a, b] = [copy[i], copy[j]]
        if (a !== undefined && b !== undefined) [copy[i], copy[j]] = [b, a]
      }
      return copy
    },
  }
}

/** A small generator whose whole state is the seed. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
