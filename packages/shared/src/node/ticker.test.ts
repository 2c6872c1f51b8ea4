import { describe, expect, test, vi } from 'vitest'
import { ManualClock } from '../testing/manual-clock.js'
import { silentLogger } from './logger.js'
import { Ticker } from './ticker.js'

/** A ticker on a clock that the test moves, with runs that end when the test says so. */
function ticker(outcome: () => boolean | undefined | Error = () => undefined) {
  const clock = new ManualClock()
  const log = { ...silentLogger(), error: vi.fn() }
  const runs: { signal: AbortSignal; end: () => void }[] = []
  const made = new Ticker({
    name: 'test',
    everyMs: 1_000,
    log,
    clock,
    run: signal =>
      new Promise<boolean>((resolve, reject) => {
        runs.push({
          signal,
          end: () => {
            const how = outcome()
            if (how instanceof Error) reject(how)
            else resolve(how === true)
          },
        })
      }),
  })
  /** Ends the run that is under way. */
  const end = async () => {
    runs.at(-1)?.end()
    await new Promise(resolve => setImmediate(resolve))
  }
  return { ticker: made, clock, log, runs, end }
}

describe('a ticker', () => {
  test('runs at its start, and again after each pause', async () => {
    const { ticker: t, clock, runs, end } = ticker()
    clock.advance(10_000)
    expect(runs.length).toBe(0)
    await t.start()
    expect(runs.length).toBe(1)
    await end()
    clock.advance(999)
    expect(runs.length).toBe(1)
    clock.advance(1)
    expect(runs.length).toBe(2)
    await end()
    await t.stop()
  })

  test('runs once at a time, however long a run takes', async () => {
    const { ticker: t, clock, runs, end } = ticker()
    await t.start()
    clock.advance(60_000)
    expect(runs.length).toBe(1)
    await end()
    expect(runs.length).toBe(1)
    await end()
    await t.stop()
  })

  test('that is woken while it rests runs at once, and pauses anew', async () => {
    const { ticker: t, clock, runs, end } = ticker()
    await t.start()
    await end()
    clock.advance(900)
    t.wake()
    expect(runs.length).toBe(2)
    await end()
    clock.advance(999)
    expect(runs.length).toBe(2)
    clock.advance(1)
    expect(runs.length).toBe(3)
    await end()
    await t.stop()
  })

  test('that is woken during a run runs once more after it, however often it was woken', async () => {
    const { ticker: t, runs, end } = ticker()
    await t.start()
    for (let n = 0; n < 5; n++) t.wake()
    expect(runs.length).toBe(1)
    await end()
    expect(runs.length).toBe(2)
    await end()
    expect(runs.length).toBe(2)
    await t.stop()
  })

  test('whose run says that there is more runs again at once', async () => {
    let more = 3
    const { ticker: t, runs, end } = ticker(() => more-- > 0)
    await t.start()
    for (let n = 0; n < 5; n++) await end()
    expect(runs.length).toBe(4)
    await t.stop()
  })

  test('whose run fails says so and goes on after a pause, not at once', async () => {
    let failing = true
    const { ticker: t, clock, log, runs, end } = ticker(() => (failing ? new Error('away') : undefined))
    await t.start()
    t.wake()
    await end()
    expect(runs.length).toBe(1)
    expect(log.error).toHaveBeenCalledWith(expect.objectContaining({ loop: 'test' }), expect.any(String))
    failing = false
    clock.advance(1_000)
    expect(runs.length).toBe(2)
    await end()
    await t.stop()
  })

  test('that is started twice runs once', async () => {
    const { ticker: t, runs, end } = ticker()
    await t.start()
    await t.start()
    expect(runs.length).toBe(1)
    await end()
    await t.stop()
  })
})

describe('a stop', () => {
  test('while it rests ends it for good', async () => {
    const { ticker: t, clock, runs, end } = ticker()
    await t.start()
    await end()
    await Promise.all([t.stop(), t.stop()])
    clock.advance(10_000)
    t.wake()
    await t.start()
    expect(runs.length).toBe(1)
  })

  test('during a run aborts it, and waits for its end', async () => {
    const { ticker: t, clock, runs, end } = ticker()
    await t.start()
    let stopped = false
    const stopping = t.stop().then(() => {
      stopped = true
    })
    t.wake()
    await new Promise(resolve => setImmediate(resolve))
    expect([stopped, runs[0]?.signal.aborted]).toEqual([false, true])
    await end()
    await stopping
    clock.advance(10_000)
    expect(runs.length).toBe(1)
  })

  test('of a run that fails for being aborted is no error', async () => {
    const { ticker: t, log, end } = ticker(() => new Error('aborted'))
    await t.start()
    const stopping = t.stop()
    await end()
    await stopping
    expect(log.error).not.toHaveBeenCalled()
  })

  test('before the start leaves nothing to start', async () => {
    const { ticker: t, runs } = ticker()
    await t.stop()
    await t.start()
    expect(runs.length).toBe(0)
  })
})

test('on the clock of the system it ticks', async () => {
  let runs = 0
  const t = new Ticker({ name: 'real', everyMs: 1, log: silentLogger(), run: async () => void runs++ })
  await t.start()
  await vi.waitFor(() => expect(runs).toBeGreaterThan(3))
  await t.stop()
})
