/** What the processes hold over time, and whether that grows. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** As memory-process.mjs writes it, after a full collection. */
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

/** A process fills its caches and grows its heap at first. */
const warmUpMs = 2 * 60_000
/** What is left has to show a trend and not a single step. */
const judgedMs = 2 * 60_000

const mib = 1_048_576

/** `until`: when the load ended. A fleet at rest gives memory back, which would hide what grew. */
export function slopeOf(life: Life, { directory, until }: { directory: string; until: number }): Slope {
  const all = readSamples(join(directory, `${life.pid}.jsonl`)).filter(({ at }) => at <= until)
  const first = all[0]?.at ?? 0
  const late = all.filter(({ at }) => at - first >= warmUpMs)
  const reach = (late.at(-1)?.at ?? 0) - (late[0]?.at ?? 0)
  const judged = reach >= judgedMs
  const per = (read: (sample: Sample) => number) =>
    judged ? leastSquares(late.map(sample => [sample.at / 60_000, read(sample) / mib])) : undefined
  return {
    ...life,
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

/** The slope of the line with the least squared distances to the points. */
export function leastSquares(points: readonly (readonly [number, number])[]): number {
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const covariance = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  return covariance / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
}
