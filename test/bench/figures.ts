/**
 * What a workload found: figures, each with all its runs, and how they were measured. Nothing here knows a result in
 * advance; a target is a bound and never a value to print.
 */
import { median } from './measure.js'

export type Target = { readonly below: number } | { readonly atMost: number } | { readonly atLeast: number }

export interface Figure {
  readonly name: string
  readonly unit: string
  /** What is held against the target: made of the runs. */
  readonly value: number
  readonly runs: readonly number[]
  readonly target?: Target
}

export interface Section {
  readonly title: string
  /** Sentences: what was done, and what the figures mean. */
  readonly how: readonly string[]
  readonly figures: readonly Figure[]
}

/** The figure of several runs: their median. */
export function figure(name: string, unit: string, runs: readonly number[], target?: Target): Figure {
  return { name, unit, runs, value: median(runs), ...(target && { target }) }
}

/** The figure of several runs where the worst counts, such as a peak. */
export function peak(name: string, unit: string, runs: readonly number[], target?: Target): Figure {
  return { name, unit, runs, value: Math.max(...runs), ...(target && { target }) }
}

/** A value that is not a number meets no target. */
export function isMet({ value, target }: Figure): boolean {
  if (target === undefined) return true
  if ('below' in target) return value < target.below
  return 'atMost' in target ? value <= target.atMost : value >= target.atLeast
}

export function targetText(target: Target): string {
  if ('below' in target) return `< ${numberText(target.below)}`
  return 'atMost' in target ? `<= ${numberText(target.atMost)}` : `>= ${numberText(target.atLeast)}`
}

/** The lines of a section: title, how, table. */
export function sectionLines({ title, how, figures }: Section): string[] {
  const rows = figures.map(figure => {
    const { name, value, unit, runs, target } = figure
    const verdict = target === undefined ? '' : `${targetText(target)} ${isMet(figure) ? 'met' : 'MISSED'}`
    return [name, numberText(value), unit, runs.map(numberText).join(' '), verdict]
  })
  const table = [['figure', 'value', 'unit', 'every run', 'target'], ...rows]
  const widths = [0, 1, 2, 3].map(column => Math.max(...table.map(row => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [title, ...how.map(sentence => `  ${sentence}`), '', ...table.map(row => `  ${line(row)}`), '']
}

/** Three significant digits, and no fewer than the whole part has. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3
  return value.toFixed(digits)
}
