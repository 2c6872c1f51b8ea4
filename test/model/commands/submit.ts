import { buildGraph } from '../../../packages/coordinator/src/core/graph.js'
import { insertTasks, type NewTask } from '../../../packages/coordinator/src/store/submit.js'
import type { CommandKind } from '../command.js'
import { orchestratorNumbers, queueOf, type Rooms, routeId, routeNames, routes } from '../fleet.js'
import { defaultAttemptLimit, type Submit, submit } from '../rules/submission.js'
import { jobsOf, long, type Store } from '../store.js'
import type { Draft, TaskDraft } from '../world.js'
import { chooseRooms, showRooms } from './rooms.js'

/** A producer sends a task, or one again that it sent before (I8). */
export const submitKind: CommandKind = {
  name: 'submit',
  weight: 4,
  choose(world, dice) {
    const next = world.drafts.find(draft => !world.tasks.some(task => task.name === draft.name))
    const known = world.drafts.filter(draft => world.tasks.some(task => task.name === draft.name))
    const again = dice.rarely(8)
    const draft = again ? dice.pick(known) : next
    if (!draft) return undefined
    const execute = !dice.rarely(4)
    const rooms: Rooms = execute ? chooseRooms(dice) : {}
    const unroutable = dice.rarely(6) ? dice.some(routeNames, 2) : []
    const command: Submit = { draft, firstId: world.nextId, execute, rooms, unroutable }
    return {
      text: `submit ${again ? 'again ' : ''}${showTask(draft)}${execute ? `, execute${showRooms(rooms)}` : ''}${unroutable.length > 0 ? `, nobody serves ${unroutable.join(', ')}` : ''}`,
      apply: before => submit(before, command),
      run: store => run(store, command),
    }
  },
}

/** As commands/submit.ts asks before it looks for room. */
const runs = `select o.status = 'running' and n.paused_at is null as runs from orchestrators o join tenants n on n.id = o.tenant_id where o.tenant_id = 1 and o.id = $1`

async function run({ database, ids }: Store, { draft, firstId, execute, rooms, unroutable }: Submit) {
  ids.startAt(firstId)
  const next = await ids.draw(draft.subtasks.length + 1)
  const id = next()
  const left = new Map(Object.entries(rooms))
  const { rows } = await database.query<{ runs: boolean }>({ name: 'orchestrator_runs', text: runs }, [draft.orchestrator])
  const planned = draft.subtasks.map(plannedOf)
  const routeIds = draft.subtasks.map(s => routeId(s.route))
  const graph = buildGraph(planned, {
    owner: orchestratorNumbers[draft.orchestrator] ?? 0,
    tenantId: 1,
    taskPk: id,
    taskId: draft.name,
    priority: draft.priority,
    attemptLimit: defaultAttemptLimit,
    queueWaitMs: () => long,
    deadlineMs: long,
    running: execute,
    spawnedBy: null,
    firstOrdinal: 1,
    numbers: new Map(),
    outside: new Map(),
    nextId: next,
    newUuid: () => crypto.randomUUID(),
    routeIds,
    place: route => {
      const name = routeNames[route - 1]
      if (name === undefined || unroutable.includes(name)) return 'blocked'
      const room = left.get(name) ?? 0
      if (!rows[0]?.runs || room === 0) return null
      left.set(name, room - 1)
      return { queue: queueOf(name) }
    },
  })
  const { active, reviewing, blocked } = graph
  const task: NewTask = {
    id,
    tenant_id: 1,
    task_id: draft.name,
    orchestrator_id: draft.orchestrator,
    title: draft.name,
    description: null,
    // As commands/submit.ts has it.
    status: !execute ? 'planned' : active > 0 ? 'running' : reviewing > 0 ? 'needs_review' : 'blocked',
    priority: draft.priority,
    metadata: '{}',
    context: '{}',
    digest: '',
    field_digests: '{}',
    callback_url: null,
    plan: '{}',
    sla_ms: null,
    due_at: null,
    total: planned.length,
    active,
    reviewing,
    blocked,
    waits: false,
  }
  const inserted = await insertTasks(
    database,
    { tasks: [task], subtasks: graph.subtasks, edges: graph.edges },
    { leaseMs: long, defaultSlaMs: long },
  )
  const jobs = graph.subtasks.flatMap(s =>
    s.state === 'queued' && s.queue !== null ? [{ id: s.id, attempt: 1, dispatch: 1, queue: s.queue, route_id: s.route_id }] : [],
  )
  return { inserted: inserted.ids.has(id), jobs: inserted.ids.has(id) ? jobsOf(jobs) : [] }
}

export function plannedOf(draft: Draft) {
  const { capability, agent, requires } = routes[draft.route]
  return {
    name: draft.name,
    title: null,
    capability,
    agent,
    requires,
    input: null,
    dependsOn: draft.dependsOn,
    requiresApproval: draft.requiresApproval,
    slaMs: null,
    queueWaitMs: null,
    deadlineMs: null,
    leaseMs: null,
    backoffInitialMs: null,
    backoffMaxMs: null,
    onFailure: draft.onFailure,
    maxAttempts: draft.attemptLimit,
    isolation: null,
  }
}

function showTask({ name, orchestrator, priority, subtasks }: TaskDraft): string {
  const of = orchestrator === 'default' ? '' : ` of ${orchestrator}`
  return `${name}${of}${priority > 0 ? ` (priority ${priority})` : ''} [${subtasks.map(showDraft).join('; ')}]`
}

export function showDraft({ name, dependsOn, onFailure, requiresApproval, route, attemptLimit }: Draft): string {
  const after = dependsOn.length > 0 ? ` after ${dependsOn.join('+')}` : ''
  const limit = attemptLimit === null ? '' : ` ×${attemptLimit}`
  return `${name}:${route}${after}${requiresApproval ? ' approval' : ''}${onFailure === 'review' ? '' : ` ${onFailure}`}${limit}`
}
