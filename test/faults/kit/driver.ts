/**
 * The test as a client that keeps an honest log: of every operation what became of it, as far as a client can know.
 *
 * Invariants: C1 an operation never throws for what the fleet does; its fate says it. C2 `ok` and `failed` are said only
 * after a whole answer that means so; whatever else happened is `unknown`: it may have been done. C3 nothing is repeated
 * unless the test asks (`known`), since a repeat is an operation of its own.
 */
import { createHash } from 'node:crypto'
import type { OrchestrateRequest, SubtaskRequest, TaskView } from '@baton/shared'
import type { Operation } from '../history/history.js'

/** An answer, beside what is in the log. */
export interface Outcome<T = unknown> extends Operation {
  /** The answer's body; undefined when its fate is unknown. */
  readonly body: T | undefined
}

export interface OperationOptions {
  /** Which of the live coordinators is asked first; default: by turns. */
  readonly coordinator?: number
  /** The coordinator that is asked, whether it lives or not. */
  readonly url?: string
  /** How long one answer may take; default 5,000. */
  readonly timeoutMs?: number
  /** The request is wrong on purpose: it has to be refused (I14). */
  readonly bad?: boolean
}

interface Sent extends OperationOptions {
  readonly kind: Operation['kind']
  readonly taskId: string | undefined
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly text?: string
  readonly inputs?: Operation['inputs']
}

/** Answers after which nobody knows whether it was done. */
const unknownStatus = (status: number) => status >= 500
const knownMs = 20_000
const betweenMs = 50

export class Driver {
  /** The log, in order of the answers. */
  readonly operations: Operation[] = []
  private readonly urls: () => readonly string[]
  private turn = 0
  private count = 0

  constructor(urls: () => readonly string[]) {
    this.urls = urls
  }

  /** Hands a task in, as the very bytes that `JSON.stringify` makes of it. */
  submit(request: OrchestrateRequest, options: OperationOptions = {}): Promise<Outcome<TaskView>> {
    const text = JSON.stringify(request)
    const inputs = Object.fromEntries((request.subtasks ?? []).flatMap(subtask => digestOfInput(subtask)))
    return this.send({
      ...options,
      kind: request.execute ? 'submit_and_execute' : 'submit',
      taskId: request.task_id,
      method: 'POST',
      path: '/orchestrate',
      text,
      inputs,
    })
  }

  /**
   * Hands many in at once (`POST /tasks/batch`); each is an operation of its own in the log. Answers in order.
   */
  async submitMany(requests: readonly OrchestrateRequest[], options: OperationOptions = {}): Promise<Operation[]> {
    const began = performance.now()
    const text = JSON.stringify({ tasks: requests })
    const { body, ...seen } = await this.ask<BatchResults>({ method: 'POST', path: '/tasks/batch', text, ...options })
    const tookMs = Math.round(performance.now() - began)
    return requests.map((request, i) => {
      const result = body?.results?.[i]
      const status = result?.status_code
      const own: Pick<Operation, 'fate' | 'status' | 'code'> =
        status === undefined
          ? { ...seen, fate: seen.fate === 'failed' ? 'failed' : 'unknown' } // refused as a whole, or nobody knows
          : {
              fate: unknownStatus(status) ? 'unknown' : status < 300 ? 'ok' : 'failed',
              status,
              ...(result?.error && { code: result.error.code }),
            }
      const operation: Operation = {
        n: ++this.count,
        kind: request.execute ? 'submit_and_execute' : 'submit',
        taskId: request.task_id,
        at: Date.now(),
        tookMs,
        ...own,
        inputs: Object.fromEntries((request.subtasks ?? []).flatMap(subtask => digestOfInput(subtask))),
      }
      this.operations.push(operation)
      return operation
    })
  }

  execute(taskId: string, options: OperationOptions = {}): Promise<Outcome> {
    return this.task('execute', taskId, `/execute/${taskId}`, options)
  }

  cancel(taskId: string, options: OperationOptions = {}): Promise<Outcome> {
    return this.task('cancel', taskId, `/tasks/${taskId}/cancel`, options)
  }

  pause(taskId: string, options: OperationOptions = {}): Promise<Outcome> {
    return this.task('pause', taskId, `/tasks/${taskId}/pause`, options)
  }

  resume(taskId: string, options: OperationOptions = {}): Promise<Outcome> {
    return this.task('resume', taskId, `/tasks/${taskId}/resume`, options)
  }

  /** Any other verb of a task, such as `rerun`. */
  verb(taskId: string, verb: string, body: unknown = {}, options: OperationOptions = {}): Promise<Outcome> {
    return this.task('verb', taskId, `/tasks/${taskId}/${verb}`, options, body)
  }

