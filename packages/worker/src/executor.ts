/**
 * What happens to a delivery: claim, run, report. The claim id, made once for each delivery, is the lease token.
 *
 * A report names the claim under which its slot would go on with what the result completes the way for. What the coordinator
 * hands over, or starts in a slot that the worker has to spare, is granted already: it runs as the next job of the slot.
 *
 * Invariants: E1 nothing runs without a granted claim. E2 a report is repeated until it is answered; only then is the
 * delivery finished. E3 what was handed over runs, or is given back.
 */
import { randomUUID } from 'node:crypto'
import {
  BatonError,
  deliverySchema,
  type Grant,
  type HandedOver,
  type Outcome,
  protocolVersion,
  type ReportItem,
  type Start,
} from '@baton/shared'
import { failpoint, type Logger, type NextJob, SlotMap, type Turn } from '@baton/shared/node'
import type { Tracing } from '@baton/shared/observe'
import type { Agent } from './agent.js'
import { Attempt } from './attempt.js'
import type { Runners } from './isolation/runners.js'
import type { Lanes, Way } from './lanes.js'
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

/** A slot's place in its worker. */
export interface Place {
  /** The claim of the delivery was answered. */
  readonly onClaimed?: () => void
  /** Whether the agent has slots that nobody uses. */
  readonly hasSpare?: () => boolean
  /** Of the slot's turn: while all slots are in use, it is given back when the turn is over. */
  readonly turn?: Pick<Turn, 'isOver'>
}

/** An attempt that was granted. */
interface Granted {
  readonly agent: Agent
  readonly subtask: string
  readonly attemptNumber: number
  readonly claimId: string
  readonly grant: Grant
  readonly tp: string | undefined
  /** To the coordinator that knows its task, before others where its job was put before others. */
  readonly way: Way
  readonly place: Place
}

export class Executor {
  private readonly options: ExecutorOptions
  private readonly attempts = new SlotMap<string, Attempt>()
  private readonly asked = new Map<string, string>()
  private inAgents = 0
  private draining = false

  constructor(options: ExecutorOptions) {
    this.options = options
  }

  /** Attempts that run at present. */
  get active(): Pick<SlotMap<string, Attempt>, 'size' | 'get' | 'keys' | 'values'> {
    return this.attempts
  }

  /** Claims that are not answered yet, with their subtasks: they may have been granted. */
  get claiming(): ReadonlyMap<string, string> {
    return this.asked
  }

  /** Attempts that their agents are at; others wait to begin, or to be reported. */
  get withAgents(): number {
    return this.inAgents
  }

  /** Claims nothing any more. */
  drain(): void {
    this.draining = true
  }

  get isDraining(): boolean {
    return this.draining
  }

  /** What a coordinator started here, in a slot at that place. */
  started(agent: Agent, start: Start, coordinator: string, place: Place): NextJob {
    return this.granted({ agent, place, way: { to: coordinator, first: start.first } }, start, start.claim_id)
  }

  /** Gives back whatever still runs. */
  releaseAll(): void {
    for (const attempt of this.attempts.values()) attempt.release()
  }

  abort(claimId: string, reason: BatonError): void {
    this.attempts.get(claimId)?.abort(reason)
  }

  /** Works off one delivery; resolves when its job may be finished, with what its slot goes on with. */
  async deliver(agent: Agent, data: unknown, place: Place = {}): Promise<NextJob | undefined> {
    const { log } = this.options
    const parsed = deliverySchema.safeParse(data)
    if (!parsed.success) {
      log.warn({ data }, 'a job that is not a delivery was dropped')
      return undefined
    }
    if (this.draining) return undefined // still due in Postgres; it is rung again
    const { s: subtask, a: attemptNumber, tp, c: to, f: first } = parsed.data
    const way = { to, first }
    failpoint('worker.after-fetch')
    const claimId = randomUUID()
    const grant = await this.claim(agent, { subtask, attemptNumber, claimId, way })
    place.onClaimed?.()
    return grant && this.run({ agent, subtask, attemptNumber, claimId, grant, tp, way, place })
  }

