/** Rows under a heading, columns as wide as they need; the last one gives way to the terminal's edge. */
import { cut, padEnd, widthOf } from './text.js'

export function tableLines(heading: readonly string[], rows: readonly (readonly string[])[], columns = Number.POSITIVE_INFINITY): string[] {
  const all = [heading.map(title => title.toUpperCase()), ...rows]
  const widths = heading.map((_, i) => Math.max(...all.map(row => widthOf(row[i] ?? ''))))
  const last = heading.length - 1
  return all.map(row =>
    cut(
      row
        .map((cell, i) => (i === last ? cell : padEnd(cell, widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
      columns,
    ),
  )
}
