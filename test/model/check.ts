/**
 * Runs a property over random histories, prints its seed, and says how to run it again. The seed is always the same, so
 * that a test run tells about the change and not about luck; `npm run test:model` explores with seeds of chance.
 * `BATON_TEST_SEED` gives another seed (`random`: one of chance), `BATON_TEST_PATH` the path to one counterexample,
 * `BATON_TEST_RUNS` another number of histories.
 */
import * as fc from 'fast-check'

const usualSeed = 1

/** Half a minute finds what is small enough to be read. */
const shrinkMs = 30_000

interface Check<T> {
  readonly name: string
  readonly arbitrary: fc.Arbitrary<T>
  readonly runs: number
  readonly property: (value: T) => Promise<void>
  /** Runs a counterexample once more, and throws what there is to say about it. */
  readonly explain?: (value: T) => Promise<void>
}

export async function check<T>({ name, arbitrary, runs, property, explain }: Check<T>): Promise<void> {
  const { BATON_TEST_SEED: givenSeed, BATON_TEST_PATH: path, BATON_TEST_RUNS: givenRuns } = process.env
  const seed = givenSeed === 'random' ? (Date.now() ^ (Math.random() * 0x7fff_ffff)) | 0 : Number(givenSeed ?? usualSeed)
  const numRuns = givenRuns ? Number(givenRuns) : runs
  const again = `BATON_TEST_SEED=${seed}`
  process.stderr.write(`${name}: ${numRuns} histories, ${again}\n`)
  let shrinkUntil: number | undefined
  // What fails is made smaller, for as long as somebody would wait for it: after that everything counts as passing.
  const bounded = async (value: T) => {
    if (shrinkUntil !== undefined && performance.now() > shrinkUntil) return
    try {
      await property(value)
    } catch (error) {
      shrinkUntil ??= performance.now() + shrinkMs
      throw error
    }
  }
  const explained = (value: T | undefined): Promise<unknown> =>
    value === undefined ? Promise.resolve(undefined) : (explain?.(value) ?? Promise.resolve()).catch((error: unknown) => error)
  const result = await fc.check(fc.asyncProperty(arbitrary, bounded), { seed, numRuns, ...(path && { path }) })
  if (!result.failed) return
  const error = (await explained(result.counterexample?.[0])) ?? result.errorInstance
  throw new Error(
    [
      `${name}: failed after ${result.numRuns} histories and ${result.numShrinks} shrinks. To see it again:`,
      `  ${again} BATON_TEST_PATH=${result.counterexamplePath} npx vitest run test/model`,
      error instanceof Error ? error.message : String(error),
    ].join('\n'),
    { cause: error },
  )
}
