/**
 * Fails every test file that leaves something alive: sockets, servers, child processes, timers. Vitest runs this before
 * each file, in the file's own process.
 */
import { afterAll, beforeAll } from 'vitest'
import { cleanUpFile } from './clean-up.js'
import { eventually } from './eventually.js'

/** What is closed may take a turn or two of the event loop to be gone; a server's last goodbye a little longer. */
const graceMs = 3_000

let before: ReadonlyMap<string, number> = new Map()

beforeAll(() => {
  before = new Map([...alive()].filter(([kind]) => kind !== 'Timeout'))
})

afterAll(async () => {
  await cleanUpFile()
  await eventually(
    () => {
      const left = leaked(before, alive())
      if (left.length > 0) throw new Error(`this file leaves open: ${left.join(', ')}`)
    },
    { timeoutMs: graceMs },
  )
})

/** What keeps the event loop alive, by kind. Vitest itself has timers now and then, but none that stays. */
function alive(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

export function leaked(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
  return [...after].flatMap(([kind, count]) => {
    const more = count - (before.get(kind) ?? 0)
    return more > 0 ? [`${more} × ${kind}`] : []
  })
}
