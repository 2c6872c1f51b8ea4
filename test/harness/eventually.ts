/** Waiting for something that no signal tells, without a fixed sleep. */

interface EventuallyOptions {
  /** Default 20,000: a busy machine takes its time; what has to be quick says so. */
  readonly timeoutMs?: number
  /** Time between two looks; default 10. */
  readonly everyMs?: number
}

/**
 * Looks again and again until `check` neither throws nor answers `false`, and resolves with its answer. At the deadline
 * it throws what `check` threw last.
 *
 * @example
 * const task = await eventually(async () => (await read()) ?? false)
 * await eventually(() => expect(events).toHaveLength(3), { timeoutMs: 20_000 })
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 20_000, everyMs = 10 }: EventuallyOptions = {},
): Promise<Exclude<T, false>> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let problem: unknown
    try {
      const answer = await check()
      if (answer !== false) return answer as Exclude<T, false> // just compared
      problem = new Error('the condition still does not hold')
    } catch (error) {
      problem = error
    }
    if (performance.now() >= deadline) {
      if (problem instanceof Error) problem.message = `after ${timeoutMs} ms: ${problem.message}`
      throw problem
    }
    await new Promise(resolve => setTimeout(resolve, everyMs))
  }
}
