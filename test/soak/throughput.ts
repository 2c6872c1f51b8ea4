/** Completions over time, as Postgres wrote them down: throughput, gaps, and how soon it was there again after a fault. */
import type { FaultFleet } from '../faults/kit/index.js'
import { type Happened, onMs } from './chaos.js'

const binMs = 250

/** A fault, the lease that may have to run out, and what it takes to go on. */
export const longestGapMs = onMs + 6_000 + 4_000

export interface Throughput {
  /** Completions per second, of each 10 s from the start. */
  readonly per10s: readonly number[]
  readonly completed: number
  readonly longestGapMs: number
  /** When the longest gap began, in ms since the start. */
  readonly gapAt: number
}

export interface Recovery {
  readonly text: string
  /** Since the start. */
  readonly atMs: number
  /** From the moment at which the fault was undone until a second brought half of the rate again; undefined: it never did. */
  readonly recoveredMs: number | undefined
}

interface Bin {
  readonly bin: number
  readonly n: number
}

/** `from` and `until`: milliseconds of this machine's clock, which the private Postgres shares. */
export async function readBins(fleet: FaultFleet, { from, until }: { from: number; until: number }): Promise<number[]> {
  const rows = await fleet.rows<Bin>(
    `select floor((extract(epoch from finished_at) * 1000 - $1::float8) / $3::float8)::int as bin, count(*)::int as n
     from attempts where outcome = 'completed' and finished_at between to_timestamp($1::float8 / 1000) and to_timestamp($2::float8 / 1000)
     group by 1`,
    [from, until, binMs],
  )
  const bins = Array.from({ length: Math.ceil((until - from) / binMs) }, () => 0)
  for (const { bin, n } of rows) bins[bin] = (bins[bin] ?? 0) + n
  return bins
}

export function throughputOf(bins: readonly number[]): Throughput {
  const perTen = 10_000 / binMs
  const per10s = Array.from({ length: Math.ceil(bins.length / perTen) }, (_, i) => {
    const part = bins.slice(i * perTen, (i + 1) * perTen)
    return sum(part) / ((part.length * binMs) / 1_000)
  })
  let [longest, gapAt, open] = [0, 0, 0]
  for (const [i, n] of bins.entries()) {
    open = n > 0 ? 0 : open + 1
    if (open > longest) [longest, gapAt] = [open, i + 1 - open]
  }
  return { per10s, completed: sum(bins), longestGapMs: longest * binMs, gapAt: gapAt * binMs }
}

export function recoveryOf(
  happened: Happened,
  { text, bins, start, rate }: { text: string; bins: readonly number[]; start: number; rate: number },
): Recovery {
  const second = 1_000 / binMs
  const first = Math.max(0, Math.ceil((happened.until - start) / binMs))
  const found = bins.findIndex((_, i) => i >= first && i + second <= bins.length && sum(bins.slice(i, i + second)) >= rate / 2)
  return { text, atMs: happened.from - start, recoveredMs: found < 0 ? undefined : Math.max(0, start + found * binMs - happened.until) }
}

const sum = (list: readonly number[]) => list.reduce((total, n) => total + n, 0)
