/**
 * What happens to a delivery: claim, run, report. The claim id, made once for each delivery, is the lease token.
 * Invariant E1: nothing runs without a granted claim. E2: a report is repeated until it is answered; only then is the
 * delivery finished.
 */
import { randomUUID } from 'node:crypto'
import { BatonError, deliverySchema, type Outcome } from '@baton/shared'
import { failpoint, type Logger } from '@baton/shared/node'
import type { Tracing } from '@baton/shared/observe'
import type { Agent } from './agent.js'
import { Attempt } from './attempt.js'
import type { Runners } from './isolation/runners.js'
import type { Lanes } from './lanes.js'
import type { WorkerObserver } from './observer.js'
import type { Uplink } from './uplink.js'

interface ExecutorOptions {
  readonly workerId: string
  readonly uplink: Uplink
  readonly lanes: Lanes
  readonly runners: Pick<Runners, 'runnerFor'>
  readonly log: Logger
  /** How long an agent that ignores its abort keeps its slot. */
  readonly graceMs?: number
  readonly observer?: WorkerObserver | undefined
  readonly tracing?: Tracing | undefined
}

const defaultGraceMs = 10_000

export class Executor {
  private readonly options: ExecutorOptions
  private readonly attempts = new Map<string, Attempt>()
  private readonly asked = new Map<string, string>()
  private draining = false

  constructor(options: ExecutorOptions) {
    this.options = options
  }

  /** Attempts that run at present. */
  get active(): ReadonlyMap<string, Attempt> {
    return this.attempts
  }

  /** Claims that are not answered yet, with their subtasks: they may have been granted. */
  get claiming(): ReadonlyMap<string, string> {
    return this.asked
  }

  /** Claims nothing any more. */
  drain(): void {
    this.draining = true
  }

  /** Gives back whatever still runs. */
  releaseAll(): void {
    for (const attempt of this.attempts.values()) attempt.release()
  }

  abort(claimId: string, reason: BatonError): void {
    this.attempts.get(claimId)?.abort(reason)
  }

  /** Works off one delivery; resolves when its job may be finished. `onClaimed`: its claim was answered. */
  async deliver(agent: Agent, data: unknown, onClaimed?: () => void): Promise<void> {
    const { lanes, log, runners, uplink, workerId, observer } = this.options
    const parsed = deliverySchema.safeParse(data)
    if (!parsed.success) {
      log.warn({ data }, 'a job that is not a delivery was dropped')
      return
    }
    if (this.draining) return // still due in Postgres; it is rung again
    const { s: subtask, a: attemptNumber, tp } = parsed.data
    failpoint('worker.after-fetch')
    const claimId = randomUUID()
    this.asked.set(claimId, subtask)
    const reply = await lanes
      .claim({ subtask, attempt: attemptNumber, claim_id: claimId, agent: agent.name })
      .finally(() => this.asked.delete(claimId))
    onClaimed?.()
    observer?.claimed(agent.name, reply.status)
    if (reply.status !== 'granted') {
      log.debug({ subtask, attempt: attemptNumber, status: reply.status }, 'a claim was not granted')
      return
    }
    failpoint('worker.after-claim')
    const runner = runners.runnerFor(agent, reply.grant.isolation)
    const attempt = new Attempt({ agent, runner, grant: reply.grant, subtask, claimId, workerId, uplink, lanes, log })
    this.attempts.set(claimId, attempt)
    if (this.draining) attempt.release()
    const span = tp === undefined ? undefined : this.options.tracing?.start('worker.run', { parent: tp, attributes: spanNames(attempt) })
    const began = performance.now()
    const { outcome, settled } = attempt.start()
    try {
      const ended = await outcome
      observer?.ran(agent.name, ended.kind, (performance.now() - began) / 1_000)
      span?.end(ended.kind === 'completed' ? {} : { failure: ended.failure.code })
      if (ended.kind === 'failed')
        log.info({ ...attempt.named, code: ended.failure.code, reason: ended.failure.message }, 'the attempt failed')
      failpoint('worker.after-run')
      await this.report(attempt, attemptNumber, ended, span?.traceparent ?? tp)
      failpoint('worker.after-answer')
    } finally {
      // The lease is kept by the heartbeat for as long as the attempt is listed.
      this.attempts.delete(claimId)
    }
    if (attempt.hasEnded) return
    await withinGrace(settled, this.options.graceMs ?? defaultGraceMs, () =>
      log.warn(attempt.named, 'the agent ignores its abort signal; its slot is given to others'),
    )
  }

  private async report(attempt: Attempt, attemptNumber: number, outcome: Outcome, tp: string | undefined): Promise<void> {
    const item = { subtask: attempt.subtask, attempt: attemptNumber, claim_id: attempt.claimId, ...(tp !== undefined && { tp }) }
    const reply = await this.options.lanes.report({ ...item, outcome })
    this.options.observer?.reported(attempt.agentName, reply.status)
    this.options.log.debug({ ...attempt.named, status: reply.status }, 'a report was answered')
    if (reply.status === 'rejected') {
      // The result cannot be stored as it is: the attempt failed, and says why.
      await this.options.lanes.report({ ...item, outcome: { kind: 'failed', failure: reply.failure } })
    } else if (reply.status === 'stale') this.options.log.info(attempt.named, 'a report came too late; the attempt had been replaced')
  }
}

function spanNames({ named }: Attempt): Record<string, string | number> {
  return {
    'baton.task_id': named.task_id,
    'baton.subtask_id': named.subtask_id,
    'baton.attempt': named.attempt,
    'baton.agent': named.agent,
  }
}

async function withinGrace(settled: Promise<void>, graceMs: number, onOverrun: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const overrun = new Promise<void>(resolve => {
    timer = setTimeout(() => {
      onOverrun()
      resolve()
    }, graceMs)
  })
  await Promise.race([settled, overrun])
  clearTimeout(timer)
}

/** The failure of an attempt that its worker lost. */
export const lostClaim = (): BatonError =>
  new BatonError('attempt_aborted', "the attempt is no longer this worker's: it was cancelled, replaced, or its lease ran out")
