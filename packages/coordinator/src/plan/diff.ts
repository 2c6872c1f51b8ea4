/**
 * What a new plan makes of a task that is under way: what stays, what goes, what comes. Pure.
 *
 * D1 finished work stays, and so does what runs, unless it is to be cancelled; a plan that names it does not start it anew
 * D2 what an agent spawned belongs to its spawner: it stays or goes with it, and whoever waits for the spawner waits for it
 * D3 a subtask that is planned as it stands is kept with all it has come to; anything else of its name takes its place
 * D4 what ended without letting others go on (cancelled, failed) is never kept: planned again it runs again, else it goes
 */
import { canonicalJson, type FieldIssue, type PlannedSubtask, type SubtaskState } from '@baton/shared'
import { allDependencies } from '../core/graph.js'
import { validateGraph } from './validate-graph.js'

/** A subtask of the task as it stands. */
export interface StandingSubtask {
  readonly id: string
  readonly name: string
  readonly title: string | null
  readonly state: SubtaskState
  /** The id of its spawner. */
  readonly spawned_by: string | null
  readonly depends_on: readonly string[]
  readonly capability: string
  readonly agent: string | null
  readonly requires: readonly string[]
  readonly input: string | null
  readonly requires_approval: boolean
  readonly sla_ms: number | null
  readonly queue_wait_ms: number | null
  readonly deadline_ms: number | null
  readonly lease_ms: number | null
  readonly backoff_initial_ms: number | null
  readonly backoff_max_ms: number | null
  readonly on_failure: string
  readonly isolation: string | null
  readonly attempt_limit: number | null
}

export interface PlanChange {
  /** To be stored, with dependencies on what was spawned by what they wait for. */
  readonly fresh: readonly PlannedSubtask[]
  /** Ids of those that go, and whose places others take. */
  readonly superseded: readonly string[]
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly changed: readonly { readonly name: string; readonly fields: readonly string[] }[]
  readonly kept: readonly string[]
  /** Names that the new plan names although they stay as they are (D1). */
  readonly unmoved: readonly string[]
  /** What is wrong with the new plan as a change of this task. */
  readonly issues: readonly FieldIssue[]
}

export interface ChangeOptions {
  readonly running: 'keep' | 'cancel'
  /** Attempts where a subtask does not say. */
  readonly attemptLimit: number
}

/** Whether it let its dependents go on. */
export function hasPassed({ state, on_failure }: Pick<StandingSubtask, 'state' | 'on_failure'>): boolean {
  return state === 'completed' || state === 'skipped' || (state === 'failed' && on_failure === 'continue')
}

/** Names of what stays whatever the new plan says (D1, D2). */
export function stayingOf(standing: readonly StandingSubtask[], running: 'keep' | 'cancel'): StandingSubtask[] {
  const byId = new Map(standing.map(one => [one.id, one]))
  const stays = new Map<string, boolean>()
  const decide = (one: StandingSubtask): boolean => {
    const known = stays.get(one.id)
    if (known !== undefined) return known
    const spawner = one.spawned_by === null ? undefined : byId.get(one.spawned_by)
    const answer = spawner
      ? decide(spawner) && ((one.state !== 'cancelled' && one.state !== 'failed') || hasPassed(one)) // D4
      : hasPassed(one) || (one.state === 'running' && running === 'keep')
    stays.set(one.id, answer)
    return answer
  }
  return standing.filter(decide)
}

