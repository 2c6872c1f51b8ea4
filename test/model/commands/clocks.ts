import { drainWorker } from '../../../packages/coordinator/src/store/control.js'
import { expireAttempts } from '../../../packages/coordinator/src/store/fail.js'
import { expireWaits as rowsOfWaits } from '../../../packages/coordinator/src/store/overdue.js'
import { loseWorkers, recordHeartbeats, registerWorker } from '../../../packages/coordinator/src/store/workers.js'
import type { CommandKind } from '../command.js'
import { roomOf, workerNames } from '../fleet.js'
import { type HeartbeatItem, heartbeat } from '../rules/claims.js'
import { drain, loseWorkers as lose, makeSuspect, register, silence, timePasses, wearOut } from '../rules/control.js'
import { type ExpiryKind, expire, isDue } from '../rules/endings.js'
import { expireWaits, isOver } from '../rules/waits.js'
import { mayStart } from '../step.js'
import { claimNumber, claimUuid, effectsOf, long, now, workerInfo } from '../store.js'
import { isTerminal, nameOf, type Over, openReview, type Subtask, subtaskOf, taskOf, type World } from '../world.js'
import { backoff } from './reports.js'
import { chooseRooms, showRooms } from './rooms.js'

/** What makes a clock of row `$1` run out a minute ago. */
const clocks = {
  lease: 'lease_until = $2',
  sla: 'sla_until = $2',
  backoff: 'run_after = $2',
  queueWait: "ready_at = $2::timestamptz - queue_wait_ms * interval '1 millisecond'",
  deadline: "scheduled_at = $2::timestamptz - deadline_ms * interval '1 millisecond'",
  grace: 'cancel_requested_at = $2',
} as const satisfies Record<keyof Over, string>
type Clock = keyof typeof clocks

/** Pause, approval and review stop the clocks of queue wait and deadline; what runs goes on under its own. */
function runs(world: World, clock: Clock, subtask: Subtask): boolean {
  const { state, scheduled, cancel } = subtask
  const task = taskOf(world, subtask.task)
  const counts = mayStart(world, task) && !openReview(world, subtask)
  switch (clock) {
    case 'lease':
    case 'sla':
      return state === 'running'
    case 'backoff':
      return state === 'retrying'
    case 'queueWait':
      return counts && (state === 'ready' || state === 'queued' || state === 'blocked')
    case 'deadline':
      return counts && scheduled && !isTerminal(state)
    case 'grace':
      return state === 'running' && cancel === 'requested'
  }
}

/** Not a command of anybody: a clock runs out, for whichever sweep looks next. */
export const timeKind: CommandKind = {
  name: 'time passes',
  weight: 14,
  choose(world, dice) {
    const running = (Object.keys(clocks) as Clock[]) // its keys are the clocks
      .flatMap(clock => world.subtasks.filter(s => !s.over[clock] && runs(world, clock, s)).map(({ id }) => ({ id, clock })))
    const chosen = dice.pick(running)
    if (!chosen) return undefined
    const { id, clock } = chosen
    return {
      text: `the ${words[clock]} of ${nameOf(world, id)} runs out`,
      apply: before => timePasses(before, id, clock),
      run: async ({ database }) => {
        const minuteAgo = new Date(Date.now() - 60_000)
        await database.query({ name: `pass_${clock}`, text: `update subtask_states set ${clocks[clock]} where id = $1` }, [id, minuteAgo])
        return null
      },
    }
  },
}

const words: Record<Clock, string> = {
  lease: 'lease',
  sla: 'SLA',
  backoff: 'backoff',
  queueWait: 'queue wait',
  deadline: 'deadline',
  grace: "cancel's grace",
}

/** Nineteen or twenty free ends in one: the cap is far away otherwise. */
export const wearKind: CommandKind = {
  name: 'wear out',
  weight: 0.7,
  choose(world, dice) {
    const subtask = dice.pick(world.subtasks.filter(s => s.state === 'running' && s.uncharged < 19))
    if (!subtask) return undefined
    const uncharged = 19 + dice.roll(2)
    return {
      text: `${nameOf(world, subtask.id)} has ended uncharged ${uncharged} times`,
      apply: before => wearOut(before, subtask.id, uncharged),
      run: async ({ database }) => {
        await database.query({ text: 'update subtask_states set uncharged = $2 where id = $1' }, [subtask.id, uncharged])
        return null
      },
    }
  },
}

/** Two losses in one: they take long to come by. */
export const suspectKind: CommandKind = {
  name: 'make a suspect',
  weight: 2,
  choose(world, dice) {
    const subtask = dice.pick(world.subtasks.filter(s => (s.state === 'queued' || s.state === 'running') && s.losses < 2))
    if (!subtask) return undefined
    return {
      text: `${nameOf(world, subtask.id)} has been lost twice with its worker`,
      apply: before => makeSuspect(before, subtask.id),
      run: async ({ database }) => {
        await database.query({ name: 'make_suspect', text: 'update subtask_states set losses = 2 where id = $1' }, [subtask.id])
        return null
      },
    }
  },
}

