import { cancelUnfinished } from '../../../packages/coordinator/src/store/cancel.js'
import { controlTask, releaseSubtask } from '../../../packages/coordinator/src/store/control.js'
import { setOrchestratorStatus } from '../../../packages/coordinator/src/store/orchestrators.js'
import { controlSystem as controlSystemRow } from '../../../packages/coordinator/src/store/system.js'
import type { CommandKind } from '../command.js'
import { control, controlSystem, release, setOrchestrator, sweep } from '../rules/control.js'
import { claimNumber } from '../store.js'
import { isTerminal, nameOf, taskOf } from '../world.js'

type Status = 'running' | 'paused' | 'idle'

const verbKind = (verb: 'cancel' | 'pause' | 'resume', weight: number): CommandKind => ({
  name: verb,
  weight,
  choose(world, dice) {
    const useful = world.tasks.filter(t => (verb === 'resume') === (t.status === 'paused'))
    const task = dice.rarely(6) ? dice.pick(world.tasks) : dice.pick(useful)
    if (!task) return undefined
    return {
      text: `${verb} ${task.name}`,
      apply: before => control(before, verb, task.name),
      run: async ({ database }) => {
        const result = await controlTask(database, verb, { tenantId: 1, taskId: task.name }, { reason: 'so', actor: 'ops' })
        return result ? { before: result.before, status: result.status } : null
      },
    }
  },
})

export const cancelKind = verbKind('cancel', 0.3)
export const pauseKind = verbKind('pause', 0.5)
export const resumeKind = verbKind('resume', 8)

/** What is left of tasks that ended is cancelled, batch after batch, however small these are. */
export const sweepKind: CommandKind = {
  name: 'sweep',
  weight: 6,
  choose(world, dice) {
    if (!world.tasks.some(t => t.sweeping)) return undefined
    const limit = dice.rarely(2) ? 500 : 1 + dice.roll(3)
    return {
      text: `sweep${limit < 500 ? `, ${limit} at a time` : ''}`,
      sweeps: true,
      apply: (before, skips) => sweep(before, skips),
      run: async ({ database }) => {
        const running: { worker: string; claim: number }[] = []
        for (let more = true; more; ) {
          const swept = await cancelUnfinished(database, limit)
          running.push(...swept.running.map(r => ({ worker: r.worker_id, claim: claimNumber(r.claim_id) })))
          more = swept.more
        }
        return { running: running.sort((a, b) => a.claim - b.claim) }
      },
    }
  },
}

/** Opens the gate of manual execution or of a checkpoint, also of one that is not reached yet. */
export const releaseKind: CommandKind = {
  name: 'release',
  weight: 6,
  choose(world, dice) {
    const subtask =
      dice.pick(world.subtasks.filter(s => s.gate === 'release' && !s.superseded && !isTerminal(s.state))) ??
      (dice.rarely(10) ? dice.pick(world.subtasks.filter(s => !s.superseded)) : undefined)
    if (!subtask) return undefined
    return {
      text: `release ${nameOf(world, subtask.id)}`,
      names: [subtask.id],
      apply: before => release(before, taskOf(world, subtask.task).name, subtask.name),
      run: async ({ database }) => {
        // A subtask id is not worth modelling: it is read as a person would read it.
        const { rows } = await database.query<{ subtask_id: string }>({ text: 'select subtask_id from subtasks where id = $1' }, [
          subtask.id,
        ])
        const taskId = taskOf(world, subtask.task).name
        const result = await releaseSubtask(database, { tenantId: 1, taskId, subtaskId: rows[0]?.subtask_id ?? '' }, 'ops')
        return result ? { before: result.before, state: result.state, gate: isTerminal(result.before) ? null : result.gate } : null
      },
    }
  },
}

const orchestratorKind = (name: string, weight: number, before: readonly Status[], after: readonly Status[]): CommandKind => ({
  name,
  weight,
  choose(world, dice) {
    // The default one always runs.
    const id = dice.pick(Object.keys(world.orchestrators).filter(o => o !== 'default' && before.includes(world.orchestrators[o] ?? 'idle')))
    const status = dice.pick(after)
    if (id === undefined || status === undefined) return undefined
    return {
      text: `orchestrator ${id} is ${status}`,
      apply: before => setOrchestrator(before, id, status),
      run: async ({ database }) => {
        const row = await setOrchestratorStatus(database, { tenantId: 1, id }, status, { reason: null, actor: 'ops' })
        return { before: row?.before, status: row?.status }
      },
    }
  },
})

export const stopOrchestratorKind = orchestratorKind('stop orchestrator', 0.4, ['running'], ['paused', 'idle'])
export const startOrchestratorKind = orchestratorKind('start orchestrator', 8, ['paused', 'idle'], ['running'])

const systemKind = (which: 'pause' | 'resume', weight: number): CommandKind => ({
  name: `${which} everything`,
  weight,
  choose(world, dice) {
    if (world.paused === (which === 'pause') && !dice.rarely(10)) return undefined
    return {
      text: `${which} everything`,
      apply: before => controlSystem(before, which),
      run: async ({ database }) => {
        const row = await controlSystemRow(database, which, 1, { reason: null, actor: 'ops' })
        return { before: row.before, paused: row.paused_at !== null }
      },
    }
  },
})

export const pauseEverythingKind = systemKind('pause', 0.3)
export const resumeEverythingKind = systemKind('resume', 8)
