import { rerunTask } from '../../../packages/coordinator/src/store/rerun.js'
import type { CommandKind } from '../command.js'
import { rerun } from '../rules/rerun.js'
import { claimNumber } from '../store.js'
import { subtasksOf } from '../world.js'

/** Rows of a rerun get their ids from the database, in blocks of this size. */
const block = 1_000

export const rerunKind: CommandKind = {
  name: 'rerun',
  weight: 1,
  choose(world, dice) {
    const task = dice.pick(world.tasks.filter(t => t.status !== 'planned'))
    if (!task) return undefined
    const live = subtasksOf(world, task).filter(s => !s.superseded)
    const opened = live.filter(s => s.state !== 'pending')
    const from = dice.some(dice.rarely(10) ? live : opened, 2).map(s => s.name)
    if (from.length === 0) return undefined
    const blocks = Math.ceil(world.nextId / block)
    const { name } = task
    return {
      text: `rerun ${name} from ${from.join(', ')}`,
      apply: before => rerun(before, { task: name, from, firstId: blocks * block }),
      run: async ({ database }) => {
        await database.query({ name: 'set_id_blocks', text: `select setval('id_blocks', $1, false)` }, [blocks])
        const outcome = await rerunTask(database, {
          tenantId: 1,
          taskId: name,
          from,
          input: null,
          references: [],
          reason: null,
          actor: 'ops',
        })
        if (outcome.kind !== 'done') return { kind: outcome.kind }
        const running = outcome.running.map(r => claimNumber(r.claim_id)).sort((a, b) => a - b)
        return { kind: 'done', status: outcome.status, subtasks: outcome.subtasks, running }
      },
    }
  },
}
