/** Arithmetic of comparisons: what is measured several times, in rounds, on two sides. */
import { median, quantile } from './measure.js'

/** A way to run a workload, such as a number in flight, and the rates that its runs reached. */
export interface Variant {
  readonly rates: readonly number[]
}

/** The variant with the largest median; the first of equals. Throws when there is none. */
export function bestVariant<V extends Variant>(variants: readonly V[]): V {
  const [first, ...others] = variants
  if (!first) throw new RangeError('there is no variant to choose from')
  return others.reduce((best, each) => (median(each.rates) > median(best.rates) ? each : best), first)
}

/** Of each round, `ours` as a multiple of `theirs`. Throws when one side has more rounds. */
export function ratiosOf(ours: readonly number[], theirs: readonly number[]): number[] {
  if (ours.length !== theirs.length) throw new RangeError(`${ours.length} rounds on one side, ${theirs.length} on the other`)
  return ours.map((value, round) => value / (theirs[round] ?? Number.NaN))
}

export interface Spread {
  readonly low: number
  readonly high: number
}

/** From the lowest to the highest; NaN for both where there is nothing, or something is not a number. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) return { low: Number.NaN, high: Number.NaN }
  return { low: Math.min(...values), high: Math.max(...values) }
}

export interface Latencies {
  readonly p50Ms: number
  readonly p99Ms: number
}

export function latenciesOf(values: readonly number[]): Latencies {
  return { p50Ms: quantile(values, 0.5), p99Ms: quantile(values, 0.99) }
}
