/**
 * A worker that is the test itself: it speaks the workers' protocol over NATS and says what no real worker would, to the
 * coordinator of its choice. Its queue's jobs are left where they are: it claims what Postgres says is queued.
 *
 * Invariants: G1 what it holds is kept alive by heartbeats of its own until it falls silent. G2 what it asks is repeated
 * until it is answered, as real workers do, so that an answer means committed; unless the test asks once.
 */
import { randomUUID } from 'node:crypto'
import {
  type ClaimReply,
  type Grant,
  type HeartbeatReply,
  type Outcome,
  protocolVersion,
  type RegisterReply,
  type Reply,
  type ReportItem,
  type ReportReply,
  subjects,
  type WorkerRequest,
} from '@baton/shared'
import { type Bus, connectNatsBus, silentLogger } from '@baton/shared/node'
import { eventually } from '../../harness/eventually.js'
import type { Disturbance } from '../history/history.js'

export interface GhostOptions {
  /** Of its only agent, and what that offers. */
  readonly agent: string
  /** Default: the protocol's present one. */
  readonly version?: number
}

interface Place {
  readonly name: string
  readonly namespace: string
  readonly natsUrl: string
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** The subject of coordinator n. */
  readonly coordinator: (n: number) => string
  readonly rows: <R>(text: string, params: readonly unknown[]) => Promise<R[]>
  readonly disturbances: Disturbance[]
}

/** An attempt that it was granted. */
export interface Held {
  /** The subtask's internal id. */
  readonly subtask: string
  readonly attempt: number
  readonly claimId: string
  readonly grant: Grant
}

export interface Asking {
  /** Coordinator n; default: whichever of their group takes it. */
  readonly to?: number
  /** How long one answer may take; default 10,000. */
  readonly timeoutMs?: number
}

type Unversioned<R> = R extends WorkerRequest ? Omit<R, 'v'> : never
export type GhostRequest = Unversioned<WorkerRequest>

let ghosts = 0
/** Long: a repeat would be answered otherwise than what it repeats. */
const answerMs = 10_000
const beatAnswerMs = 500
const answeredMs = 20_000
const againMs = 20
/** Pids that no process has. */
const noPid = 2 ** 24

export class Ghost {
  readonly id = `ghost-${randomUUID()}`
  readonly pid = noPid + ++ghosts
  readonly agent: string
  private readonly version: number
  private readonly place: Place
  private readonly bus: Bus
  private readonly held = new Map<string, Held>()
  private beating: Promise<void> | undefined
  private silent = false
  private left = false

  private constructor(place: Place, bus: Bus, { agent, version = protocolVersion }: GhostOptions) {
    this.place = place
    this.bus = bus
    this.agent = agent
    this.version = version
  }

  static async join(place: Place, options: GhostOptions): Promise<Ghost> {
    const bus = await connectNatsBus({ url: place.natsUrl, name: place.name, log: silentLogger() })
    const ghost = new Ghost(place, bus, options)
    await ghost.register()
    await ghost.heartbeat()
    ghost.beating = ghost.beat()
    return ghost
  }

  register(asking: Asking = {}): Promise<RegisterReply> {
    const { id, pid, agent, version } = this
    const hosted = { name: agent, description: '', domain: null, capabilities: [agent], skills: [], concurrency: 1_000, kind: 'module' }
    const worker = { id, pid, host: 'ghost', version: `v${version}`, pool: 'shared', concurrency: 1_000 }
    return this.ask({ type: 'register', worker: { ...worker, agents: [{ ...hosted, sla_ms: null }] } }, asking)
  }

  /** What is held is given up: nothing is heard of it any more, without a goodbye. */
  silence(): void {
    this.silent = true
    this.place.disturbances.push({ member: this.place.name, pid: this.pid, what: 'fell silent' })
  }

  /** Says what it is told to hold; by default all that it was granted and has not reported. */
  heartbeat(active: readonly Pick<Held, 'subtask' | 'claimId'>[] = [...this.held.values()], asking: Asking = {}): Promise<HeartbeatReply> {
    const claims = active.map(({ subtask, claimId }) => ({ subtask, claim_id: claimId }))
    const load = { [this.agent]: claims.length }
    return this.ask({ type: 'heartbeat', worker_id: this.id, state: 'ready', active: claims, load, loop_lag_ms: 0 }, asking)
  }

