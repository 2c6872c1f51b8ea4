/**
 * Ratios as bars, in SVG: the median with its spread over the rounds, a line for the target and a dashed one for the floor.
 * Whatever is a multiple (`×`) is drawn; other figures have no scale in common.
 */
import { type Figure, isMet, numberText, type Section, type Target, targetText } from './figures.js'
import { spreadOf } from './ratios.js'

const unit = '×'
const [nameWidth, barWidth, noteWidth, rowHeight, top] = [360, 460, 220, 30, 64]
const colors = { met: '#2f7d4f', missed: '#b3402e', plain: '#7a8794', ink: '#1c2329', paper: '#ffffff' }

export function plotOf({ title, sections }: { title: string; sections: readonly Section[] }): string {
  const ratios = sections.flatMap(({ figures }) => figures.filter(figure => figure.unit === unit && figure.target !== undefined))
  const scale = scaleOf(ratios)
  const height = top + ratios.length * rowHeight + 40
  const width = nameWidth + barWidth + noteWidth
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="${colors.ink}">`,
    `<rect width="${width}" height="${height}" fill="${colors.paper}"/>`,
    text({ x: 16, y: 26, size: 16, content: title }),
    text({
      x: 16,
      y: 46,
      content: 'bar: median of the rounds; whisker: their spread; line: target; dashed line: floor; what ends at the edge goes on',
    }),
    ...ticksUpTo(scale.max).map(value => tick(value, scale, height)),
    ...ratios.map((figure, row) => rowOf(figure, { scale, y: top + row * rowHeight })),
    '</svg>',
    '',
  ].join('\n')
}

interface Scale {
  readonly max: number
  readonly x: (value: number) => number
}

/** Targets have to fit, with room behind them. A value far beyond ends at the edge, so that the others stay legible. */
function scaleOf(ratios: readonly Figure[]): Scale {
  const bounds = ratios.flatMap(({ target, floor }) => [target, floor].flatMap(each => (each ? [boundOf(each)] : [])))
  const farthest = 1.35 * Math.max(1, ...bounds)
  const shown = [...ratios.flatMap(({ runs }) => runs), ...bounds].filter(Number.isFinite)
  const max = Math.min(farthest, 1.08 * Math.max(1, ...shown))
  return { max, x: value => nameWidth + (Math.min(max, Math.max(0, Number.isFinite(value) ? value : 0)) / max) * barWidth }
}

function rowOf(figure: Figure, { scale, y }: { scale: Scale; y: number }): string {
  const { name, value, runs, target, floor } = figure
  const color = target === undefined ? colors.plain : isMet(figure) ? colors.met : colors.missed
  const { low, high } = spreadOf(runs)
  const middle = y + rowHeight / 2
  const goal = target === undefined ? '' : `, ${targetText(target)}${isMet(figure) ? '' : ' MISSED'}`
  return [
    text({ x: nameWidth - 10, y: middle + 4, anchor: 'end', content: name }),
    `<rect x="${nameWidth}" y="${y + 6}" width="${px(scale.x(value) - nameWidth)}" height="${rowHeight - 12}" fill="${color}" fill-opacity="0.75"/>`,
    line({ x1: scale.x(low), x2: scale.x(high), y1: middle, y2: middle, color: colors.ink }),
    ...[low, high].map(end => line({ x1: scale.x(end), x2: scale.x(end), y1: middle - 4, y2: middle + 4, color: colors.ink })),
    ...mark(target, '', { scale, y }),
    ...mark(floor, ' stroke-dasharray="3 3"', { scale, y }),
    text({ x: nameWidth + barWidth + 8, y: middle + 4, content: `${numberText(value)} ${unit}${goal}` }),
  ].join('\n')
}

function mark(bound: Target | undefined, dashes: string, { scale, y }: { scale: Scale; y: number }): string[] {
  if (bound === undefined) return []
  const x = scale.x(boundOf(bound))
  return [line({ x1: x, x2: x, y1: y + 2, y2: y + rowHeight - 2, color: colors.ink, width: 2, more: dashes })]
}

const boundOf = (target: Target): number => ('below' in target ? target.below : 'atMost' in target ? target.atMost : target.atLeast)

/** Whole steps of 1, 2 or 5 times a power of ten, about six of them. */
export function ticksUpTo(max: number): number[] {
  const rough = max / 6
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find(factor => factor * power >= rough) ?? 10) * power
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step)
}

function tick(value: number, scale: Scale, height: number): string {
  const x = scale.x(value)
  return [
    line({ x1: x, x2: x, y1: top, y2: height - 36, color: colors.plain, more: ' stroke-opacity="0.25"' }),
    text({ x, y: height - 18, anchor: 'middle', content: `${Number(value.toPrecision(2))}` }),
  ].join('\n')
}

function line(l: { x1: number; x2: number; y1: number; y2: number; color: string; width?: number; more?: string }): string {
  return `<line x1="${px(l.x1)}" x2="${px(l.x2)}" y1="${px(l.y1)}" y2="${px(l.y2)}" stroke="${l.color}" stroke-width="${l.width ?? 1}"${l.more ?? ''}/>`
}

function text(t: { x: number; y: number; content: string; anchor?: 'middle' | 'end'; size?: number }): string {
  const content = t.content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<text x="${px(t.x)}" y="${px(t.y)}"${t.anchor ? ` text-anchor="${t.anchor}"` : ''}${t.size ? ` font-size="${t.size}"` : ''}>${content}</text>`
}

const px = (value: number): number => Math.round(Math.max(0, value) * 10) / 10
