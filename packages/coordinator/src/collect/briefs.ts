/**
 * What this coordinator remembers of the tasks that it stored itself: the briefs of their subtasks, and what those that
 * completed gave to their dependents. Whoever claims such a subtask is briefed from memory; for any other, or where the
 * graph has changed meanwhile, Postgres is asked (store/start-known.ts, store/claims.ts).
 *
 * Nothing here is a fact that could be wrong: definitions never change, nor do outputs of what completed, and the
 * dependencies are compared when the claim is granted. Bounded: the oldest tasks are forgotten first, and a task too large
 * is not remembered at all.
 */
import { type DependencyView, type Grant, maxInlineBytes } from '@baton/shared'
import { SlotMap } from '@baton/shared/node'
import type { KnownClaim, Started } from '../store/start-known.js'
import type { Edge, NewSubtask, NewTask } from '../store/submit.js'

interface BriefsLimits {
  /** Of all tasks together, and of one. */
  readonly subtasks: number
  readonly subtasksOfTask: number
  /** Characters of inputs, contexts and outputs, all together. */
  readonly characters: number
}

/** A larger task is not remembered. */
export const maxRemembered = 2_000
const defaultLimits: BriefsLimits = { subtasks: 20_000, subtasksOfTask: maxRemembered, characters: 16 * 1024 * 1024 }
/** As many as a grant lists. */
const maxDependencies = 100

/** Of a task's row no more than a brief says: the rest is long, and is let go of. */
interface KnownTask extends Pick<NewTask, 'task_id' | 'title' | 'context'> {
  readonly subtasks: readonly NewSubtask[]
  characters: number
}

interface KnownSubtask {
  readonly task: KnownTask
  readonly row: NewSubtask
  /** Ids of its dependencies. */
  readonly after: string[]
  /** Ids of those that depend on it. */
  readonly before: string[]
  /** As its dependents see it, once it has completed: JSON text. */
  view: string | undefined
}

/** What is known of a claimed subtask, and how to say it. */
export interface Brief extends Pick<KnownClaim, 'after' | 'sla_ms' | 'lease_ms' | 'deadline_ms'> {
  /** A `Grant` as JSON text. */
  grant(started: Omit<Started, 'waited'>): string
}

/** What is known of a subtask that could start. */
interface Follower extends Pick<KnownClaim, 'id' | 'after' | 'sla_ms' | 'lease_ms' | 'deadline_ms'> {
  readonly route_id: number
}

export class Briefs {
  private readonly limits: BriefsLimits
  private readonly tasks = new SlotMap<string, KnownTask>()
  private readonly subtasks = new SlotMap<string, KnownSubtask>()
  private characters = 0

  constructor(limits: Partial<BriefsLimits> = {}) {
    this.limits = { ...defaultLimits, ...limits }
  }

  /** A task was stored with this graph. */
  stored(row: NewTask, subtasks: readonly NewSubtask[], edges: readonly Edge[]): void {
    const { limits } = this
    let characters = row.context.length
    for (const { input } of subtasks) characters += input?.length ?? 0
    if (subtasks.length > limits.subtasksOfTask || characters > limits.characters / 8) return
    const { task_id, title, context } = row
    const task = { task_id, title, context, subtasks, characters }
    this.tasks.set(row.id, task)
    this.characters += characters
    for (const subtask of subtasks) this.subtasks.set(subtask.id, { task, row: subtask, after: [], before: [], view: undefined })
    for (const [from, to] of edges) {
      this.subtasks.get(to)?.after.push(from)
      this.subtasks.get(from)?.before.push(to)
    }
    this.forget()
  }

  private forget(): void {
    const { limits } = this
    for (const oldest of this.tasks.keys()) {
      if (this.subtasks.size <= limits.subtasks && this.characters <= limits.characters) break
      this.ended(oldest)
    }
  }