  /** Waits until `count` attempts of a task are queued for its agent, and claims them. */
  async claim(taskId: string, count: number, asking: Asking = {}): Promise<Held[]> {
    const queued = await eventually(
      async () => {
        const rows = await this.place.rows<{ id: string; attempt: number }>(
          `select s.id::text, s.attempt from tasks k join subtasks d on d.task_pk = k.id join subtask_states s on s.id = d.id
             where k.task_id = $1 and d.capability = $2 and s.state = 'queued' order by d.ordinal`,
          [taskId, this.agent],
        )
        return rows.length >= count ? rows.slice(0, count) : false
      },
      { timeoutMs: answeredMs },
    )
    const items = queued.map(({ id, attempt }) => ({ subtask: id, attempt, claim_id: randomUUID(), agent: this.agent }))
    const granted = await this.claimItems(items, asking)
    return granted.map((reply, n) => {
      const item = items[n]
      if (reply.status !== 'granted' || !item) throw new Error(`the claim of attempt ${item?.attempt} was answered ${reply.status}`)
      const held = { subtask: item.subtask, attempt: item.attempt, claimId: item.claim_id, grant: reply.grant }
      this.held.set(held.claimId, held)
      return held
    })
  }

  /** Replies in order. */
  async claimItems(
    items: readonly { subtask: string; attempt: number; claim_id: string; agent: string }[],
    asking: Asking = {},
  ): Promise<ClaimReply[]> {
    return (await this.ask<{ results: ClaimReply[] }>({ type: 'claim', worker_id: this.id, items: [...items] }, asking)).results
  }

  /** Replies in order. What was answered is not held any more, unless it was rejected. */
  async report(items: readonly ReportItem[], asking: Asking = {}): Promise<ReportReply[]> {
    const replies = await this.reportTexts(
      items.map(item => JSON.stringify(item)),
      asking,
    )
    for (const [n, item] of items.entries()) if (replies[n]?.status !== 'rejected') this.held.delete(item.claim_id)
    return replies
  }

  /** Replies in order. The texts may be any JSON: it is judged at the other side. */
  async reportTexts(items: readonly string[], asking: Asking = {}): Promise<ReportReply[]> {
    const text = `{"v":${this.version},"type":"report","worker_id":"${this.id}","items":[${items.join(',')}]}`
    return (await this.untilAnswered<{ results: ReportReply[] }>(text, asking)).results
  }

  /** G2. */
  ask<T>(request: GhostRequest, asking: Asking = {}): Promise<T> {
    return this.untilAnswered(JSON.stringify({ v: this.version, ...request }), asking)
  }

  /** Sends it as it is, and once. */
  async askOnce<T>(text: string, { to, timeoutMs = answerMs }: Asking = {}): Promise<Reply<T>> {
    const subject = to === undefined ? subjects(this.place.namespace).coordinators : this.place.coordinator(to)
    return JSON.parse(await this.bus.request(subject, text, { timeoutMs })) as Reply<T> // ours
  }

  private async untilAnswered<T>(text: string, asking: Asking): Promise<T> {
    for (const deadline = performance.now() + answeredMs; ; ) {
      const reply = await this.askOnce<T>(text, asking).catch((error: Error) => error)
      if (!(reply instanceof Error) && reply.status === 'ok') return reply.body
      const why = reply instanceof Error ? reply.message : `${reply.status}: ${reply.failure.message}`
      if (this.left || performance.now() > deadline) throw new Error(`${text.slice(0, 200)} was answered ${why}`)
      await pause(againMs)
    }
  }

  async leave(): Promise<void> {
    this.silent = true
    this.left = true
    await this.beating
    await this.bus.close()
  }

  /** G1. */
  private async beat(): Promise<void> {
    while (!this.silent) {
      await pause(this.place.heartbeatMs)
      if (!this.silent) await this.heartbeat(undefined, { timeoutMs: beatAnswerMs }).catch(() => undefined) // the next one follows
    }
  }
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** The report that an attempt came to this. */
export function reportOf({ subtask, attempt, claimId }: Held, outcome: Outcome): ReportItem {
  return { subtask, attempt, claim_id: claimId, outcome }
}

/** The report of a result. */
export function resultOf(held: Held, value: unknown): ReportItem {
  return reportOf(held, { kind: 'completed', output: JSON.stringify(value) })
}
