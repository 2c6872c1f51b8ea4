/**
 * Where workers' requests arrive: on this coordinator's own subject, by turns with the others on the group's, and with all
 * others on everyone's, where workers turn when a coordinator is silent. All requests may be taken twice. An answer means
 * committed. A coordinator that cannot commit leaves what it shares with others; one that is over its limit says `busy`.
 */
import {
  answerWithinMs,
  assertNever,
  BatonError,
  type Busy,
  type Failure,
  failure,
  outputChunkName,
  protocolVersion,
  type Reply,
  type Spare,
  type Subjects,
  spawnChunkName,
  toFailure,
  type WorkerRequest,
  workerRequestSchema,
} from '@baton/shared'
import { type Bus, type BusSubscription, LaneFullError, type Logger, maxMessageBytes, type Service } from '@baton/shared/node'
import type { Artifacts } from '../artifacts/artifacts.js'
import { putChunk } from '../store/chunks.js'
import { type Database, isUnavailable, mayPass } from '../store/database.js'
import type { NoteStore } from '../store/note-store.js'
import type { Claims } from './claims.js'
import type { Heartbeats } from './heartbeats.js'
import { answerNote } from './notes.js'
import { answerRead } from './reads.js'
import type { Reports } from './reports.js'
import { takeStreams } from './streams.js'

interface InboxOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly coordinatorId: string
  readonly database: Database
  readonly claims: Claims
  readonly reports: Reports
  readonly heartbeats: Heartbeats
  readonly notes: NoteStore
  readonly artifacts: Artifacts
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** Workers could not be heard here until now: the group was left, or is joined again. */
  readonly onDeaf: () => void
  /** What a worker says of its slots. */
  readonly onStanding: (workerId: string, spare: Spare | undefined, busy: Busy | undefined) => void
  /** A worker cannot put these into their queue: they are to be queued again. Throws what may pass. */
  readonly onReturn: (items: readonly { readonly id: string; readonly claim_id: string }[]) => Promise<void>
  /** Chunks of streams are committed. */
  readonly onStreamed: () => void
  readonly log: Logger
}

const group = 'coordinators'
const longestRejoinMs = 500
/** Room for the envelope and for what other fields of a claim's reply take. */
const replyBytes = maxMessageBytes - 100_000

export class Inbox implements Service {
  readonly name = 'inbox'
  private readonly options: InboxOptions
  private own: BusSubscription | undefined
  private readonly shared = new Set<BusSubscription>()
  private rejoining: NodeJS.Timeout | undefined
  private stopped = false

  constructor(options: InboxOptions) {
    this.options = options
  }

