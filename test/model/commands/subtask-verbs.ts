import {
  cancelSubtask as cancelRow,
  reassignSubtask as reassignRow,
  retrySubtask as retryRow,
} from '../../../packages/coordinator/src/store/control-subtask.js'
import type { CommandKind, Dice } from '../command.js'
import { roomOf, routeId } from '../fleet.js'
import { cancelSubtask, reassignSubtask, retrySubtask } from '../rules/subtask-verbs.js'
import { claimNumber, effectsOf } from '../store.js'
import { isTerminal, nameOf, type Subtask, type World } from '../world.js'
import { chooseRooms, showRooms } from './rooms.js'

const why = { reason: 'so', actor: 'ops' }
const claimsOf = (running: readonly { worker_id: string; claim_id: string }[]) =>
  running.map(r => ({ worker: r.worker_id, claim: claimNumber(r.claim_id) }))

/** One that the verb is for, now and then any other; a superseded one cannot be named any more. */
function pick(world: World, dice: Dice, fits: (subtask: Subtask) => boolean): Subtask | undefined {
  const live = world.subtasks.filter(s => !s.superseded)
  return dice.pick(dice.rarely(6) ? live : live.filter(fits))
}

export const cancelSubtaskKind: CommandKind = {
  name: 'cancel subtask',
  weight: 2,
  choose(world, dice) {
    const subtask = pick(world, dice, s => !isTerminal(s.state))
    if (!subtask) return undefined
    const { id } = subtask
    const rooms = chooseRooms(dice)
    return {
      text: `cancel ${nameOf(world, id)}${showRooms(rooms)}`,
      names: [id],
      apply: before => cancelSubtask(before, id, rooms),
      run: async ({ database }) => {
        const cancelled = await cancelRow(database, String(id), why, roomOf(rooms))
        return { running: claimsOf(cancelled.running), state: cancelled.state, ...effectsOf(cancelled) }
      },
    }
  },
}

export const retrySubtaskKind: CommandKind = {
  name: 'retry subtask',
  weight: 3,
  choose(world, dice) {
    const subtask = pick(world, dice, s => s.state === 'retrying' || s.state === 'blocked')
    if (!subtask) return undefined
    const { id } = subtask
    return {
      text: `retry ${nameOf(world, id)}`,
      names: [id],
      apply: before => retrySubtask(before, id),
      run: async ({ database }) => ({ moved: await retryRow(database, String(id), why) }),
    }
  },
}

export const reassignSubtaskKind: CommandKind = {
  name: 'reassign subtask',
  weight: 1.5,
  choose(world, dice) {
    const subtask = pick(world, dice, s => !isTerminal(s.state))
    const route = dice.pick(['bob', 'ann'] as const)
    if (!subtask || !route) return undefined
    const { id } = subtask
    return {
      text: `reassign ${nameOf(world, id)} to ${route}`,
      names: [id],
      apply: before => reassignSubtask(before, id, route),
      run: async ({ database }) => {
        const reassigned = await reassignRow(database, String(id), routeId(route), why)
        return { running: claimsOf(reassigned.running), state: reassigned.state }
      },
    }
  },
}
