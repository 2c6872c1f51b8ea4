/** What a workload is given, and what it gives back. */
import type { Section } from './figures.js'

export interface BenchContext {
  /** Aborted by Ctrl-C; a workload then stops what it started and throws. */
  readonly signal: AbortSignal
  /** One line of progress, for people. */
  readonly say: (line: string) => void
  /** The fleet is watched over meanwhile: log, metrics, traces. */
  readonly observed?: boolean
  /** Where V8 writes a CPU profile of each fleet process; it slows them down. */
  readonly profileDir?: string
}

export type Workload = (context: BenchContext) => Promise<Section[]>
