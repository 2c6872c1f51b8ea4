/** The tasks of the load: what a fleet meets in practice, in a mix. Their agents take milliseconds, some of them seconds. */
import type { OrchestrateRequest, SubtaskRequest } from '@baton/shared'
import type { Choices } from '../faults/kit/index.js'

/** What the driver does to a task once it is accepted. */
export type Aftermath =
  | { readonly kind: 'cancel'; readonly afterMs: number }
  | { readonly kind: 'rerun'; readonly from: string; readonly afterMs: number }

export interface SoakTask {
  readonly request: OrchestrateRequest
  /** As many as it begins with; spawned ones come on top. */
  readonly subtasks: number
  readonly shape: ShapeName
  readonly aftermath?: Aftermath
}

const capability = 'fault'

interface Shape {
  /** Of all tasks, in parts of the sum of all. */
  readonly weight: number
  readonly make: (choices: Choices) => { subtasks: SubtaskRequest[]; aftermath?: Aftermath }
}

const step = (name: string, rest: Partial<SubtaskRequest> = {}): SubtaskRequest => ({ name, capability, ...rest })

/** Mostly short; one in fifty is at work when the fault comes, and still when it has gone. */
function work({ random, between }: Choices): number {
  return random() < 0.02 ? between(1_000, 8_000) : between(0, 40)
}

function chain(choices: Choices, length: number): SubtaskRequest[] {
  return Array.from({ length }, (_, i) =>
    step(`s${i}`, { input: { work: work(choices), echo: { i, text: 'naïve ✓' } }, ...(i > 0 && { depends_on: [`s${i - 1}`] }) }),
  )
}

export const shapes = {
  chain: { weight: 40, make: choices => ({ subtasks: chain(choices, choices.between(2, 5)) }) },
  fan: {
    weight: 20,
    make: choices => {
      const middle = Array.from({ length: choices.between(3, 10) }, (_, i) =>
        step(`m${i}`, { input: { work: work(choices) }, depends_on: ['root'] }),
      )
      return { subtasks: [step('root'), ...middle, step('join', { depends_on: middle.map(({ name }) => name) })] }
    },
  },
  failing: {
    weight: 10,
    make: ({ pick, random }) => ({
      subtasks: [
        random() < 0.5
          ? step('a', { input: { fail: 1 }, backoff: { initial_seconds: 0.2, max_seconds: 1 } })
          : step('a', {
              input: { fail: true },
              max_attempts: 2,
              backoff: { initial_seconds: 0.2, max_seconds: 1 },
              on_failure: pick(['review', 'fail', 'skip', 'continue'] as const),
            }),
        step('b', { depends_on: ['a'] }),
      ],
    }),
  },
  approval: {
    weight: 8,
    make: choices => ({
      subtasks: [
        step('draft', { input: { work: work(choices) } }),
        step('publish', { depends_on: ['draft'], requires_approval: true }),
        step('tell', { depends_on: ['publish'] }),
      ],
    }),
  },
  spawning: {
    weight: 8,
    make: ({ between }) => ({
      subtasks: [
        step('parent', {
          input: { spawn: Array.from({ length: between(1, 4) }, (_, i) => ({ name: `child${i}`, capability, input: { work: i * 10 } })) },
        }),
        step('after', { depends_on: ['parent'] }),
      ],
    }),
  },
  cancelled: {
    weight: 6,
    make: ({ between }) => ({
      subtasks: [step('root'), ...[0, 1, 2].map(i => step(`m${i}`, { input: { work: between(200, 3_000) }, depends_on: ['root'] }))],
      aftermath: { kind: 'cancel', afterMs: between(0, 2_000) },
    }),
  },
  rerun: {
    weight: 8,
    make: choices => ({
      subtasks: chain(choices, 3),
      aftermath: { kind: 'rerun', from: choices.pick(['s0', 's1', 's2']), afterMs: choices.between(500, 4_000) },
    }),
  },
} as const satisfies Record<string, Shape>

export type ShapeName = keyof typeof shapes

const total = Object.values(shapes).reduce((sum, { weight }) => sum + weight, 0)

export function makeTask(taskId: string, choices: Choices): SoakTask {
  let left = choices.random() * total
  const [shape, { make }] = Object.entries(shapes).find(([, { weight }]) => {
    left -= weight
    return left < 0
  }) ?? ['chain', shapes.chain]
  const { subtasks, aftermath } = (make as Shape['make'])(choices)
  return {
    request: { task_id: taskId, title: shape, execute: true, subtasks },
    subtasks: subtasks.length,
    shape: shape as ShapeName, // the keys of the table
    ...(aftermath && { aftermath }),
  }
}