  /** A verb of a subtask: `retry`, `reassign`, `cancel`, `release`. */
  subtaskVerb(taskId: string, subtaskId: string, verb: string, body: unknown = {}, options: OperationOptions = {}): Promise<Outcome> {
    return this.task('verb', taskId, `/tasks/${taskId}/subtasks/${encodeURIComponent(subtaskId)}/${verb}`, options, body)
  }

  decide(
    reviewId: string,
    decision: { decision: string; reason: string; [key: string]: unknown },
    options: OperationOptions = {},
  ): Promise<Outcome> {
    return this.task('decide', undefined, `/reviews/${reviewId}/decide`, options, decision)
  }

  get(taskId: string, options: OperationOptions = {}): Promise<Outcome<TaskView>> {
    return this.send({ ...options, kind: 'read', taskId, method: 'GET', path: `/tasks/${taskId}` })
  }

  /** Whatever else: a body as bytes, a path of any kind. */
  raw(
    request: { method: 'GET' | 'POST' | 'PUT'; path: string; text?: string; taskId?: string },
    options: OperationOptions = {},
  ): Promise<Outcome> {
    return this.send({ ...options, kind: 'raw', taskId: undefined, ...request })
  }

  /**
   * Does it again, at the next coordinator, until its fate is known; answers with the last. Rejects when that takes too
   * long.
   *
   * @example
   * const { fate } = await driver.known(() => driver.submit(task))
   */
  async known<T>(operation: () => Promise<Outcome<T>>, timeoutMs = knownMs): Promise<Outcome<T>> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const outcome = await operation()
      if (outcome.fate !== 'unknown') return outcome
      if (performance.now() > deadline)
        throw new Error(
          `the fate of ${outcome.kind} ${outcome.taskId ?? ''} stayed unknown for ${timeoutMs} ms: ${outcome.reason ?? outcome.status}`,
        )
      await new Promise(resolve => setTimeout(resolve, betweenMs))
    }
  }

  private ask<T>({ method, path, text, url, coordinator, timeoutMs = 5_000 }: Question): Promise<Seen<T>> {
    const urls = this.urls()
    const whom = url ?? urls[(coordinator ?? this.turn++) % Math.max(1, urls.length)]
    return answerOf<T>(whom, { method, path, text, timeoutMs })
  }

  private task(
    kind: Operation['kind'],
    taskId: string | undefined,
    path: string,
    options: OperationOptions,
    body: unknown = {},
  ): Promise<Outcome> {
    return this.send({ ...options, kind, taskId, method: 'POST', path, text: JSON.stringify(body) })
  }

  private async send<T>({ kind, taskId, method, path, text, inputs, url, coordinator, timeoutMs, bad }: Sent): Promise<Outcome<T>> {
    const n = ++this.count
    const began = performance.now()
    const { body, ...rest } = await this.ask<T>({ method, path, text, url, coordinator, timeoutMs })
    const operation: Operation = {
      n,
      kind,
      taskId,
      at: Date.now(),
      tookMs: Math.round(performance.now() - began),
      ...rest,
      ...(inputs && { inputs }),
      ...(bad && { bad }),
    }
    this.operations.push(operation)
    return { ...operation, body }
  }
}

/** What the batch route answers, as far as the log needs it. */
interface BatchResults {
  readonly results?: readonly { readonly status_code: number; readonly error?: { readonly code: string } }[]
}

interface Question {
  readonly method: string
  readonly path: string
  readonly text: string | undefined
  readonly coordinator?: number | undefined
  readonly url?: string | undefined
  readonly timeoutMs?: number | undefined
}

type Seen<T> = Pick<Operation, 'fate' | 'status' | 'code' | 'reason'> & { body: T | undefined }

async function answerOf<T>(
  url: string | undefined,
  { method, path, text, timeoutMs }: { method: string; path: string; text: string | undefined; timeoutMs: number },
): Promise<Seen<T>> {
  if (url === undefined) return { fate: 'unknown', reason: 'no coordinator runs', body: undefined }
  try {
    const response = await fetch(url + path, {
      method,
      ...(text !== undefined && { body: text, headers: { 'content-type': 'application/json' } }),
      signal: AbortSignal.timeout(timeoutMs),
    })
    const body = (await response.json()) as T & { code?: string } // the API's schema
    const { status } = response
    if (unknownStatus(status)) return { fate: 'unknown', status, ...(body.code && { code: body.code }), body: undefined }
    return response.ok ? { fate: 'ok', status, body } : { fate: 'failed', status, ...(body.code && { code: body.code }), body }
  } catch (error) {
    return { fate: 'unknown', reason: error instanceof Error ? error.message : String(error), body: undefined } // C2
  }
}

/** Of the bytes that travel; references to other subtasks are resolved on the way and have no digest. */
function digestOfInput({ name, input }: SubtaskRequest): [string, string][] {
  if (input === undefined) return []
  const text = JSON.stringify(input)
  return text.includes('{{') ? [] : [[name, createHash('sha256').update(text).digest('hex')]]
}
