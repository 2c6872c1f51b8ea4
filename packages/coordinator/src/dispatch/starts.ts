/**
 * Starts attempts on workers: what was stored, queued and started with one commit is sent to the worker whose slot was
 * taken for it. The request is repeated for a while; a worker takes it once.
 *
 * Invariants: X1 what the worker does not start goes back to its queue. Of what it does not answer for nobody knows
 * whether it runs: its heartbeats tell, and its lease. A request that is repeated therefore brings no grants: what it starts
 * has to be claimed, in case that it was taken back meanwhile. X2 so does what a statement may have started whose answer did not
 * come: whoever sent it does not know what runs. X3 of what was never answered for, and no heartbeat told either, nothing ran as
 * far as anybody knows: the watcher, which knows whether heartbeats could be heard, returns it before it would count as lost.
 */
import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  answerWithinMs,
  jobId,
  maxBatchBytes,
  maxBatchItems,
  protocolVersion,
  type Reply,
  type Start,
  type StartReply,
  type Subjects,
} from '@baton/shared'
import { atMost, type Bus, type Logger, NoReplyError, type Service } from '@baton/shared/node'
import { mayPass, type Queryable } from '../store/database.js'
import type { QueuedRow } from '../store/fragments.js'
import { returnStarted, type StartedClaim } from '../store/return-to-queue.js'
import type { Started } from '../store/start-known.js'
import type { NewSubtask, StartedAtOnce } from '../store/submit.js'
import type { SpareSlots, Spares } from './spares.js'

/** An attempt that runs, as far as Postgres knows. */
export interface StartedRow extends QueuedRow {
  readonly slots: SpareSlots
  readonly claim_id: string
  readonly task_pk: string
  /** Seconds that it waited until it was started. */
  readonly waited: number
  /** It goes before others. */
  readonly ahead?: boolean
  /** A `Grant` as JSON text; null where it has to be claimed for its brief. */
  readonly grant: string | null
}

/** A subtask that was stored and started. */
export interface Begun {
  readonly subtask: NewSubtask
  readonly slots: SpareSlots
  readonly ahead: boolean
  readonly times: StartedAtOnce
}

interface StartsOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly coordinatorId: string
  readonly spares: Spares
  readonly database: Queryable
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** Resolves with the trace contexts of those that are traced, by the ids of their jobs. */
  readonly traces: (rows: readonly StartedRow[]) => Promise<ReadonlyMap<string, string> | undefined>
  /** Their worker has begun with these; for whoever counts. */
  readonly onBegun: (rows: readonly StartedRow[]) => void
  /** Rows are queued again: their jobs are to be rung. */
  readonly onReturned: (rows: readonly QueuedRow[]) => Promise<void>
  readonly log: Logger
}

interface Message {
  readonly worker: string
  readonly rows: { readonly row: StartedRow; readonly tp: string | undefined }[]
  readonly texts: string[]
  bytes: number
}

/** Before a request is sent again. */
const pauseMs = 50

export class Starts implements Service {
  readonly name = 'starts'
  private readonly options: StartsOptions
  private readonly underWay = new Set<Promise<void>>()
  private readonly stopping = new AbortController()
  /** X3, and since when nobody answers, on the process' own clock in ms. */
  private unanswered: { readonly claim: StartedClaim; readonly since: number }[] = []

  constructor(options: StartsOptions) {
    this.options = options
    setMaxListeners(0, this.stopping.signal) // as many as there are requests and pauses under way
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    await atMost(this.options.leaseMs / 2, Promise.all(this.underWay))
    this.stopping.abort()
    await Promise.all(this.underWay)
  }

  /** Sends these to their workers; returns at once. */
  send(rows: readonly StartedRow[]): void {
    if (rows.length > 0) this.keep(this.sendAll(rows))
  }

  /** These may run as far as Postgres knows, or not be stored at all (X2); returns at once. */
  takeBack(claims: readonly StartedClaim[]): void {
    if (claims.length > 0) this.keep(this.giveBack(claims))
  }

  /** A worker's queue does not take the jobs of these. */
  async returned(claims: readonly StartedClaim[]): Promise<void> {
    const { database, onReturned } = this.options
    await onReturned(await returnStarted(database, claims))
  }

  /** What was sent so long ago and not answered for (X3), once. */
  takeUnanswered(olderThanMs: number): StartedClaim[] {
    const until = performance.now() - olderThanMs
    const old = this.unanswered.filter(({ since }) => since <= until)
    if (old.length > 0) this.unanswered = this.unanswered.filter(({ since }) => since > until)
    return old.map(({ claim }) => claim)
  }

  private keep(work: Promise<void>): void {
    const kept = work.catch(error => {
      if (!this.stopping.signal.aborted)
        this.options.log.error({ err: error }, 'attempts could not be started on their workers; the leases will tell')
    })
    this.underWay.add(kept)
    void kept.finally(() => this.underWay.delete(kept))
  }

