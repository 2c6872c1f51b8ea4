/**
 * Prometheus metrics of one process, made of a table: what is not in the table cannot be counted, and docs/metrics.md is
 * held equal to the tables. The one file that imports prom-client.
 *
 * Invariants: M1 the number of series is bounded: label values are of closed sets, or pass a `BoundedLabel`. M2 counting
 * never throws and never waits.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export interface MetricDefinition {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Of a histogram. */
  readonly buckets?: readonly number[]
}
export type MetricTable = Readonly<Record<string, MetricDefinition>>

/** Names of one kind. */
type Named<T extends MetricTable, K extends MetricDefinition['kind']> = {
  [N in keyof T]: T[N]['kind'] extends K ? N : never
}[keyof T] &
  string
type Labels<T extends MetricTable, N extends keyof T> = Readonly<Record<T[N]['labels'][number], string>>

/** From half a millisecond to an hour: waits and runs of agents have no common scale. */
export const secondsBuckets = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600,
] as const

let processRegistry: Registry | undefined

/** CPU, memory, event-loop lag, garbage collection: measured once for a process, whatever starts and stops in it. */
function ofProcess(): Registry {
  if (!processRegistry) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry })
  }
  return processRegistry
}

/** The text of a scrape. */
export interface Exposition {
  readonly contentType: string
  readonly text: string
}

export class Metrics<T extends MetricTable> {
  private readonly registry = new Registry()
  private readonly counters = new Map<string, Counter>()
  private readonly gauges = new Map<string, Gauge>()
  private readonly histograms = new Map<string, Histogram>()

  /** Beside those of the table, the usual metrics of a Node.js process are there. */
  constructor(table: T) {
    const registers = [this.registry]
    for (const [name, { kind, help, labels, buckets }] of Object.entries(table)) {
      const common = { name, help, labelNames: [...labels], registers }
      if (kind === 'counter') this.counters.set(name, new Counter(common))
      else if (kind === 'gauge') this.gauges.set(name, new Gauge(common))
      else this.histograms.set(name, new Histogram({ ...common, buckets: [...(buckets ?? secondsBuckets)] }))
    }
    ofProcess()
  }

  add<N extends Named<T, 'counter'>>(name: N, labels: Labels<T, N>, count = 1): void {
    this.counters.get(name)?.inc(labels, count)
  }

  set<N extends Named<T, 'gauge'>>(name: N, labels: Labels<T, N>, value: number): void {
    this.gauges.get(name)?.set(labels, value)
  }

  observe<N extends Named<T, 'histogram'>>(name: N, labels: Labels<T, N>, value: number): void {
    this.histograms.get(name)?.observe(labels, value)
  }

  /** Forgets every series of a gauge, before it is set anew. */
  clear<N extends Named<T, 'gauge'>>(name: N): void {
    this.gauges.get(name)?.reset()
  }

  /** The names that a scrape may show, those of the process included. */
  names(): string[] {
    return [this.registry, ofProcess()].flatMap(registry => registry.getMetricsAsArray().map(metric => metric.name))
  }

  async render(): Promise<Exposition> {
    const texts = await Promise.all([this.registry, ofProcess()].map(registry => registry.metrics()))
    return { contentType: this.registry.contentType, text: texts.join('') }
  }
}
