/** A coordinator of a test's own: answers a worker's requests on a memory bus as it is told to, and keeps them. */
import { randomUUID } from 'node:crypto'
import { type Failure, type Grant, type Subjects, subjects, type WorkerRequest } from '@baton/shared'
import type { Bus, BusSubscription } from '@baton/shared/node'

type RequestOf<Type extends WorkerRequest['type']> = Extract<WorkerRequest, { type: Type }>

/** The body of an answer, or one of the ways not to give it. */
export type Answer = { body: unknown } | { busy: Failure } | { error: Failure } | 'silence'
export type Script = { [Type in WorkerRequest['type']]?: (request: RequestOf<Type>, n: number) => Answer | Promise<Answer> }

export interface FakeCoordinator {
  readonly id: string
  readonly requests: readonly WorkerRequest[]
  of<Type extends WorkerRequest['type']>(type: Type): RequestOf<Type>[]
  /** Replaces single answers. */
  answer(script: Script): void
  stop(): Promise<void>
}

const usual: Required<Script> = {
  register: () => ({ body: { coordinator: 'c1', lease_ms: 1_000, heartbeat_ms: 20 } }),
  claim: ({ items }) => ({ body: { results: items.map(() => ({ status: 'granted', grant: grant() })) } }),
  report: ({ items }) => ({ body: { results: items.map(() => ({ status: 'accepted' })) } }),
  return: () => ({ body: {} }),
  heartbeat: () => ({ body: { abort: [], known: true, drain: false } }),
  stream: ({ items }) => ({ body: { results: items.map(() => ({ status: 'stored' })) } }),
  chunk: () => ({ body: { status: 'stored' } }),
  note: () => ({ body: { status: 'ok', value: null, names: [] } }),
  read: () => ({ body: { status: 'not_found', data: '', next_offset: null } }),
}

/** Serves its own subject, and those of the group and of everyone unless `alone`. */
export async function startFakeCoordinator(
  bus: Bus,
  script: Script = {},
  { id = 'c1', named = subjects('test'), alone = false }: { id?: string; named?: Subjects; alone?: boolean } = {},
): Promise<FakeCoordinator> {
  let current: Required<Script> = { ...usual, ...script }
  const requests: WorkerRequest[] = []
  const counts = new Map<string, number>()
  const serve = async (payload: string): Promise<string> => {
    const request = JSON.parse(payload) as WorkerRequest // the worker's own, or the test fails
    requests.push(request)
    const n = (counts.get(request.type) ?? 0) + 1
    counts.set(request.type, n)
    const answer = await (current[request.type] as (request: WorkerRequest, n: number) => Answer | Promise<Answer>)(request, n)
    if (answer === 'silence') throw new Error('left unanswered')
    if ('body' in answer) return JSON.stringify({ v: 1, status: 'ok', coordinator: id, body: answer.body })
    if ('busy' in answer) return JSON.stringify({ v: 1, status: 'busy', failure: answer.busy })
    return JSON.stringify({ v: 1, status: 'error', failure: answer.error })
  }
  const served: BusSubscription[] = [await bus.serve(named.coordinator(id), {}, serve)]
  if (!alone) {
    served.push(await bus.serve(named.coordinators, { group: 'coordinators' }, serve))
    served.push(await bus.serve(named.everyCoordinator, {}, serve))
  }
  return {
    id,
    requests,
    of: <Type extends WorkerRequest['type']>(type: Type) => requests.filter(r => r.type === type) as RequestOf<Type>[], // just compared
    answer: next => {
      current = { ...current, ...next }
    },
    stop: async () => {
      for (const subscription of served) await subscription.unsubscribe()
    },
  }
}

/** What a claim hands over; the given parts replace the usual ones. */
export function grant(parts: Partial<Grant> = {}): Grant {
  return {
    task_id: 't1',
    task_title: 'A task',
    subtask_id: 'echo::t1::1',
    uuid: randomUUID(),
    name: 'a',
    title: null,
    capability: 'echo',
    attempt: 1,
    attempt_limit: 3,
    input: '{"x":1}',
    input_chars: 7,
    context: null,
    dependencies: [],
    more_dependencies: false,
    progress: null,
    isolation: null,
    lease_ms: 1_000,
    sla_ms: 60_000,
    ...parts,
  }
}
