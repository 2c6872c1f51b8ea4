/**
 * Gauges of the whole installation, read of Postgres when somebody asks and what was read last is too old. However often
 * it is scraped, the database is asked once in five seconds, and the more seldom the longer it takes.
 */
import { atMost } from '@baton/shared/node'
import { BoundedLabel } from '@baton/shared/observe'
import type { Queryable } from '../store/database.js'
import { readStanding, type Standing } from '../store/standing.js'
import type { Observer } from './observer.js'

interface StandingOptions {
  readonly database: Queryable
  readonly observer: Observer
  /** The capability that a route asks for; undefined for a route that is not known here yet. */
  readonly capabilityOf: (routeId: number) => string | undefined
  readonly capacity: () => Map<string, { slots: number; active: number }>
}

const minAgeMs = 5_000
/** How many times longer than it took the look rests. */
const restShare = 20
/** A scrape does not wait longer for the database: it shows what was read before. */
const patienceMs = 2_000

export class StandingGauges {
  private readonly options: StandingOptions
  private reading: Promise<void> | undefined
  private readAt = Number.NEGATIVE_INFINITY
  private nextAt = Number.NEGATIVE_INFINITY

  constructor(options: StandingOptions) {
    this.options = options
  }

  /** Brings the gauges up to date, as far as the database answers in time. */
  async refresh(): Promise<void> {
    if (performance.now() >= this.nextAt) {
      this.reading ??= this.read().finally(() => {
        this.reading = undefined
      })
      await atMost(patienceMs, this.reading)
    }
    const age = (performance.now() - this.readAt) / 1_000
    if (Number.isFinite(age)) this.options.observer.metrics.set('orchestrator_standing_age_seconds', {}, age)
  }

  private async read(): Promise<void> {
    const began = performance.now()
    try {
      this.show(await readStanding(this.options.database))
      this.readAt = performance.now()
    } catch {
      // Postgres is away, which its age says; whoever needs it to commit says it in the log.
    }
    const ended = performance.now()
    this.nextAt = ended + Math.max(minAgeMs, (ended - began) * restShare)
  }

  private show({ tasks, subtasks, workers, reviews }: Standing): void {
    const { observer, capabilityOf, capacity } = this.options
    const { metrics } = observer
    for (const { status, count } of tasks)
      if (status === 'planned') metrics.set('orchestrator_tasks_planned', {}, count)
      else metrics.set('orchestrator_tasks_active', { status }, count)
    metrics.clear('orchestrator_workers')
    for (const { state, count } of workers) metrics.set('orchestrator_workers', { state }, count)
    metrics.set('orchestrator_reviews_open', {}, reviews)
    const served = capacity()
    this.showCapacity(served)
    this.showSubtasks(subtasks, routeId => {
      const capability = capabilityOf(routeId) ?? BoundedLabel.rest
      // Of what nobody offers anybody may ask: those names must not use up the labels.
      return served.has(capability) ? observer.capabilities.of(capability) : BoundedLabel.rest
    })
  }

  private showCapacity(served: ReturnType<StandingOptions['capacity']>): void {
    const { metrics, capabilities } = this.options.observer
    metrics.clear('orchestrator_slots')
    metrics.clear('orchestrator_slots_active')
    const sums = new Map<string, { slots: number; active: number }>()
    for (const [name, { slots, active }] of served) {
      const capability = capabilities.of(name)
      const sum = sums.get(capability) ?? { slots: 0, active: 0 }
      sums.set(capability, { slots: sum.slots + slots, active: sum.active + active })
    }
    for (const [capability, { slots, active }] of sums) {
      metrics.set('orchestrator_slots', { capability }, slots)
      metrics.set('orchestrator_slots_active', { capability }, active)
    }
  }

  private showSubtasks(subtasks: Standing['subtasks'], labelOf: (routeId: number) => string): void {
    const { observer } = this.options
    const { metrics } = observer
    const counts = new Map<string, Map<string, number>>()
    for (const { route_id, state, count } of subtasks) {
      const capability = labelOf(route_id)
      const states = counts.get(capability) ?? new Map<string, number>()
      counts.set(capability, states.set(state, (states.get(state) ?? 0) + count))
    }
    metrics.clear('orchestrator_subtasks')
    metrics.clear('orchestrator_backlog_seconds')
    for (const name of this.options.capacity().keys())
      metrics.set('orchestrator_backlog_seconds', { capability: observer.capabilities.of(name) }, 0)
    for (const [capability, states] of counts) {
      for (const [state, count] of states) metrics.set('orchestrator_subtasks', { capability, state }, count)
      const waiting = (states.get('ready') ?? 0) + (states.get('queued') ?? 0)
      metrics.set('orchestrator_backlog_seconds', { capability }, waiting * observer.meanRun(capability))
    }
  }
}
