import { Artifacts } from '../../../packages/coordinator/src/artifacts/artifacts.js'
import { completeWithExtras } from '../../../packages/coordinator/src/collect/extras.js'
import { judgeResults } from '../../../packages/coordinator/src/collect/judge-results.js'
import { completeAttempts } from '../../../packages/coordinator/src/store/complete.js'
import type { Queryable } from '../../../packages/coordinator/src/store/database.js'
import { failAttempts } from '../../../packages/coordinator/src/store/fail.js'
import type { EffectsRow } from '../../../packages/coordinator/src/store/fragments.js'
import { postgresArtifacts } from '../../../packages/coordinator/src/store/postgres-artifacts.js'
import type { CommandKind, Dice } from '../command.js'
import { type Rooms, type RouteName, roomOf, routeNames, routes } from '../fleet.js'
import { complete, completeAndSpawn, type Failed, fail, type Report, type Result, type Wish } from '../rules/endings.js'
import { claimNumber, claimUuid, effectsOf, long } from '../store.js'
import { type Draft, nameOf, subtaskOf, type World } from '../world.js'
import { briefOf } from './claim.js'
import { chooseRooms, showRooms } from './rooms.js'
import { showDraft } from './submit.js'

export const backoff = { initialMs: long, maxMs: long }

const isCurrent = (world: World, { subtask, attempt }: Report): boolean => {
  const { state, attempt: now } = subtaskOf(world, subtask)
  return state === 'running' && now === attempt
}

/** Reports in any order: mostly of attempts that run, also of old ones, of unknown claims, and the same twice. */
function chooseReports(world: World, dice: Dice): Report[] {
  const granted = world.grants.map(({ subtask, attempt, claim }) => ({ subtask, attempt, claim: claim.id }))
  const running = granted.filter(report => isCurrent(world, report))
  const old = dice.rarely(5) || (running.length === 0 && dice.rarely(6)) ? dice.some(granted, 2) : []
  const reports = [...dice.some(running, 3), ...old]
  if (dice.rarely(8) && reports[0]) reports.push(reports[0])
  if (dice.rarely(12) && reports[0]) reports.push({ ...reports[0], claim: 999 })
  if (dice.rarely(20) && reports[0]) reports[0] = { ...reports[0], claim: 998 }
  if (dice.rarely(12) && reports[0]) reports.unshift({ ...reports[0], attempt: reports[0].attempt + 1 })
  return reports
}

/** JSON text that no parser would write back the same (I16). */
const outputOf = ({ subtask, claim }: Report): string => `{"z": 1.0,"a":"ü ${subtask}"  ,"c":${claim}.50}`

const stored = ({ subtask, attempt, claim }: Report) => ({ id: String(subtask), attempt, claim_id: claimUuid(claim) })
const show = (world: World, { subtask, attempt, claim }: Report): string => `${nameOf(world, subtask)}#${attempt} c${claim}`

export const completeKind: CommandKind = {
  name: 'complete',
  weight: 16,
  choose(world, dice) {
    const judgedAlone = dice.rarely(3)
    let fresh = world.claims
    const items: Result[] = chooseReports(world, dice).map(report => ({
      ...report,
      output: outputOf(report),
      wish: judgedAlone || dice.rarely(3) ? undefined : wishOf(world, report, dice, () => ++fresh),
    }))
    if (items.length === 0) return undefined
    // What is wished for comes true where there is room.
    const roomy = items.some(item => item.wish) && !dice.rarely(4)
    const rooms: Rooms = roomy ? Object.fromEntries(routeNames.map(route => [route, 2])) : chooseRooms(dice)
    const shown = items.map(item => `${show(world, item)}${showWish(world, item.wish)}`)
    return {
      text: `complete ${judgedAlone ? 'by judgement alone ' : ''}${shown.join(', ')}${showRooms(rooms)}`,
      names: items.map(i => i.subtask),
      apply: before => complete(before, items, rooms),
      run: async ({ database }) => {
        const items_ = items.map(({ wish, ...item }) => ({
          ...stored(item),
          output: item.output,
          ...(wish && { next: { claim_id: claimUuid(wish.claim), spare: true } }),
        }))
        if (judgedAlone) {
          const settled = await completeAttempts(database, items_, roomOf(rooms))
          return { verdicts: settled.verdicts, refused: [...settled.refused].sort(), ...effectsOf(settled), handed: [] }
        }
        const known = await Promise.all(
          items.flatMap(({ subtask, wish }) => (wish ? [followerOf(database, wish).then(brief => [String(subtask), brief] as const)] : [])),
        )
        const followers = new Map(known.reverse()) // of a subtask that is reported twice, what is known for its first report
        const all: EffectsRow = { jobs: [], tasks: [], ready: [], touched: [] }
        const { verdicts, refused, handed } = await judgeResults(
          {
            database,
            briefs: { of: () => undefined, completed: () => undefined, follower: id => followers.get(id) },
            room: () => roomOf(rooms),
            idle: () => false,
            leaseMs: long,
            defaultSlaMs: long,
            onSettled: async effects => {
              for (const key of ['jobs', 'tasks', 'ready', 'touched'] as const) (all[key] as unknown[]).push(...effects[key]) // of one kind
            },
          },
          items_,
        )
        const started = [...handed.values()].filter(each => !each.again)
        return {
          verdicts,
          refused: [...refused].sort(),
          ...effectsOf(all),
          handed: started
            .map(({ id, attempt, dispatch, queue, claim_id }) => ({
              subtask: Number(id),
              attempt,
              dispatch,
              queue,
              claim: claimNumber(claim_id),
            }))
            .sort((a, b) => a.subtask - b.subtask),
        }
      },
    }
  },
}

