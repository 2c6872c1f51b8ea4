/**
 * What the processes hold over time, and whether that grows.
 *
 * A sample is taken after V8 has collected everything and given back what it keeps free (memory-process.mjs): so what is
 * resident is what is held, in the heap and outside of it, and not how V8 happens to size its young generation. The slope
 * is the median of those between any two samples: a single step or a few high readings are no trend.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** As memory-process.mjs writes it. */
export interface Sample {
  readonly at: number
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
}

export interface Life {
  readonly member: string
  readonly pid: number
}

export interface Slope extends Life {
  readonly samples: number
  /** Over how many minutes the judged samples reach. */
  readonly minutes: number
  /** MiB per minute; undefined: it did not live long enough to be judged. */
  readonly rss: number | undefined
  readonly heap: number | undefined
  readonly lastRssMiB: number
}

/** A process fills its caches and compiles its code at first. */
const warmUpMs = 2 * 60_000
/** Over less, what comes and goes with a fault is as much as what a leak at the limit would add. */
const judgedMs = 3 * 60_000

const mib = 1_048_576

/** `until`: when the load ended. A fleet at rest gives memory back, which would hide what grew. */
export function slopeOf(life: Life, { directory, until }: { directory: string; until: number }): Slope {
  return { ...life, ...growthOf(readSamples(join(directory, `${life.pid}.jsonl`)).filter(({ at }) => at <= until)) }
}

/** Of one process, from its first sample on. */
export function growthOf(all: readonly Sample[]): Omit<Slope, keyof Life> {
  const first = all[0]?.at ?? 0
  const late = all.filter(({ at }) => at - first >= warmUpMs)
  const reach = (late.at(-1)?.at ?? 0) - (late[0]?.at ?? 0)
  const judged = reach >= judgedMs
  const per = (read: (sample: Sample) => number) =>
    judged ? medianSlope(late.map(sample => [sample.at / 60_000, read(sample) / mib])) : undefined
  return {
    samples: late.length,
    minutes: reach / 60_000,
    rss: per(({ rss }) => rss),
    heap: per(({ heapUsed, external }) => heapUsed + external),
    lastRssMiB: (all.at(-1)?.rss ?? 0) / mib,
  }
}

function readSamples(file: string): Sample[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Sample) // written by our own module
}

/** The median of the slopes between any two of the points (Theil and Sen). */
export function medianSlope(points: readonly (readonly [number, number])[]): number {
  const slopes = points.flatMap(([x, y], i) => points.slice(i + 1).map(([later, then]) => (then - y) / (later - x))).sort((a, b) => a - b)
  const middle = slopes.length / 2
  const at = (n: number) => slopes[n] ?? 0
  return Number.isInteger(middle) ? (at(middle - 1) + at(middle)) / 2 : at(Math.floor(middle))
}
