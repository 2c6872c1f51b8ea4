/** What a soak found, and how it is printed. Everything that is printed was measured in the run. */
import type { Violation } from '../faults/history/history.js'
import type { Slope } from './memory.js'
import { longestGapMs, type Recovery, type Throughput } from './throughput.js'

export interface SoakFindings {
  readonly seed: number
  readonly minutes: number
  readonly rate: number
  readonly cores: number
  readonly loadAfter: readonly number[]
  /** Percent of one core that the driver took. */
  readonly driverCpu: number
  readonly counts: {
    readonly tasks: number
    readonly submitted: number
    readonly heldBack: number
    readonly repeated: number
    readonly decisions: number
    readonly shapes: Readonly<Record<string, number>>
    readonly checkedTasks: number
    readonly checkedSubtasks: number
    readonly checkedEvents: number
    readonly executions: number
    readonly retried: number
    readonly lost: number
  }
  readonly faults: readonly { readonly text: string; readonly from: number; readonly until: number }[]
  readonly throughput: Throughput
  readonly recoveries: readonly Recovery[]
  readonly memory: readonly Slope[]
  readonly sockets: Readonly<Record<string, number>>
  readonly drainedMs: number
  readonly checkedMs: number
  readonly leftovers: readonly string[]
  readonly violationCount: number
  /** The first of each invariant. */
  readonly violations: readonly Violation[]
  readonly logged: Readonly<Record<string, number>>
}

export interface SoakReport extends SoakFindings {
  /** Empty: everything holds. */
  readonly verdicts: readonly string[]
}

export function reportLines(report: SoakReport): string[] {
  const { counts, throughput, memory } = report
  return [
    '',
    `throughput, completions/s in each 10 s: ${throughput.per10s.map(n => n.toFixed(0)).join(' ')}`,
    `longest time without a completion: ${s(throughput.longestGapMs)} s, from ${s(throughput.gapAt)} s on (allowed: ${s(longestGapMs)} s)`,
    `tasks ${counts.tasks} (${Object.entries(counts.shapes)
      .map(([shape, n]) => `${n} ${shape}`)
      .join(', ')})`,
    `subtasks submitted ${counts.submitted}, held back ${counts.heldBack}, in the history ${counts.checkedSubtasks}; completed ${throughput.completed}`,
    `executions ${counts.executions}, subtasks with more than one attempt ${counts.retried}, attempts lost with their worker ${counts.lost}`,
    `submissions repeated ${counts.repeated}, decisions ${counts.decisions}`,
    `driver: ${report.driverCpu.toFixed(0)} % of one core; ${report.cores} cores, load after ${report.loadAfter.map(n => n.toFixed(1)).join(' ')}`,
    '',
    'recovery: from the end of a fault until one second brought half of the mean rate',
    ...report.recoveries.map(
      ({ text, atMs, recoveredMs }) =>
        `  ${s(atMs).padStart(7)} s  ${text}: ${recoveredMs === undefined ? 'not before the end' : `${s(recoveredMs)} s`}`,
    ),
    '',
    'memory, with all garbage collected and given back, from the third minute of each process on',
    ...memory.map(
      ({ member, pid, rss, heap, minutes, samples, lastRssMiB }) =>
        `  ${member} (${pid}), ${lastRssMiB.toFixed(0)} MiB resident: ${
          rss === undefined
            ? 'lived too shortly to be judged'
            : `resident ${signed(rss)} MiB/min, heap ${signed(heap ?? 0)} MiB/min (${samples} samples, ${minutes.toFixed(1)} min)`
        }`,
    ),
    `sockets at rest: ${Object.entries(report.sockets)
      .map(([member, n]) => `${member} ${n}`)
      .join(', ')}`,
    '',
    'what the fleet logged at warn and above:',
    ...Object.entries(report.logged).map(([message, n]) => `  ${String(n).padStart(6)}  ${message}`),
    '',
    `drained in ${s(report.drainedMs)} s; ${counts.checkedTasks} tasks, ${counts.checkedSubtasks} subtasks, ${counts.checkedEvents} events checked in ${s(report.checkedMs)} s`,
    `violations: ${report.violationCount}`,
    ...report.violations.map(({ invariant, subject, problem }) => `  ${invariant} ${subject}: ${problem}`),
    '',
    ...(report.verdicts.length > 0 ? report.verdicts.map(verdict => `FAILED: ${verdict}`) : ['everything holds']),
    `seed ${report.seed}`,
  ]
}

const s = (ms: number) => (ms / 1_000).toFixed(1)
const signed = (n: number) => `${n >= 0 ? '+' : ''}${n.toFixed(2)}`
