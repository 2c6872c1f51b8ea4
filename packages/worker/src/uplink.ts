/**
 * Requests to coordinators, repeated until one is answered: an answer means committed. A worker stays with one
 * coordinator; a request that is not answered within a quarter of the lease goes to another through their group.
 */
import { BatonError, backoffMs, protocolVersion, type Reply, type Subjects, type WorkerRequest } from '@baton/shared'
import { type Bus, failpointAfter, type Logger, NoReplyError } from '@baton/shared/node'

type Unversioned<R> = R extends WorkerRequest ? Omit<R, 'v'> : never
export type UplinkRequest = Unversioned<WorkerRequest>

interface UplinkOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly log: Logger
}

const repeat = { initialMs: 50, factor: 2, maxMs: 1_000, jitter: 0.5 }
const unknownLeaseTimeoutMs = 1_500

export class Uplink {
  private readonly options: UplinkOptions
  /** The coordinator that answered last. */
  private coordinator: string | undefined
  private timeoutMs = unknownLeaseTimeoutMs
  private repeat = repeat

  constructor(options: UplinkOptions) {
    this.options = options
  }

  /** Stays with this coordinator while it answers. */
  stickTo(coordinator: string, leaseMs: number): void {
    this.coordinator = coordinator
    this.timeoutMs = Math.max(250, leaseMs / 4)
    // After an outage coordinators believe in silence when a lease has passed: by then the heartbeat has to be through.
    this.repeat = { ...repeat, maxMs: Math.min(repeat.maxMs, leaseMs / 6) }
  }

  /** Asks until a coordinator has answered. Throws `attempt_aborted` when the signal fires first. */
  async ask<T>(request: UplinkRequest, signal: AbortSignal): Promise<T> {
    const payload = JSON.stringify({ v: protocolVersion, ...request })
    for (let failures = 0; ; ) {
      if (signal.aborted) throw new BatonError('attempt_aborted', 'the worker stops')
      const asked = this.once<T>(payload, signal)
      if (request.type === 'report') await failpointAfter('worker.after-report-sent', () => this.options.bus.answers(1_000))
      const reply = await asked
      if (reply?.status === 'ok') return reply.body
      if (reply?.status === 'error' && !reply.failure.retryable) throw new BatonError('internal', reply.failure.message)
      failures++
      if (failures % 20 === 0)
        this.options.log.warn(
          { type: request.type, failures, reason: reply?.failure.message ?? 'no answer' },
          'no coordinator answers; asking on',
        )
      await pause(backoffMs(this.repeat, Math.min(failures, 6), Math.random()), signal)
    }
  }

  private async once<T>(payload: string, signal: AbortSignal): Promise<Reply<T> | undefined> {
    const { bus, subjects } = this.options
    const subject = this.coordinator === undefined ? subjects.coordinators : subjects.coordinator(this.coordinator)
    try {
      const reply = JSON.parse(await bus.request(subject, payload, { timeoutMs: this.timeoutMs, signal })) as Reply<T> // a coordinator's word is trusted
      if (reply.status !== 'ok') this.coordinator = undefined
      return reply
    } catch (error) {
      if (!(error instanceof NoReplyError)) throw error
      this.coordinator = undefined
      return undefined
    }
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