  private async sendAll(rows: readonly StartedRow[]): Promise<void> {
    const traces = await this.options.traces(rows)
    const messages: Message[] = []
    const open = new Map<string, Message>()
    for (const row of rows) {
      const tp = traces?.get(jobId(row.id, row.attempt, row.dispatch))
      const text = startText(row, tp)
      const size = Buffer.byteLength(text) + 1
      const worker = row.slots.workerId
      let message = open.get(worker)
      if (!message || message.rows.length >= maxBatchItems || message.bytes + size > maxBatchBytes) {
        message = { worker, rows: [], texts: [], bytes: 0 }
        open.set(worker, message)
        messages.push(message)
      }
      message.rows.push({ row, tp })
      message.texts.push(text)
      message.bytes += size
    }
    await Promise.all(messages.map(message => this.ask(message)))
  }

  private async ask({ worker, rows, texts }: Message): Promise<void> {
    const { spares, coordinatorId, onBegun, log } = this.options
    const since = performance.now()
    const head = JSON.stringify({ v: protocolVersion, id: randomUUID(), coordinator: coordinatorId }).slice(0, -1)
    const bare = () => `${head},"items":[${rows.map(({ row, tp }) => startText({ ...row, grant: null }, tp)).join(',')}]}`
    spares.asked(worker)
    const reply = await this.answer(worker, `${head},"items":[${texts.join(',')}]}`, bare).finally(() => spares.answered(worker))
    for (const { row } of rows) spares.settled(row.slots)
    if (reply === undefined) {
      log.warn({ worker_id: worker, attempts: rows.length }, 'a worker does not say whether it runs what was started there')
      this.unanswered.push(...rows.map(({ row: { id, claim_id } }) => ({ claim: { id, claim_id }, since })))
      return
    }
    spares.heard(worker, reply?.spare, reply?.busy)
    const begun = rows.flatMap(({ row }, i) => (reply?.started[i] ? [row] : []))
    if (begun.length > 0) onBegun(begun)
    const refused = rows.flatMap(({ row }, i) => (reply?.started[i] ? [] : [row]))
    if (refused.length > 0) await this.giveBack(refused)
  }

  /** Null: nobody is there. Undefined: it does not answer. `again` makes what is sent when the first request was not answered. */
  private async answer(worker: string, first: string, again: () => string): Promise<StartReply | null | undefined> {
    const { bus, subjects, leaseMs, heartbeatMs } = this.options
    const { signal } = this.stopping
    let until = performance.now() + heartbeatMs
    for (let payload = first; ; payload = again()) {
      try {
        const text = await bus.request(subjects.starts(worker), payload, { timeoutMs: answerWithinMs(leaseMs), signal })
        const reply = JSON.parse(text) as Reply<StartReply> // a worker's word is trusted, as far as this
        return reply.status === 'ok' ? reply.body : null
      } catch (error) {
        if (!(error instanceof NoReplyError)) throw error
        if (error.reason === 'no_responders') return null
        if (!bus.connected) until = performance.now() + heartbeatMs // nobody heard it
        if (performance.now() > until || signal.aborted) return undefined
        await delay(pauseMs, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  /** While nothing can be committed it is tried again, until the leases tell. */
  private async giveBack(claims: readonly StartedClaim[]): Promise<void> {
    const { leaseMs } = this.options
    const { signal } = this.stopping
    const until = performance.now() + leaseMs
    for (;;) {
      try {
        return await this.returned(claims)
      } catch (error) {
        if (!mayPass(error) || performance.now() > until || signal.aborted) throw error
        await delay(leaseMs / 10, undefined, { signal }).catch(() => undefined)
      }
    }
  }
}

/** `briefOf`: what is remembered of a subtask. */
export function startedRow(
  { subtask, slots, ahead, times }: Begun,
  briefOf: (subtask: string) => { grant(started: Omit<Started, 'waited'>): string } | undefined,
): StartedRow {
  const { id, attempt, queue, route_id, task_pk, attempt_limit, start_claim } = subtask
  const { sla_ms, lease_ms, deadline_in_ms } = times
  const started = { route_id, task_pk, attempt, attempt_limit, progress: null, sla_ms, lease_ms, deadline_in_ms }
  const grant = briefOf(id)?.grant(started) ?? null
  // Whatever starts has a claim and a queue.
  return {
    id,
    attempt,
    dispatch: attempt,
    queue: queue ?? '',
    route_id,
    task_pk,
    claim_id: start_claim ?? '',
    slots,
    ahead,
    waited: 0,
    grant,
  }
}

/** A `Start`. */
function startText({ id, attempt, dispatch, queue, claim_id, slots, ahead, grant }: StartedRow, tp: string | undefined): string {
  const job = jobId(id, attempt, dispatch)
  const start: Omit<Start, 'grant'> = { subtask: id, attempt, job, tp, agent: slots.agent, queue, claim_id, ...(ahead && { first: true }) }
  const text = JSON.stringify(start)
  return grant === null ? text : `${text.slice(0, -1)},"grant":${grant}}`
}
