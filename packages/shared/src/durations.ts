/** Durations as people write them: `90s`, `10m`, `1h30m`, `2d`, `250ms`. */
import { z } from 'zod'

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The longest duration that Baton takes anywhere: a year. */
export const maxDurationMs = 366 * 86_400_000

/** Milliseconds of a duration such as `1h30m`, or undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  const matches = [...text.trim().matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)/g)]
  if (matches.length === 0 || matches.map(m => m[0]).join('').length !== text.replace(/\s/g, '').length + spaces(matches)) return undefined
  return matches.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN), 0)
}

function spaces(matches: RegExpMatchArray[]): number {
  return matches.reduce((sum, m) => sum + (m[0].length - m[0].replace(/\s/g, '').length), 0)
}

/** `5025000` → `1h 23m 45s`; at most two units, for people. */
export function formatDuration(ms: number): string {
  if (Math.round(ms) < 1_000) return `${Math.round(ms)}ms`
  const parts: string[] = []
  let rest = Math.round(ms / 1_000)
  for (const [unit, seconds] of [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const amount = Math.floor(rest / seconds)
    if (amount > 0) parts.push(`${amount}${unit}`)
    rest -= amount * seconds
  }
  return parts.slice(0, 2).join(' ')
}

/** A duration in configuration files, as milliseconds. */
export const durationSchema = z.string().refine(text => {
  const ms = parseDuration(text)
  return ms !== undefined && ms > 0 && ms <= maxDurationMs
}, 'use a duration such as `90s`, `10m` or `1h30m`, at most a year')

/** A duration in a request, in seconds. */
export const secondsSchema = z
  .number()
  .min(0.001, 'must be more than 0 seconds; a millisecond at least')
  .max(maxDurationMs / 1_000, 'must be at most a year')
