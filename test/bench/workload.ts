/** What a workload is given, and what it gives back. */
import type { Section } from './figures.js'

export interface BenchContext {
  /** Aborted by Ctrl-C; a workload then stops what it started and throws. */
  readonly signal: AbortSignal
  /** One line of progress, for people. */
  readonly say: (line: string) => void
  /** Where profiles go: of CPU for each fleet process, of statements for each Postgres. They slow down what is measured. */
  readonly profileDir?: string
  /** Whether fleets are watched over meanwhile: log, metrics, traces. */
  readonly observed: boolean
  /** How often the two sides of a comparison take turns. */
  readonly rounds: number
  /** How many finished subtasks a large history has. */
  readonly history: number
  /** Where the scripts of other peers are, with what they need installed. */
  readonly peersDir?: string
}

export type Workload = (context: BenchContext) => Promise<Section[]>