  private async claim(
    agent: Agent,
    { subtask, attemptNumber, claimId, way }: Pick<Granted, 'subtask' | 'attemptNumber' | 'claimId' | 'way'>,
  ): Promise<Grant | undefined> {
    const { lanes, log, observer } = this.options
    this.asked.set(claimId, subtask)
    const reply = await lanes
      .claim({ subtask, attempt: attemptNumber, claim_id: claimId, agent: agent.name }, way)
      .finally(() => this.asked.delete(claimId))
    observer?.claimed(agent.name, reply.status)
    if (reply.status === 'granted') return reply.grant
    log.debug({ subtask, attempt: attemptNumber, status: reply.status }, 'a claim was not granted')
    return undefined
  }

  private async run(granted: Granted): Promise<NextJob | undefined> {
    const { lanes, log, runners, uplink, workerId, observer } = this.options
    const { agent, subtask, claimId, grant, tp } = granted
    failpoint('worker.after-claim')
    const runner = runners.runnerFor(agent, grant.isolation)
    const attempt = new Attempt({ agent, runner, grant, subtask, claimId, workerId, uplink, lanes, log })
    this.attempts.set(claimId, attempt)
    if (this.draining) attempt.release()
    const span = tp === undefined ? undefined : this.options.tracing?.start('worker.run', { parent: tp, attributes: spanNames(attempt) })
    const began = performance.now()
    this.inAgents++
    const { outcome, settled } = attempt.start()
    let next: NextJob | undefined
    try {
      const ended = await outcome
      this.inAgents--
      observer?.ran(agent.name, ended.kind, (performance.now() - began) / 1_000)
      span?.end(ended.kind === 'completed' ? {} : { failure: ended.failure.code })
      if (ended.kind === 'failed')
        log.info({ ...attempt.named, code: ended.failure.code, reason: ended.failure.message }, 'the attempt failed')
      failpoint('worker.after-run')
      next = await this.report(attempt, granted, ended, span?.traceparent ?? tp)
      failpoint('worker.after-answer')
    } finally {
      // The lease is kept by the heartbeat for as long as the attempt is listed.
      this.attempts.delete(claimId)
    }
    if (!attempt.hasEnded)
      await withinGrace(settled, this.options.graceMs ?? defaultGraceMs, () =>
        log.warn(attempt.named, 'the agent ignores its abort signal; its slot is given to others'),
      )
    return next
  }

  private async report(attempt: Attempt, granted: Granted, outcome: Outcome, tp: string | undefined): Promise<NextJob | undefined> {
    const { subtask, attemptNumber, claimId, way } = granted
    const next = outcome.kind === 'completed' ? this.wish(granted) : undefined
    const item: ReportItem = { subtask, attempt: attemptNumber, claim_id: claimId, outcome, tp, next }
    const reply = await this.options.lanes.report(item, way)
    this.options.observer?.reported(attempt.agentName, reply.status)
    this.options.log.debug({ ...attempt.named, status: reply.status }, 'a report was answered')
    if (reply.status === 'rejected') {
      // The result cannot be stored as it is: the attempt failed, and says why.
      await this.options.lanes.report({ ...item, outcome: { kind: 'failed', failure: reply.failure }, next: undefined }, way)
    } else if (reply.status === 'stale') this.options.log.info(attempt.named, 'a report came too late; the attempt had been replaced')
    else if (next && reply.next)
      return this.granted({ agent: granted.agent, place: granted.place, way: { to: way.to } }, reply.next, next.claim_id) // it has overtaken nobody
    return undefined
  }

  /** The claim under which the slot of `granted` would go on. */
  private wish({ place }: Granted): { claim_id: string; spare: boolean } | undefined {
    const spare = place.hasSpare?.() ?? false
    return this.draining || (!spare && place.turn?.isOver) ? undefined : { claim_id: randomUUID(), spare }
  }

  private granted({ agent, place, way }: Pick<Granted, 'agent' | 'place' | 'way'>, next: HandedOver, claimId: string): NextJob {
    const { subtask, attempt: attemptNumber, job, tp } = next
    // Its lease is kept from now on.
    this.asked.set(claimId, subtask)
    if (next.grant) this.options.observer?.claimed(agent.name, 'granted')
    return {
      id: job,
      delivery: { v: protocolVersion, s: subtask, a: attemptNumber, tp, c: way.to },
      run: async () => {
        const grant = next.grant ?? (await this.claim(agent, { subtask, attemptNumber, claimId, way }))
        this.asked.delete(claimId)
        return grant && this.run({ agent, subtask, attemptNumber, claimId, grant, tp, way, place })
      },
      giveBack: () => this.options.lanes.giveBack({ subtask, claim_id: claimId }, way).finally(() => this.asked.delete(claimId)),
    }
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
