/**
 * Requests to coordinators, repeated until one is answered: an answer means committed. Whoever is asked may have taken the
 * request and only its answer be lost, so every request may be taken twice.
 *
 * Invariants: U1 a worker stays with one coordinator while it answers, and looks for one anew now and then, so that the
 * load spreads again after one was away. U2 a request that is not answered within a quarter of the lease goes to all of
 * them at once, since their group might hand it to the silent one again. U3 a request for a coordinator of its own goes to
 * any other when that one does not answer it, and so does what comes for it within the next moments.
 */
import { answerWithinMs, BatonError, backoffMs, protocolVersion, type Reply, type Subjects, type WorkerRequest } from '@baton/shared'
import { type Bus, failpointAfter, type Logger, NoReplyError } from '@baton/shared/node'

/** Undefined: nobody was there to be asked. */
type Answer<T> = Reply<T> | 'silence' | undefined

type Unversioned<R> = R extends WorkerRequest ? Omit<R, 'v'> : never
export type UplinkRequest = Unversioned<WorkerRequest>

interface UplinkOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly log: Logger
}

const repeat = { initialMs: 50, factor: 2, maxMs: 1_000, jitter: 0.5 }
const unknownLeaseTimeoutMs = 1_500
/** How long one that did not answer is not asked by preference. */
const distrustMs = 10_000
/** How long a worker stays with the coordinator that it was handed to, at most; half of it random. */
const stayMs = 60_000

export class Uplink {
  private readonly options: UplinkOptions
  /** The coordinator that answered last. */
  private coordinator: string | undefined
  private stayUntil = 0
  private timeoutMs = unknownLeaseTimeoutMs
  private repeat = repeat
  /** Until when these are not asked by preference. */
  private readonly distrusted = new Map<string, number>()

  constructor(options: UplinkOptions) {
    this.options = options
  }

  /** Stays with this coordinator while it answers. */
  stickTo(coordinator: string, leaseMs: number): void {
    this.stay(coordinator)
    this.timeoutMs = answerWithinMs(leaseMs)
    // After an outage coordinators believe in silence when a lease has passed: by then the heartbeat has to be through.
    this.repeat = { ...repeat, maxMs: Math.min(repeat.maxMs, leaseMs / 6) }
  }

  /** Asks until a coordinator has answered, the `preferred` one first. Throws `attempt_aborted` when the signal fires first. */
  async ask<T>(request: UplinkRequest, signal: AbortSignal, preferred?: string): Promise<T> {
    const payload = JSON.stringify({ v: protocolVersion, ...request })
    for (let failures = 0, silent = false; ; ) {
      if (signal.aborted) throw new BatonError('attempt_aborted', 'the worker stops')
      const asked: Promise<Answer<T>> = this.once<T>(payload, signal, { silent, preferred: failures === 0 ? preferred : undefined })
      if (request.type === 'report') await failpointAfter('worker.after-report-sent', () => this.options.bus.answers(1_000))
      const reply: Answer<T> = await asked
      if (typeof reply === 'object' && reply.status === 'ok') return reply.body
      if (typeof reply === 'object' && reply.status === 'error' && !reply.failure.retryable)
        throw new BatonError('internal', reply.failure.message)
      failures++
      silent = reply === 'silence' && !silent // when all of them are, the group may reach one that does not know the word
      // Soon for whoever has just started it, seldom for the log of an outage.
      if (failures === 6 || failures % 20 === 0)
        this.options.log.warn(
          { type: request.type, failures, reason: typeof reply === 'object' ? reply.failure.message : 'no answer' },
          'no coordinator answers; asking on',
        )
      await pause(backoffMs(this.repeat, Math.min(failures, 6), Math.random()), signal)
    }
  }

  private async once<T>(payload: string, signal: AbortSignal, how: { silent: boolean; preferred: string | undefined }): Promise<Answer<T>> {
    const { bus } = this.options
    const { subject, asked } = this.addressee(how)
    try {
      const reply = JSON.parse(await bus.request(subject, payload, { timeoutMs: this.timeoutMs, signal })) as Reply<T> // a coordinator's word is trusted
      if (reply.status !== 'ok') this.distrust(asked)
      else if (asked === undefined && reply.coordinator !== undefined) this.stay(reply.coordinator)
      return reply
    } catch (error) {
      if (!(error instanceof NoReplyError)) throw error
      this.distrust(asked)
      return error.reason === 'timeout' ? 'silence' : undefined
    }
  }

  /** `asked`: the one coordinator that is meant. */
  private addressee({ silent, preferred }: { silent: boolean; preferred: string | undefined }): {
    subject: string
    asked: string | undefined
  } {
    const { subjects } = this.options
    if (silent) return { subject: subjects.everyCoordinator, asked: undefined } // U2
    const own = performance.now() < this.stayUntil ? this.coordinator : undefined
    const asked = preferred !== undefined && this.trusts(preferred) ? preferred : own
    return { subject: asked === undefined ? subjects.coordinators : subjects.coordinator(asked), asked }
  }

  private trusts(coordinator: string): boolean {
    const until = this.distrusted.get(coordinator)
    if (until === undefined) return true
    if (performance.now() < until) return false
    this.distrusted.delete(coordinator)
    return true
  }

  /** It did not answer as it should (U3). */
  private distrust(coordinator: string | undefined): void {
    if (coordinator === undefined || coordinator === this.coordinator) this.coordinator = undefined
    if (coordinator === undefined) return
    const now = performance.now()
    for (const [id, until] of this.distrusted) if (until <= now) this.distrusted.delete(id)
    this.distrusted.set(coordinator, now + distrustMs)
  }

  private stay(coordinator: string): void {
    this.coordinator = coordinator
    this.stayUntil = performance.now() + stayMs * (0.5 + Math.random() / 2) // U1
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
