/** The same as histories.test.ts, of few subtasks and much trouble: attempts fail, are lost, run late, are decided upon. */
import { beforeAll, test } from 'vitest'
import { check } from './check.js'
import { historyArbitrary } from './history.js'
import { OnPglite } from './on-pglite.js'

let pglite: OnPglite
beforeAll(async () => {
  pglite = await OnPglite.open()
})

/** Nobody interferes, and hardly anything succeeds. */
const emphasis = {
  complete: 0.3,
  cancel: 0.1,
  pause: 0.1,
  block: 0.1,
  heartbeat: 0.3,
  'stop orchestrator': 0.1,
  'time passes': 2,
  'wear out': 3,
}

test('the SQL does what the model says, however attempts end', { timeout: 600_000 }, () =>
  check({
    name: 'histories of attempts that end in every way',
    arbitrary: historyArbitrary({ commands: 32, tasks: 1, subtasks: 3 }),
    runs: 1_000,
    property: history => pglite.play(history, { emphasis }),
    explain: history => pglite.play(history, { emphasis, closely: true }),
  }),
)