export function changeOf(standing: readonly StandingSubtask[], planned: readonly PlannedSubtask[], options: ChangeOptions): PlanChange {
  const staying = new Map(stayingOf(standing, options.running).map(one => [one.name, one]))
  // What was spawned by something that goes, goes too, whatever its name (D2).
  const open = new Map(standing.filter(one => !staying.has(one.name) && one.spawned_by === null).map(one => [one.name, one]))
  const rest = planned.filter(({ name }) => !staying.has(name))
  const issues = validateGraph(rest.map(toNode), { existing: new Set(staying.keys()) })

  const kept = new Set<string>()
  const changed: { name: string; fields: string[] }[] = []
  const spawnedNames = new Set(standing.filter(one => one.spawned_by !== null).map(one => one.name))
  for (const subtask of rest) {
    const before = open.get(subtask.name)
    if (!before) continue
    const fields = differing(before, subtask, { ...options, spawnedNames })
    if (fields.length === 0) kept.add(subtask.name)
    else changed.push({ name: subtask.name, fields })
  }
  const names = new Set(rest.map(({ name }) => name))
  const children = childrenByName(standing, staying)
  return {
    fresh: rest
      .filter(({ name }) => !kept.has(name))
      .map(subtask => ({
        ...subtask,
        dependsOn: [...new Set([...subtask.dependsOn, ...[...allDependencies(subtask)].flatMap(name => children(name))])],
      })),
    superseded: standing.filter(({ name }) => !staying.has(name) && !kept.has(name)).map(({ id }) => id),
    added: rest.filter(({ name }) => !open.has(name)).map(({ name }) => name),
    removed: standing.filter(one => !staying.has(one.name) && !(open.has(one.name) && names.has(one.name))).map(({ name }) => name),
    changed,
    kept: [...staying.keys(), ...kept],
    unmoved: planned.filter(({ name }) => staying.has(name)).map(({ name }) => name),
    issues,
  }
}

const toNode = (subtask: PlannedSubtask) => ({
  name: subtask.name,
  capability: subtask.capability,
  agent: subtask.agent ?? undefined,
  requires: subtask.requires,
  depends_on: subtask.dependsOn,
  input: subtask.input?.includes('{{') ? (JSON.parse(subtask.input) as unknown) : undefined,
})

/** Everything that a staying subtask has spawned, and what that has spawned (D2). */
function childrenByName(standing: readonly StandingSubtask[], staying: ReadonlyMap<string, StandingSubtask>): (name: string) => string[] {
  const bySpawner = new Map<string, StandingSubtask[]>()
  for (const one of standing) if (one.spawned_by !== null) bySpawner.set(one.spawned_by, [...(bySpawner.get(one.spawned_by) ?? []), one])
  return name => {
    const found: string[] = []
    const queue = [staying.get(name)?.id ?? '']
    for (const id of queue)
      for (const child of bySpawner.get(id) ?? []) {
        found.push(child.name)
        queue.push(child.id)
      }
    return found
  }
}

/** In which respects a subtask is planned otherwise than it stands; its title alone is no reason to begin anew. */
function differing(
  before: StandingSubtask,
  after: PlannedSubtask,
  { attemptLimit, spawnedNames }: ChangeOptions & { spawnedNames: ReadonlySet<string> },
): string[] {
  if (before.state === 'cancelled' || before.state === 'failed') return ['state'] // D4
  if (before.state === 'running') return ['state'] // it is to be cancelled
  const own = (names: Iterable<string>) => [...new Set(names)].filter(name => !spawnedNames.has(name)).sort()
  const pairs: readonly [string, unknown, unknown][] = [
    ['capability', before.capability, after.capability],
    ['agent', before.agent, after.agent],
    ['requires', [...before.requires].sort(), [...after.requires].sort()],
    ['input', inputOf(before.input), inputOf(after.input)],
    ['depends_on', own(before.depends_on), own(allDependencies(after))],
    ['requires_approval', before.requires_approval, after.requiresApproval],
    ['sla_seconds', before.sla_ms, after.slaMs],
    ['queue_wait_seconds', before.queue_wait_ms, after.queueWaitMs],
    ['deadline_seconds', before.deadline_ms, after.deadlineMs],
    ['lease_seconds', before.lease_ms, after.leaseMs],
    ['backoff', [before.backoff_initial_ms, before.backoff_max_ms], [after.backoffInitialMs, after.backoffMaxMs]],
    ['on_failure', before.on_failure, after.onFailure],
    ['max_attempts', before.attempt_limit ?? attemptLimit, after.maxAttempts ?? attemptLimit],
    ['isolation', before.isolation, after.isolation],
  ]
  return pairs.flatMap(([field, one, other]) => (JSON.stringify(one) === JSON.stringify(other) ? [] : [field]))
}

const inputOf = (input: string | null): string | null => (input === null ? null : canonicalJson(JSON.parse(input)))