const expiry = (which: ExpiryKind, what: string, weight: number): CommandKind => ({
  name: `expire ${what}`,
  weight,
  choose(world, dice) {
    if (!world.subtasks.some(s => isDue(world, which, s))) return undefined
    const limit = dice.rarely(4) ? 1 : 500
    const rooms = chooseRooms(dice)
    return {
      text: `expire ${what}${limit === 1 ? ', one at most' : ''}${showRooms(rooms)}`,
      sweeps: true,
      apply: (before, skips) => expire(before, which, limit, rooms, skips),
      run: async ({ database }) => {
        const swept = await expireAttempts(database, which, { at: now(), leaseMs: long, limit }, roomOf(rooms), backoff)
        const ended = swept.ended.map(e => ({ subtask: Number(e.id), worker: e.worker_id, claim: claimNumber(e.claim_id) }))
        return { ended: ended.sort((a, b) => a.subtask - b.subtask), ...effectsOf(swept) }
      },
    }
  },
})

export const expireLeasesKind = expiry('lost', 'leases', 20)
export const expireSlasKind = expiry('late', 'SLAs', 20)
export const expireDeadlinesKind = expiry('overdue', 'deadlines', 16)
export const forceCancelsKind = expiry('unheeded', 'cancels', 16)

/** Queue waits, and deadlines of what does not run. */
export const expireWaitsKind: CommandKind = {
  name: 'expire waits',
  weight: 16,
  choose(world, dice) {
    if (!world.subtasks.some(s => isOver(world, s))) return undefined
    const limit = dice.rarely(4) ? 1 : 500
    const rooms = chooseRooms(dice)
    return {
      text: `expire waits${limit === 1 ? ', one at most' : ''}${showRooms(rooms)}`,
      sweeps: true,
      apply: (before, skips) => expireWaits(before, limit, rooms, skips),
      run: async ({ database }) => {
        const waits = await rowsOfWaits(database, now(), limit, roomOf(rooms))
        return { ended: waits.ended, ...effectsOf(waits) }
      },
    }
  },
}

/** A worker speaks, also of claims that are no longer its own. */
export const heartbeatKind: CommandKind = {
  name: 'heartbeat',
  weight: 2,
  choose(world, dice) {
    const worker = dice.pick(workerNames) ?? 'w1'
    const own = world.grants.filter(({ claim }) => claim.worker === worker || dice.rarely(10))
    const running = own.filter(
      ({ subtask, attempt }) => subtaskOf(world, subtask).state === 'running' && subtaskOf(world, subtask).attempt === attempt,
    )
    const told = new Map([...running, ...(dice.rarely(3) ? dice.some(own, 2) : [])].map(g => [g.claim.id, g]))
    const item: HeartbeatItem = {
      worker,
      state: dice.rarely(10) ? 'draining' : 'ready',
      active: [...told.values()].map(({ subtask, claim }) => ({ subtask, claim: claim.id })),
    }
    return {
      text: `heartbeat of ${worker}, ${item.state}, with ${item.active.map(a => `${nameOf(world, a.subtask)} c${a.claim}`).join(', ') || 'nothing'}`,
      names: item.active.map(a => a.subtask),
      apply: before => heartbeat(before, item),
      run: async ({ database }) => {
        const active = item.active.map(a => ({ subtask: String(a.subtask), claim_id: claimUuid(a.claim) }))
        const [verdict] = await recordHeartbeats(
          database,
          [{ worker_id: worker, state: item.state, active, load: {}, loop_lag_ms: 0 }],
          long,
        )
        return { known: verdict?.known, drain: verdict?.drain, held: verdict?.held.map(claimNumber).sort((a, b) => a - b) }
      },
    }
  },
}

export const silenceKind: CommandKind = {
  name: 'silence',
  weight: 0.3,
  choose(world, dice) {
    const worker = dice.pick(world.workers.filter(w => !w.silent))
    if (!worker) return undefined
    return {
      text: `${worker.name} falls silent`,
      apply: before => silence(before, worker.name),
      run: async ({ database }) => {
        await database.query({ text: `update workers set last_heartbeat_at = clock_timestamp() - interval '1 hour' where id = $1` }, [
          worker.name,
        ])
        return null
      },
    }
  },
}

export const loseKind: CommandKind = {
  name: 'lose workers',
  weight: 1,
  choose(world) {
    if (!world.workers.some(w => w.silent && w.state !== 'lost')) return undefined
    return {
      text: 'lose silent workers',
      sweeps: true,
      apply: lose,
      run: async ({ database }) => ({ lost: await loseWorkers(database, 1_800_000, now()) }),
    }
  },
}

export const registerKind: CommandKind = {
  name: 'register',
  weight: 1,
  choose(world, dice) {
    const worker = dice.pick(world.workers.filter(w => w.state !== 'ready'))
    if (!worker) return undefined
    return {
      text: `${worker.name} registers again`,
      apply: before => register(before, worker.name),
      run: async ({ database }) => {
        await registerWorker(database, workerInfo(worker.name))
        return null
      },
    }
  },
}

export const drainKind: CommandKind = {
  name: 'drain',
  weight: 0.2,
  choose(world, dice) {
    const worker = dice.pick(world.workers)
    if (!worker) return undefined
    return {
      text: `drain ${worker.name}`,
      apply: before => drain(before, worker.name),
      run: async ({ database }) => ({ state: (await drainWorker(database, worker.name, 'ops'))?.state }),
    }
  },
}