/** Mostly a child of what was completed. */
function wishOf(world: World, { subtask }: Report, dice: Dice, claimId: () => number): Wish | undefined {
  const { task, route } = subtaskOf(world, subtask)
  const children = world.subtasks.filter(s => s.dependsOn.includes(subtask))
  const alike = children.filter(s => s.route === route && s.state === 'pending')
  const all = dice.rarely(12) ? world.subtasks.filter(s => s.task === task) : children
  const child = dice.pick(alike.length > 0 && !dice.rarely(4) ? alike : all)
  return child && { child: child.id, claim: claimId(), outdated: dice.rarely(6) }
}

const showWish = (world: World, wish: Wish | undefined): string =>
  wish ? ` then ${nameOf(world, wish.child)} as c${wish.claim}${wish.outdated ? ' by another graph' : ''}` : ''

/** What a coordinator would remember of the child that stored the task. */
async function followerOf(database: Queryable, { child, outdated }: Wish) {
  const brief = await briefOf(database, String(child), { outdated })
  return { id: String(child), route_id: 1, ...brief }
}

export const failKind: CommandKind = {
  name: 'fail',
  weight: 20,
  choose(world, dice) {
    const items = chooseReports(world, dice).map((report): Failed => {
      const outcome = dice.rarely(4) ? 'released' : 'failed'
      return { ...report, outcome, retryable: outcome === 'released' || !dice.rarely(4) }
    })
    if (items.length === 0) return undefined
    const rooms = chooseRooms(dice)
    return {
      text: `fail ${items.map(i => `${show(world, i)} ${i.outcome}${i.retryable ? '' : ' for good'}`).join(', ')}${showRooms(rooms)}`,
      names: items.map(i => i.subtask),
      apply: before => fail(before, items, rooms),
      run: async ({ database }) => {
        const failed = items.map(item => ({
          ...stored(item),
          outcome: item.outcome,
          failure: JSON.stringify({ code: 'agent_error', message: 'no', retryable: item.retryable }),
          retryable: item.retryable,
          charged: item.outcome === 'failed',
          saved: null,
        }))
        const settled = await failAttempts(database, failed, roomOf(rooms), backoff)
        return { verdicts: settled.verdicts, ...effectsOf(settled) }
      },
    }
  },
}

/** A result that brings further subtasks; now and then late, repeated, or with a name that is taken. */
export const spawnKind: CommandKind = {
  name: 'spawn',
  weight: 6,
  choose(world, dice) {
    const report = chooseReports(world, dice)[0]
    if (!report) return undefined
    const spawner = subtaskOf(world, report.subtask)
    const siblings = world.subtasks.filter(s => s.task === spawner.task && s.id !== spawner.id)
    const names = Array.from({ length: 1 + dice.roll(2) }, (_, n) => `spawned${world.spawned + n + 1}`)
    const taken = dice.rarely(12) ? dice.pick(siblings)?.name : undefined
    const drafts = names.map(
      (name, n): Draft => ({
        name: n === 0 ? (taken ?? name) : name,
        dependsOn: [
          ...(n > 0 && dice.rarely(2) ? [taken ?? `spawned${world.spawned + 1}`] : []),
          ...(dice.rarely(4) ? [spawner.name] : []),
        ],
        onFailure: dice.rarely(3) ? 'skip' : 'review',
        requiresApproval: dice.rarely(5),
        route: dice.pick(routeNames) ?? 'alpha',
        attemptLimit: dice.rarely(3) ? 1 : null,
      }),
    )
    const item: Result = { ...report, output: outputOf(report) }
    const rooms = chooseRooms(dice)
    const firstId = world.nextId
    return {
      text: `complete ${show(world, item)} and spawn [${drafts.map(showDraft).join('; ')}]${showRooms(rooms)}`,
      names: [item.subtask],
      apply: before => completeAndSpawn(before, item, { drafts, firstId }, rooms),
      run: async ({ database, ids, spawner: planner }) => {
        ids.startAt(firstId)
        const outcome = await completeWithExtras(
          {
            database,
            room: roomOf(rooms),
            spawner: planner,
            artifacts: new Artifacts({ postgres: postgresArtifacts(database), into: 'postgres' }),
          },
          { ...stored(item), output: item.output },
          { kind: 'completed', output: item.output, spawn: drafts.map(requestOf) },
        )
        if (outcome.kind === 'rejected') return { rejected: true }
        const { settled, spawned } = outcome
        return { rejected: false, spawned, verdicts: settled.verdicts, refused: settled.refused, ...effectsOf(settled), handed: [] }
      },
    }
  },
}

function requestOf({ name, dependsOn, onFailure, requiresApproval, route, attemptLimit }: Draft) {
  const { capability, agent, requires }: { capability: string; agent: string | null; requires: readonly string[] } =
    routes[route as RouteName]
  return {
    name,
    capability,
    ...(agent !== null && { agent }),
    requires: [...requires],
    depends_on: [...dependsOn],
    on_failure: onFailure,
    requires_approval: requiresApproval,
    ...(attemptLimit !== null && { max_attempts: attemptLimit }),
  }
}