  async start(): Promise<void> {
    const { bus, subjects, coordinatorId } = this.options
    this.own = await bus.serve(subjects.coordinator(coordinatorId), {}, payload => this.answer(payload))
    await this.join()
  }

  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.rejoining)
    await this.unshare()
    await this.own?.unsubscribe()
  }

  private async join(): Promise<void> {
    const { bus, subjects } = this.options
    const answer = (payload: string) => this.answer(payload)
    const joined = await Promise.all([
      bus.serve(subjects.coordinators, { group }, answer),
      bus.serve(subjects.everyCoordinator, {}, answer),
    ])
    for (const subscription of joined) this.shared.add(subscription)
    if (this.rejoining !== undefined || this.stopped) await this.unshare() // it has left meanwhile
  }

  private async unshare(): Promise<void> {
    const left = [...this.shared]
    this.shared.clear()
    await Promise.allSettled(left.map(subscription => subscription.unsubscribe()))
  }

  /** Nothing can be committed: others shall be asked, until the database answers again. */
  private leave(): void {
    if (this.rejoining !== undefined || this.stopped) return
    void this.unshare()
    this.options.onDeaf()
    this.options.log.warn('Postgres cannot commit; this coordinator leaves the group until it can')
    const rejoinMs = Math.min(longestRejoinMs, this.options.leaseMs / 6) // workers have less than a lease to be heard again
    const look = () => {
      this.options.database.query({ text: 'select 1' }).then(
        async () => {
          this.rejoining = undefined
          if (this.stopped) return
          await this.join()
          this.options.onDeaf()
          this.options.log.info('Postgres commits again; this coordinator is back in the group')
        },
        () => {
          if (!this.stopped) this.rejoining = setTimeout(look, rejoinMs)
        },
      )
    }
    this.rejoining = setTimeout(look, rejoinMs)
  }

  private async answer(payload: string): Promise<string> {
    const parsed = parse(payload)
    if (parsed.request === undefined) return refuse('error', failure('invalid_request', parsed.problem))
    const deafness = this.whenDeaf(parsed.request)
    try {
      return await this.route(parsed.request)
    } catch (error) {
      if (error instanceof LaneFullError)
        return refuse('busy', failure('too_many_requests', 'this coordinator has more than it can take in'))
      if (isUnavailable(error)) this.leave()
      if (mayPass(error)) {
        this.options.log.debug({ err: error, type: parsed.request.type }, 'a request of a worker could not be committed')
        return refuse('busy', failure('unavailable', 'this coordinator cannot commit at present'))
      }
      this.options.log.error({ err: error, type: parsed.request.type }, 'a request of a worker failed')
      return refuse('error', error instanceof BatonError ? toFailure(error) : failure('internal', 'a fault in the coordinator'))
    } finally {
      clearTimeout(deafness)
    }
  }

  /**
   * By heartbeats it is judged which worker lives (I12). Who does not answer one in the time that a worker waits for it
   * may not find out for seconds why: its connections are all taken, or the server is silent.
   */
  private whenDeaf({ type }: WorkerRequest): NodeJS.Timeout | undefined {
    if (type !== 'heartbeat') return undefined
    return setTimeout(() => this.leave(), answerWithinMs(this.options.leaseMs))
  }

  private ok(body: unknown): string {
    const reply: Reply<unknown> = { v: protocolVersion, status: 'ok', coordinator: this.options.coordinatorId, body }
    return JSON.stringify(reply)
  }

  private async route(request: WorkerRequest): Promise<string> {
    const { claims, reports, heartbeats, artifacts, database, coordinatorId, leaseMs, heartbeatMs } = this.options
    switch (request.type) {
      case 'register':
        await heartbeats.register(request.worker)
        return this.ok({ coordinator: coordinatorId, lease_ms: leaseMs, heartbeat_ms: heartbeatMs })
      case 'claim':
        this.options.onStanding(request.worker_id, request.spare, request.busy)
        return fitted(await claims.take(request.worker_id, request.items), coordinatorId)
      case 'report':
        this.options.onStanding(request.worker_id, request.spare, request.busy)
        return enveloped(await reports.take(request.items, request.first), coordinatorId)
      case 'return':
        await this.options.onReturn(request.items.map(({ subtask, claim_id }) => ({ id: subtask, claim_id })))
        return this.ok({})
      case 'heartbeat':
        this.options.onStanding(request.worker_id, request.state === 'ready' ? request.spare : undefined, request.busy)
        return this.ok(await heartbeats.take(request))
      case 'chunk': {
        const { subtask, claim_id: claimId, name, n } = request
        const chunk = { subtask, claimId, name, n, data: Buffer.from(request.data, 'base64') }
        // Outputs and spawned subtasks are read by statements.
        const status = await (name === outputChunkName || name === spawnChunkName ? putChunk(database, chunk) : artifacts.put(chunk))
        return this.ok(
          status === 'too_large'
            ? { status: 'rejected', failure: failure('result_too_large', `${request.name} is larger than what can be stored`) }
            : { status },
        )
      }
      case 'stream': {
        const results = await takeStreams(database, request.items)
        this.options.onStreamed()
        return this.ok({ results })
      }
      case 'note':
        return this.ok(await answerNote(database, this.options.notes, request))
      case 'read':
        return this.ok(await answerRead(database, artifacts, request))
      default:
        return assertNever(request)
    }
  }
}

function parse(payload: string): { request: WorkerRequest; problem?: never } | { request?: never; problem: string } {
  let json: unknown
  try {
    json = JSON.parse(payload)
  } catch {
    return { problem: 'the request is not JSON' }
  }
  const v = (json as { v?: unknown } | null)?.v
  if (v !== protocolVersion && v !== protocolVersion - 1)
    return { problem: `protocol version ${String(v)} is not spoken here; this coordinator speaks ${protocolVersion}` }
  const parsed = workerRequestSchema.safeParse(json)
  if (!parsed.success)
    return {
      problem: parsed.error.issues
        .slice(0, 5)
        .map(i => `${i.path.join('.')}: ${i.message}`)
        .join('; '),
    }
  return { request: parsed.data }
}

function refuse(status: 'busy' | 'error', cause: Failure): string {
  const reply: Reply<never> = { v: protocolVersion, status, failure: cause }
  return JSON.stringify(reply)
}

/** The grants that fit into one message; the others are claimed again, which grants the same. */
function fitted(results: readonly string[], coordinator: string): string {
  let bytes = 0
  const texts = results.map((text, i) => {
    bytes += Buffer.byteLength(text) + 1
    return bytes > replyBytes && i > 0 && text.startsWith('{"status":"granted"') ? '{"status":"again"}' : text
  })
  return enveloped(texts, coordinator)
}

/** A reply with results that are JSON text. */
function enveloped(results: readonly string[], coordinator: string): string {
  return `{"v":${protocolVersion},"status":"ok","coordinator":${JSON.stringify(coordinator)},"body":{"results":[${results.join(',')}]}}`
}
