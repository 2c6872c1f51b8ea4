/** Agents that tests can hold, fail and watch, and small words for following their tasks. */
import type { BatonError, ReviewView, SubtaskRequest, SubtaskView, TaskStatus, TaskView } from '@baton/shared'
import { type Agent, type AgentContext, defineAgent } from '@baton/worker'
import { expect, vi } from 'vitest'
import type { OpenLocal } from './open-local.js'

const patience = { timeout: 25_000, interval: 10 }

export type Scene = ReturnType<typeof createScene>

/** `prefix` begins the ids of the tasks, so that several scenes can share a coordinator. */
export function createScene(prefix: string, place: () => OpenLocal) {
  let count = 0
  /** Attempts that began, as `task/subtask#attempt`. */
  const begun: string[] = []
  const aborts: string[] = []
  /** Subtasks whose attempts fail for as long as they stand here, as `task/subtask`. */
  const failing = new Set<string>()
  const held = new Map<string, (value: unknown) => void>()
  const keyOf = ({ taskId, name }: AgentContext) => `${taskId}/${name}`
  const begin = (context: AgentContext) => begun.push(`${keyOf(context)}#${context.attempt}`)
  const dependenciesOf = async (context: AgentContext) => {
    const seen: [string, string, unknown][] = []
    for await (const dependency of context.dependencies) seen.push([dependency.name, dependency.state, await dependency.output()])
    return seen
  }

  /** Runs until a test lets it go, or it is aborted. */
  const holding = (name: string): Agent =>
    defineAgent({
      name,
      concurrency: 8,
      run: (_, context) =>
        new Promise((resolve, reject) => {
          held.set(keyOf(context), resolve)
          context.signal.addEventListener(
            'abort',
            () => {
              aborts.push(keyOf(context))
              reject(context.signal.reason)
            },
            { once: true },
          )
          begin(context)
        }),
    })
  const agents: Agent[] = [
    defineAgent({
      name: 'echo',
      concurrency: 8,
      run: (input, context) => {
        begin(context)
        if (failing.has(keyOf(context))) throw new Error(`attempt ${context.attempt} failed`)
        return { by: 'echo', got: input }
      },
    }),
    defineAgent({ name: 'other', run: input => ({ by: 'other', got: input }) }),
    defineAgent({
      name: 'joiner',
      concurrency: 8,
      run: (_, context) => {
        begin(context)
        return dependenciesOf(context)
      },
    }),
    /** Spawns a child for each name in its input. */
    defineAgent({
      name: 'spawner',
      concurrency: 8,
      run: ({ children = ['one', 'two'], by = 'echo', ...more }: { children?: string[]; by?: string }, context) => {
        begin(context)
        for (const name of children) context.spawn({ name, capability: by, input: { of: context.attempt }, ...more })
        return children
      },
    }),
    holding('hold'),
  ]

  const tasks = () => place().client.tasks
  const reviews = () => place().client.reviews

  async function until(taskId: string, check: (task: TaskView) => void): Promise<TaskView> {
    return vi.waitFor(async () => {
      const task = await tasks().get(taskId)
      check(task)
      return task
    }, patience)
  }
  const untilStatus = (taskId: string, status: TaskStatus) => until(taskId, task => expect(task.status).toBe(status))
  const untilStates = (taskId: string, states: Record<string, string>) =>
    until(taskId, task => expect(Object.fromEntries(task.subtasks.map(s => [s.name, s.state]))).toEqual(states))

  const scene = {
    agents,
    holding,
    begun,
    aborts,
    failing,
    tasks,
    reviews,
    until,
    untilStatus,
    untilStates,
    newId: () => `${prefix}${++count}`,
    /** Submits and starts a task; a subtask whose input is `fail` does so. */
    async start(subtasks: SubtaskRequest[], extra: Record<string, unknown> = {}): Promise<string> {
      const task_id = scene.newId()
      for (const { name, input } of subtasks) if (input === 'fail') failing.add(`${task_id}/${name}`)
      await tasks().submit({ task_id, title: 'A test', subtasks, execute: true, ...extra })
      return task_id
    },
    reached: (id: string) => vi.waitFor(() => expect(begun).toContain(id), patience),
    /** How often a subtask was begun, over all attempts and generations. */
    timesBegun: (key: string) => begun.filter(id => id.startsWith(`${key}#`)).length,
    /** Begun once more than `before` times. */
    reachedAgain: (key: string, before: number) => vi.waitFor(() => expect(scene.timesBegun(key)).toBe(before + 1), patience),
    letGo: (key: string, value: unknown = 'held') => held.get(key)?.(value),
    async named(taskId: string, name: string): Promise<SubtaskView> {
      return namedIn(await tasks().get(taskId), name)
    },
    async idOf(taskId: string, name: string): Promise<string> {
      return (await scene.named(taskId, name)).subtask_id
    },
    /** The one open review of a subtask. */
    async openReview(taskId: string, name: string): Promise<ReviewView> {
      return vi.waitFor(async () => {
        const found = (await reviews().list({ taskId })).reviews.filter(r => r.subtask === name)
        expect(found).toHaveLength(1)
        return found[0] as ReviewView
      }, patience)
    },
    async approve(taskId: string, name: string): Promise<void> {
      const { id } = await scene.openReview(taskId, name)
      await reviews().decide(id, { decision: 'approve', reason: 'looked at it' })
    },
    async errorOf(promise: Promise<unknown>): Promise<BatonError> {
      const error = await promise.then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(Error)
      return error as BatonError
    },
    /** Names of the events of a task, of one subtask or of all, in order. */
    async events(taskId: string, like: string): Promise<{ name: string; subtask: string | null; data: Record<string, unknown> | null }[]> {
      const { rows } = await place().database.query<{ name: string; subtask: string | null; data: string | null }>(
        {
          text: `select e.name, d.name as subtask, e.data from events e join tasks k on k.id = e.task_pk left join subtasks d on d.id = e.subtask_pk
            where k.task_id = $1 and e.name like $2 order by e.xid, e.seq`,
        },
        [taskId, like],
      )
      return rows.map(row => ({ ...row, data: row.data === null ? null : (JSON.parse(row.data) as Record<string, unknown>) }))
    },
  }
  return scene
}

export function namedIn(task: TaskView, name: string): SubtaskView {
  const found = task.subtasks.find(s => s.name === name)
  if (!found) throw new Error(`no subtask ${name}`)
  return found
}