  /** Its result was accepted, and brought nothing beside the output. */
  completed(subtask: string, output: string): void {
    const known = this.subtasks.get(subtask)
    if (!known || known.before.length === 0 || known.view !== undefined) return
    const { name, subtask_id, ordinal } = known.row
    const view: DependencyView = {
      name,
      subtask_id,
      ordinal,
      state: 'completed',
      output,
      output_chars: charactersOf(output),
      failure: null,
      artifacts: [],
    }
    known.view = JSON.stringify(view)
    known.task.characters += known.view.length
    this.characters += known.view.length
    this.forget()
  }

  /**
   * What could start when `subtask` has completed: the first of its dependents that then waits for nothing else, as far as is
   * known here. `completing`: what completes with it, itself included.
   */
  follower(subtask: string, completing: ReadonlySet<string>): Follower | undefined {
    for (const id of this.subtasks.get(subtask)?.before ?? []) {
      const child = this.subtasks.get(id)
      if (!child || child.row.gate !== null || child.after.length > maxDependencies) continue
      if (!child.after.every(before => completing.has(before) || this.subtasks.get(before)?.view !== undefined)) continue
      const { sla_ms, lease_ms, deadline_ms, route_id } = child.row
      return { id, route_id, after: inOrder(child.after), sla_ms, lease_ms, deadline_ms }
    }
    return undefined
  }

  /** Nothing of the task will be claimed any more; or it is forgotten. */
  ended(taskPk: string): void {
    const task = this.tasks.delete(taskPk)
    if (!task) return
    this.characters -= task.characters
    for (const { id } of task.subtasks) this.subtasks.delete(id)
  }

  /** Whether it is remembered at all. */
  knows(subtask: string): boolean {
    return this.subtasks.has(subtask)
  }

  of(subtask: string): Brief | undefined {
    const known = this.subtasks.get(subtask)
    if (!known || known.after.length > maxDependencies) return undefined
    const { row, task } = known
    const after = inOrder(known.after)
    const dependencies: { ordinal: number; view: string }[] = []
    let characters = 0
    for (const id of after) {
      const dependency = this.subtasks.get(id)
      if (dependency?.view === undefined) return undefined
      characters += dependency.view.length
      dependencies.push({ ordinal: dependency.row.ordinal, view: dependency.view })
    }
    // A character is at most three bytes of UTF-8: whatever might have to travel in pages is left to the one who measures bytes.
    if (3 * characters > maxInlineBytes || 3 * (row.input?.length ?? 0) > maxInlineBytes) return undefined
    dependencies.sort((a, b) => a.ordinal - b.ordinal)
    const { sla_ms, lease_ms, deadline_ms } = row
    return { after, sla_ms, lease_ms, deadline_ms, grant: started => grantText(task, row, started, dependencies) }
  }
}

const inOrder = (ids: readonly string[]): string[] => [...ids].sort((a, b) => Number(a) - Number(b))

function grantText(task: KnownTask, row: NewSubtask, started: Omit<Started, 'waited'>, dependencies: readonly { view: string }[]): string {
  const { attempt, attempt_limit, progress, sla_ms, lease_ms, deadline_in_ms } = started
  const brief: Omit<Grant, 'dependencies' | 'more_dependencies'> = {
    task_id: task.task_id,
    task_title: task.title,
    subtask_id: row.subtask_id,
    uuid: row.uuid,
    name: row.name,
    title: row.title,
    capability: row.capability,
    attempt,
    attempt_limit,
    input: row.input,
    input_chars: row.input === null ? null : charactersOf(row.input),
    context: task.context === '{}' ? null : task.context,
    progress,
    isolation: row.isolation as Grant['isolation'], // as the submission's schema has let it in
    sla_ms,
    lease_ms,
    deadline_in_ms,
  }
  return `${JSON.stringify(brief).slice(0, -1)},"dependencies":[${dependencies.map(({ view }) => view).join(',')}],"more_dependencies":false}`
}

/** As Postgres counts them: a pair of surrogates is one. */
function charactersOf(text: string): number {
  let pairs = 0
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xd800) pairs++
  return text.length - pairs
}
