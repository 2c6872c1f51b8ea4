/** Faults 27 and 28 of the table in README.md: NATS stays away, or comes and goes. */
import { expect, test } from 'vitest'
import { cleanUp } from '../harness/clean-up.js'
import { eventually } from '../harness/eventually.js'
import { choices, faultStage, lasts, listen, pairs, sharedFleet, subtasksOf } from './kit/index.js'

const stage = faultStage()
const shared = sharedFleet(stage, { coordinators: 2, workers: 2, leaseMs: 1_500 })

interface Outage {
  readonly from: number
  readonly to: number
}

/** Takes NATS away for so long. */
async function outage(ms: number): Promise<Outage> {
  const { nats } = shared().servers
  await nats.kill()
  const from = Date.now()
  await lasts(ms)
  const to = Date.now()
  await nats.restart()
  return { from, to }
}

/** Whatever it takes from NATS, it is there again for the next row. */
function restartedInTheEnd() {
  cleanUp(() => shared().servers.nats.restart())
}

/** A task whose steps take from 0 to `ms`, and some that end when they are released. */
function mixture(prefix: string, ms: number) {
  const { between } = choices(`row ${prefix}`)
  const step = (name: string, input: object) => ({ name, capability: 'fault', input })
  return {
    task_id: `${prefix}mixture`,
    title: 'mixture',
    execute: true,
    subtasks: [
      ...Array.from({ length: 30 }, (_, i) => step(`works${i}`, { work: between(0, ms), progress: { n: i } })),
      ...Array.from({ length: 10 }, (_, i) => step(`holds${i}`, { hold: prefix })),
    ],
  }
}

const countStarts = () =>
  shared()
    .journal()
    .filter(line => line.event === 'start').length
const started = (count: number) => eventually(() => countStarts() >= count, { timeoutMs: 20_000 })

/**
 * All of a row's subtasks were completed in their first attempt; some ended while NATS was away, and that counted. No
 * worker was given up.
 */
async function nothingLost(prefix: string, count: number, outages: readonly Outage[]) {
  const history = await shared().history()
  const subtasks = subtasksOf(history, prefix)
  expect(subtasks).toHaveLength(count)
  expect(subtasks.filter(({ state, attempt }) => state !== 'completed' || attempt !== 1)).toEqual([])
  const own = new Set(subtasks.map(({ uuid }) => uuid))
  const ends = history.journal.filter(({ event, key }) => event === 'end' && own.has(key))
  expect(ends).toHaveLength(count) // each ran once, and was not aborted
  expect(ends.filter(({ at }) => outages.some(({ from, to }) => at > from && at < to)).length).toBeGreaterThan(0)
  expect(history.events.filter(({ name }) => name === 'worker.lost' || name === 'alert.worker_lost')).toEqual([])
}

test('27: away for ten leases: nothing is lost, nobody is declared lost, and everything goes on at once', async () => {
  const fleet = shared()
  const { driver, leaseMs } = fleet
  restartedInTheEnd()
  const before = countStarts()
  await driver.known(() => driver.submit(mixture('r27-', 12 * leaseMs)))
  await started(before + 40)
  const heard = listen([...fleet.coordinators, ...fleet.workers])
  const away = outage(10 * leaseMs)
  await heard(/NATS is away/)
  // The API does without NATS.
  const late = pairs('r27-late-', 20, () => 20)
  for (const { fate } of await Promise.all(late.map(task => driver.submit(task)))) expect(fate).toBe('ok')
  const during = await away

  const back = performance.now()
  await started(before + 60)
  expect(performance.now() - back).toBeLessThan(3 * leaseMs)
  fleet.release('r27-')
  expect(await fleet.violations()).toEqual([])
  await nothingLost('r27-', 80, [during])
}, 60_000)

test('28: up and down every half lease: no attempt is replaced while its worker lives, and results of outages are accepted', async () => {
  const fleet = shared()
  const { driver, leaseMs } = fleet
  restartedInTheEnd()
  const before = countStarts()
  await driver.known(() => driver.submit(mixture('r28-', 8 * leaseMs)))
  await started(before + 40)
  const outages: Outage[] = []
  for (let n = 0; n < 8; n++) {
    outages.push(await outage(leaseMs / 2))
    await lasts(leaseMs / 2)
  }
  fleet.release('r28-')
  expect(await fleet.violations()).toEqual([])
  await nothingLost('r28-', 40, outages)
}, 60_000)
