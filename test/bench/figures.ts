/**
 * What a workload found: figures, each with all its runs, and how they were measured. Nothing here knows a result in
 * advance; a target is a bound and never a value to print.
 */
import { median } from './measure.js'
import { spreadOf } from './ratios.js'

export type Target = { readonly below: number } | { readonly atMost: number } | { readonly atLeast: number }

export interface Figure {
  readonly name: string
  readonly unit: string
  /** What is held against the target: made of the runs. */
  readonly value: number
  readonly runs: readonly number[]
  readonly target?: Target
  /** Of the same kind as the target, and easier: between the two there is something to explain, beyond it to mend. */
  readonly floor?: Target
}

export interface Section {
  readonly title: string
  /** Sentences: what was done, and what the figures mean. */
  readonly how: readonly string[]
  readonly figures: readonly Figure[]
  /** What should have been measured too and could not be, with the reason. */
  readonly notMeasured?: readonly string[]
}

/** The figure of several runs: their median. */
export function figure(name: string, unit: string, runs: readonly number[], target?: Target, floor?: Target): Figure {
  return { name, unit, runs, value: median(runs), ...(target && { target }), ...(floor && { floor }) }
}

/** The figure of several runs where the worst counts, such as a peak. */
export function peak(name: string, unit: string, runs: readonly number[], target?: Target): Figure {
  return { name, unit, runs, value: Math.max(...runs), ...(target && { target }) }
}

/** A value that is not a number meets no target. */
export function isMet({ value, target }: Figure): boolean {
  return target === undefined || meets(value, target)
}

function meets(value: number, target: Target): boolean {
  if ('below' in target) return value < target.below
  return 'atMost' in target ? value <= target.atMost : value >= target.atLeast
}

export function targetText(target: Target): string {
  if ('below' in target) return `< ${numberText(target.below)}`
  return 'atMost' in target ? `<= ${numberText(target.atMost)}` : `>= ${numberText(target.atLeast)}`
}

/** What is to be said of the floor of a target that is missed. */
export function floorText({ value, floor }: Figure): string {
  if (floor === undefined) return ''
  return `, the floor ${targetText(floor)} ${meets(value, floor) ? 'holds' : 'MISSED too'}`
}

export function verdictOf(figure: Figure): string {
  const { target } = figure
  if (target === undefined) return ''
  return `${targetText(target)} ${isMet(figure) ? 'met' : `MISSED${floorText(figure)}`}`
}

/** The lines of a section: title, how, table. */
export function sectionLines({ title, how, figures }: Section): string[] {
  const rows = figures.map(figure => {
    const { name, value, unit, runs } = figure
    const { low, high } = spreadOf(runs)
    const spread = runs.length > 1 ? `${numberText(low)}–${numberText(high)}` : ''
    return [name, numberText(value), unit, spread, everyRun(runs), verdictOf(figure)]
  })
  const table = [['figure', 'value', 'unit', 'spread', 'every run', 'target'], ...rows]
  const widths = [0, 1, 2, 3, 4].map(column => Math.max(...table.map(row => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [title, ...how.map(sentence => `  ${sentence}`), '', ...table.map(row => `  ${line(row)}`), '']
}

const shownRuns = 15

function everyRun(runs: readonly number[]): string {
  const shown = runs.slice(0, shownRuns).map(numberText).join(' ')
  return runs.length > shownRuns ? `${shown} … (${runs.length})` : shown
}

/** Three significant digits, and no fewer than the whole part has. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3
  return value.toFixed(digits)
}
