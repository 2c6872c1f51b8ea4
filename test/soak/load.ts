/**
 * The load: tasks at a steady rate through `POST /tasks/batch`, cancels, reruns, and a person's decisions on reviews.
 *
 * Invariants: L1 a submission of unknown fate is repeated until it is known. L2 what is not finished stays below a bound:
 * beyond it nothing is submitted, and what was due is counted as held back, so that a slow machine builds no backlog.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ReviewList } from '@baton/shared'
import { type Choices, type FaultFleet, seeded } from '../faults/kit/index.js'
import { type Aftermath, makeTask, type ShapeName, type SoakTask } from './shapes.js'

const tickMs = 100
const lookMs = 1_000
const decideMs = 500
/** Seconds of load that may be unfinished. */
const boundSeconds = 15
const deciding = 50

export interface LoadCounts {
  submitted: number
  heldBack: number
  tasks: number
  /** Submissions whose first answer left their fate open. */
  repeated: number
  decisions: number
  readonly shapes: Record<string, number>
}

export class Load {
  readonly counts: LoadCounts = { submitted: 0, heldBack: 0, tasks: 0, repeated: 0, decisions: 0, shapes: {} }
  /** Unfinished subtasks, as Postgres said last. */
  unfinished = 0
  private readonly fleet: FaultFleet
  private readonly perSecond: number
  private readonly choices: Choices
  private readonly ofDecisions: Choices
  private readonly working = new Set<Promise<unknown>>()
  private readonly problems: unknown[] = []
  private stage: 'submitting' | 'deciding' | 'ended' = 'submitting'

  constructor(fleet: FaultFleet, { perSecond, seed }: { perSecond: number; seed: number }) {
    this.fleet = fleet
    this.perSecond = perSecond
    this.choices = seeded(seed)
    this.ofDecisions = seeded(seed + 1)
  }

  start(): void {
    this.keep(this.submitting())
    this.keep(this.looking())
    this.keep(this.decidingReviews())
  }

  /** Nothing more is submitted; resolves when all that was is known. Reviews go on being decided. */
  async stopSubmitting(): Promise<void> {
    this.stage = 'deciding'
    while (this.sending.size > 0) await Promise.allSettled(this.sending)
  }

  /** Throws what went wrong in the driver itself. */
  async stop(): Promise<void> {
    this.stage = 'ended'
    await Promise.allSettled(this.working)
    if (this.problems.length > 0) throw new AggregateError(this.problems, 'the driver of the load failed')
  }

  private readonly sending = new Set<Promise<unknown>>()

  private keep(work: Promise<unknown>, among: Set<Promise<unknown>> = this.working): void {
    const kept: Promise<unknown> = work.catch(problem => this.problems.push(problem)).finally(() => among.delete(kept))
    among.add(kept)
  }

  private async submitting(): Promise<void> {
    let due = 0
    let last = performance.now()
    for (let n = 0; this.stage === 'submitting'; ) {
      await delay(tickMs)
      const now = performance.now()
      due += (this.perSecond * (now - last)) / 1_000
      last = now
      if (this.unfinished > this.perSecond * boundSeconds || this.sending.size > 50) {
        this.counts.heldBack += due // L2
        due = 0
        continue
      }
      const batch: SoakTask[] = []
      while (due >= 1) {
        const task = makeTask(`soak-${n++}`, this.choices)
        due -= task.subtasks
        batch.push(task)
      }
      if (batch.length > 0) this.keep(this.submit(batch), this.sending)
    }
  }

  private async submit(batch: readonly SoakTask[]): Promise<void> {
    let open = batch
    while (open.length > 0) {
      const sent = open
      const results = await this.fleet.driver.submitMany(sent.map(({ request }) => request))
      open = sent.filter((_, i) => results[i]?.fate === 'unknown') // L1
      const refused = results.find(({ fate }) => fate === 'failed')
      if (refused) throw new Error(`${refused.taskId} was refused: ${refused.status} ${refused.code}`)
      for (const [i, task] of sent.entries()) if (results[i]?.fate === 'ok') this.accepted(task)
      this.counts.repeated += open.length
      if (open.length > 0) await delay(200)
    }
  }

  private accepted({ request, subtasks, shape, aftermath }: SoakTask): void {
    this.counts.tasks++
    this.counts.submitted += subtasks
    this.counts.shapes[shape satisfies ShapeName] = (this.counts.shapes[shape] ?? 0) + 1
    if (aftermath) this.keep(this.follow(request.task_id, aftermath), this.sending)
  }

  private async follow(taskId: string, aftermath: Aftermath): Promise<void> {
    await delay(aftermath.afterMs)
    const { driver } = this.fleet
    if (aftermath.kind === 'cancel') await driver.cancel(taskId)
    else await driver.verb(taskId, 'rerun', { from: [aftermath.from], reason: 'soak' })
  }

  private async looking(): Promise<void> {
    while (this.stage !== 'ended') {
      await delay(lookMs)
      this.unfinished = await this.countUnfinished().catch(() => this.unfinished) // Postgres may be away
    }
  }

  private async countUnfinished(): Promise<number> {
    const [row] = await this.fleet.rows<{ open: string }>(
      `select coalesce(sum(active + reviewing + blocked), 0) as open from tasks
       where tenant_id = 1 and status in ('planned', 'running', 'paused', 'blocked', 'needs_review')`,
    )
    return Number(row?.open ?? 0)
  }

  /** A person who decides whatever comes, at random, and at once. */
  private async decidingReviews(): Promise<void> {
    while (this.stage !== 'ended') {
      await delay(decideMs)
      const { body } = await this.fleet.driver.raw({ method: 'GET', path: `/reviews?status=open&limit=${deciding}` })
      const { reviews = [] } = (body ?? {}) as Partial<ReviewList> // the API's schema
      await Promise.all(
        reviews.map(({ id, kind }) => {
          this.counts.decisions++
          const decision =
            kind === 'approval'
              ? this.ofDecisions.pick(['approve', 'approve', 'reject'])
              : this.ofDecisions.pick(['fail', 'retry', 'supply'])
          return this.fleet.driver.decide(id, { decision, reason: 'soak', ...(decision === 'supply' && { output: { by: 'hand' } }) })
        }),
      )
    }
  }
}
