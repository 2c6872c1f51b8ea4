import type { SubtaskState } from '@baton/shared'
import {
  blockUnroutable,
  claimReady,
  promoteRetries,
  recallQueued,
  type Shifted,
  unblockRoutable,
} from '../../../packages/coordinator/src/store/dispatch.js'
import type { CommandKind } from '../command.js'
import { roomOf, routeId, routeNames } from '../fleet.js'
import * as rules from '../rules/dispatching.js'
import { mayStart } from '../step.js'
import { changesOf, jobsOf, long } from '../store.js'
import { taskOf, type World } from '../world.js'
import { chooseRooms, showRooms } from './rooms.js'

const inState = (world: World, state: SubtaskState) => world.subtasks.filter(s => s.state === state)
const routesIn = (world: World, state: SubtaskState) => routeNames.filter(route => inState(world, state).some(s => s.route === route))
const shiftedOf = ({ moved, routes, tasks }: Shifted) => ({ moved, routes: [...routes].sort(), tasks: changesOf(tasks) })

/** A dispatcher claims ready rows for its queues. */
export const dispatchKind: CommandKind = {
  name: 'dispatch',
  weight: 20,
  choose(world, dice) {
    const due = inState(world, 'ready').some(s => mayStart(world, taskOf(world, s.task)))
    if (!due && !dice.rarely(20)) return undefined
    const rooms = chooseRooms(dice, 3)
    return {
      text: `dispatch${showRooms(rooms)}`,
      sweeps: true,
      apply: (before, skips) => rules.dispatch(before, rooms, skips),
      run: async ({ database }) => ({
        jobs: jobsOf((await claimReady(database, roomOf(rooms), { leaseMs: long, defaultSlaMs: long })).jobs),
      }),
    }
  },
}

export const promoteKind: CommandKind = {
  name: 'promote retries',
  weight: 16,
  choose(world, dice) {
    if (!world.subtasks.some(s => s.state === 'retrying' && s.over.backoff)) return undefined
    const limit = dice.rarely(4) ? 1 : 500
    return {
      text: `promote ${limit === 1 ? 'one retry' : 'retries'}`,
      sweeps: true,
      apply: (before, skips) => rules.promoteRetries(before, limit, skips),
      run: async ({ database }) => ({ moved: await promoteRetries(database, limit) }),
    }
  },
}

export const blockKind: CommandKind = {
  name: 'block',
  weight: 1.5,
  choose(world, dice) {
    const routes = dice.some(routesIn(world, 'ready'), 2)
    if (routes.length === 0) return undefined
    return {
      text: `block ${routes.join(', ')}`,
      sweeps: true,
      apply: (before, skips) => rules.blockUnroutable(before, routes, skips),
      run: async ({ database }) => shiftedOf(await blockUnroutable(database, routes.map(routeId), -1_000)), // whenever they became ready
    }
  },
}

export const unblockKind: CommandKind = {
  name: 'unblock',
  weight: 8,
  choose(world, dice) {
    const provided = dice.some(routesIn(world, 'blocked'), 2)
    if (provided.length === 0) return undefined
    const roomy = dice.rarely(4) ? [] : provided
    return {
      text: `unblock ${provided.join(', ')}${roomy.length === 0 ? ', which have no room' : ''}`,
      sweeps: true,
      apply: (before, skips) => rules.unblockRoutable(before, { provided, roomy }, skips),
      run: async ({ database }) =>
        shiftedOf(await unblockRoutable(database, { provided: provided.map(routeId), roomy: roomy.map(routeId) })),
    }
  },
}

export const recallKind: CommandKind = {
  name: 'recall',
  weight: 2,
  choose(world, dice) {
    const queues = dice.some([...new Set(inState(world, 'queued').flatMap(s => s.queue ?? []))], 2)
    if (queues.length === 0) return undefined
    return {
      text: `recall ${queues.join(', ')}`,
      sweeps: true,
      apply: (before, skips) => rules.recallQueued(before, queues, skips),
      run: async ({ database }) => shiftedOf(await recallQueued(database, queues)),
    }
  },
}
