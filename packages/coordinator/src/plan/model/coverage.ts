/**
 * Whether a draft is mutually exclusive and collectively exhaustive: every acceptance criterion is served, and no two
 * subtasks of one capability do the same. What is not so is a finding for people; it does not refuse the plan.
 */
import type { DraftSubtask } from './draft.js'

export interface Criterion {
  readonly id: string
  readonly text: string
}

/** Two purposes that share this much of their words are one. */
const sameAbove = 0.8

export function findingsOf(subtasks: readonly DraftSubtask[], criteria: readonly Criterion[]): string[] {
  const served = new Set(subtasks.flatMap(({ serves }) => serves))
  const uncovered = criteria.filter(({ id }) => !served.has(id)).map(({ text }) => `no subtask serves the acceptance criterion "${text}"`)
  const duplicates: string[] = []
  const words = subtasks.map(({ purpose }) => wordsOf(purpose))
  for (const [n, one] of subtasks.entries())
    for (const [m, other] of subtasks.entries())
      if (m > n && one.capability === other.capability && share(words[n], words[m]) >= sameAbove)
        duplicates.push(`subtasks ${one.name} and ${other.name} look like the same work for ${one.capability}`)
  return [...uncovered, ...duplicates]
}

function wordsOf(text: string): ReadonlySet<string> {
  return new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])
}

/** Of all words of both, the part that stands in both. */
function share(a: ReadonlySet<string> = new Set(), b: ReadonlySet<string> = new Set()): number {
  let common = 0
  for (const word of a) if (b.has(word)) common++
  return a.size + b.size === 0 ? 1 : (2 * common) / (a.size + b.size)
}
