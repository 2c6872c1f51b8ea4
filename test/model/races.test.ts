/**
 * The same commands on PostgreSQL, some of them at once, on three sessions: whatever comes of it, an order of theirs has
 * to explain it, and no invariant may be broken.
 */
import * as fc from 'fast-check'
import { beforeAll, test } from 'vitest'
import { check } from './check.js'
import { historyArbitrary } from './history.js'
import { playRaces, type RaceHistory, roundArbitrary } from './races.js'
import { Sessions } from './sessions.js'

let sessions: Sessions
beforeAll(async () => {
  sessions = await Sessions.open()
})

const histories: fc.Arbitrary<RaceHistory> = fc.record({
  history: historyArbitrary({ commands: 12, tasks: 2, subtasks: 4 }),
  rounds: fc.array(roundArbitrary, { minLength: 1, maxLength: 4, size: 'max' }),
})

test('commands that race end as if one had come after the other', { timeout: 600_000 }, () =>
  check({
    name: 'histories with races',
    arbitrary: histories,
    runs: 210,
    property: history => playRaces(sessions, history),
  }),
)
