/**
 * The model is the oracle of the SQL: random histories run through both, command by command, and everything that can be
 * seen has to be the same.
 */
import { beforeAll, test } from 'vitest'
import { check } from './check.js'
import { historyArbitrary } from './history.js'
import { OnPglite } from './on-pglite.js'

let pglite: OnPglite
beforeAll(async () => {
  pglite = await OnPglite.open()
})

test('the SQL does what the model says, whatever happens in whatever order', { timeout: 600_000 }, () =>
  check({
    name: 'histories of all commands',
    arbitrary: historyArbitrary({ commands: 26, tasks: 2, subtasks: 5 }),
    runs: 1_000,
    property: history => pglite.play(history),
    explain: history => pglite.play(history, { closely: true }),
  }),
)
