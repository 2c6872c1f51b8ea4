/**
 * Whether a plan is mutually exclusive and collectively exhaustive: every acceptance criterion is served, and no two
 * subtasks of one capability do the same. What is not so is a finding for people; it does not refuse the plan.
 */
import type { PlannedSubtask } from '@baton/shared'

export interface Criterion {
  readonly id: string
  readonly text: string
}

interface Purpose {
  readonly name: string
  readonly capability: string
  readonly purpose: string
  /** Ids of criteria. */
  readonly serves: readonly string[]
}

/** Two purposes that share this much of their words are one. */
const sameAbove = 0.8

export function findingsOf(subtasks: readonly Purpose[], criteria: readonly Criterion[]): string[] {
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

/** Pairs are compared: of a plan that is larger, its beginning. */
const comparedAtMost = 300

/** Of a plan that was not drafted: a criterion is served by whoever is given it, in whatever part of the input it stands. */
export function findingsOfPlan(subtasks: readonly PlannedSubtask[], acceptanceCriteria: readonly string[]): string[] {
  const criteria = acceptanceCriteria.map((text, n) => ({ id: String(n), text, words: phraseOf(text) }))
  const given = subtasks.map(({ input }) => phraseOf(input === null ? '' : textOf(JSON.parse(input))))
  return findingsOf(
    subtasks.slice(0, comparedAtMost).map(({ name, title, capability }, n) => ({
      name,
      capability,
      purpose: title ?? name,
      serves: n > 0 ? [] : criteria.flatMap(({ id, words }) => (given.some(all => all.includes(words)) ? [id] : [])),
    })),
    criteria,
  )
}

/** Lower-case words with one space around each, so that `includes` finds whole words. */
function phraseOf(text: string): string {
  return ` ${(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(' ')} `
}

/** All texts of a JSON value. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value !== null && typeof value === 'object' ? Object.values(value).map(textOf).join(' ') : ''
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
