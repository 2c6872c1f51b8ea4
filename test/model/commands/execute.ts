import { executeTask } from '../../../packages/coordinator/src/store/execute.js'
import type { CommandKind } from '../command.js'
import { routeId, routeNames } from '../fleet.js'
import { execute } from '../rules/submission.js'
import { subtasksOf } from '../world.js'

/** POST /execute: starts a planned task, and only looks at any other. */
export const executeKind: CommandKind = {
  name: 'execute',
  weight: 6,
  choose(world, dice) {
    const task = dice.pick(world.tasks.filter(t => t.status === 'planned')) ?? (dice.rarely(10) ? dice.pick(world.tasks) : undefined)
    if (!task) return undefined
    const mode = dice.rarely(4) ? 'manual' : 'auto'
    const names = subtasksOf(world, task).map(s => s.name)
    const checkpoints = dice.rarely(3) ? dice.some(names, 2) : []
    const unroutable = dice.rarely(5) ? dice.some(routeNames, 2) : []
    const asked = { mode, checkpoints, unroutable } as const
    return {
      text: `execute ${task.name}${mode === 'manual' ? ' manually' : ''}${checkpoints.length > 0 ? `, checkpoints ${checkpoints.join(', ')}` : ''}${unroutable.length > 0 ? `, nobody serves ${unroutable.join(', ')}` : ''}`,
      apply: before => execute(before, { task: task.name, ...asked }),
      run: async ({ database }) => {
        const result = await database.transaction(tx =>
          executeTask(tx, {
            tenantId: 1,
            taskId: task.name,
            mode,
            checkpoints,
            unroutable: unroutable.map(routeId),
          }),
        )
        return result ? { from: result.from_status, status: result.status, ready: result.ready, blocked: result.blocked } : null
      },
    }
  },
}
