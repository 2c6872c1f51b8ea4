/** Draws which agent ran what when: a lane for each agent on each worker, a bar for each attempt. Plain SVG, no script. */
import { compareText } from './finding.js'

export interface TimelineRow {
  /** `agent @ worker`; the part before ` @ ` decides on the colour. */
  readonly lane: string
  readonly label: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly finishedAt: number
  /** `completed` is drawn plain, `failed` in red, any other state pale. */
  readonly state: string
}

export interface TimelineOptions {
  /** Default: `Which agent ran what when`. */
  readonly title?: string
  /** In pixels; default 1200. */
  readonly width?: number
}

const palette = ['#4477aa', '#228833', '#a87900', '#aa3377', '#3d93b8', '#c8622c', '#777777', '#8866bb']
const failedColour = '#c62828'
const headHeight = 76
const footHeight = 34
const laneGap = 10
const minBarWidth = 1.5
const characterWidth = 6.2
const nameCharacterWidth = 7.3
const maxNameLength = 40
/** Bars are lower the more there are, so that the picture stays one. */
const heightForBars = 1_400
const maxTicks = 10

/** The picture, as the text of an SVG file. */
export function timelineSvg(rows: readonly TimelineRow[], options: TimelineOptions = {}): string {
  const width = Math.max(480, options.width ?? 1200)
  const drawn = rows.filter(row => Number.isFinite(row.startedAt) && Number.isFinite(row.finishedAt))
  const begin = drawn.reduce((least, row) => Math.min(least, row.startedAt), Number.POSITIVE_INFINITY)
  const end = drawn.reduce((most, row) => Math.max(most, row.finishedAt, row.startedAt), Number.NEGATIVE_INFINITY)
  const spanMs = drawn.length === 0 ? 1_000 : Math.max(1, end - begin)
  const lanes = layOut(drawn)
  const tracks = lanes.reduce((sum, lane) => sum + lane.tracks.length, 0)
  const trackHeight = Math.min(22, Math.max(4, Math.floor(heightForBars / Math.max(1, tracks))))

  const nameLength = Math.min(
    maxNameLength,
    lanes.reduce((most, lane) => Math.max(most, lane.name.length), 10),
  )
  const left = 24 + nameLength * nameCharacterWidth + 16
  const right = width - 24
  const xOf = (at: number) => left + ((at - begin) / spanMs) * (right - left)
  const colours = new Map(
    [...new Set(lanes.map(lane => agentOf(lane.name)))].map((agent, n) => [agent, palette[n % palette.length] ?? '#777777']),
  )

  const stripes: string[] = []
  const bars: string[] = []
  let y = headHeight
  lanes.forEach((lane, n) => {
    const height = Math.max(22, lane.tracks.length * trackHeight) + laneGap
    stripes.push(`<rect x="0" y="${y}" width="${width}" height="${height}" fill="${n % 2 === 0 ? '#f5f7f9' : '#ffffff'}"/>`)
    stripes.push(laneLabel({ lane, middle: y + height / 2, nameLength }))
    const top = y + (height - lane.tracks.length * trackHeight) / 2
    lane.tracks.forEach((track, t) => {
      for (const row of track)
        bars.push(
          bar({
            row,
            xOf,
            y: top + t * trackHeight,
            height: trackHeight,
            colour: colours.get(agentOf(lane.name)) ?? '#777777',
            beginMs: begin,
          }),
        )
    })
    y += height
  })
  if (lanes.length === 0) {
    stripes.push(`<text x="${width / 2}" y="${y + 30}" text-anchor="middle" fill="#5b6770">nothing ran</text>`)
    y += 50
  }

  const title = options.title ?? 'Which agent ran what when'
  const failed = drawn.filter(row => row.state === 'failed').length
  const summary = `${drawn.length} ${drawn.length === 1 ? 'attempt' : 'attempts'}${failed > 0 ? ` (${failed} failed)` : ''}, ${lanes.length} ${lanes.length === 1 ? 'lane' : 'lanes'}, ${formatMs(drawn.length === 0 ? 0 : spanMs)}`
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + footHeight}" viewBox="0 0 ${width} ${y + footHeight}" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${y + footHeight}" fill="#ffffff"/>`,
    `<text x="24" y="34" font-size="18" font-weight="600" fill="#1f2933">${escapeXml(title)}</text>`,
    `<text x="24" y="54" fill="#5b6770">${escapeXml(summary)}</text>`,
    ...stripes,
    ...(drawn.length === 0 ? [] : axis({ spanMs, xOf: ms => xOf(begin + ms), top: headHeight, bottom: y })),
    ...bars,
    '</svg>',
  ].join('\n')}\n`
}

interface Lane {
  readonly name: string
  readonly bars: number
  /** Attempts that ran side by side stand on tracks of their own. */
  readonly tracks: readonly (readonly TimelineRow[])[]
}

/** Agents by their first start, their workers by name; within a lane each row takes the first track that is free by then. */
function layOut(rows: readonly TimelineRow[]): Lane[] {
  const byLane = new Map<string, TimelineRow[]>()
  for (const row of [...rows].sort((a, b) => a.startedAt - b.startedAt || a.finishedAt - b.finishedAt)) {
    const lane = byLane.get(row.lane)
    if (lane) lane.push(row)
    else byLane.set(row.lane, [row])
  }
  const agents = [...new Set([...byLane.keys()].map(agentOf))]
  const names = [...byLane.keys()].sort((a, b) => agents.indexOf(agentOf(a)) - agents.indexOf(agentOf(b)) || compareText(a, b))
  return names.map(name => {
    const laneRows = byLane.get(name) ?? []
    const tracks: TimelineRow[][] = []
    const freeAt: number[] = []
    for (const row of laneRows) {
      const free = freeAt.findIndex(at => at <= row.startedAt)
      const track = free < 0 ? tracks.length : free
      if (free < 0) tracks.push([row])
      else tracks[track]?.push(row)
      freeAt[track] = Math.max(row.finishedAt, row.startedAt)
    }
    return { name, bars: laneRows.length, tracks }
  })
}

function laneLabel({ lane, middle, nameLength }: { lane: Lane; middle: number; nameLength: number }): string {
  const agent = agentOf(lane.name)
  const shownAgent = cut(agent, nameLength)
  const shownWorker = cut(lane.name.slice(agent.length), nameLength - shownAgent.length)
  return `<g><title>${escapeXml(`${lane.name}: ${lane.bars} ${lane.bars === 1 ? 'attempt' : 'attempts'}`)}</title><text x="24" y="${round(middle + 4)}" fill="#1f2933"><tspan font-weight="600">${escapeXml(shownAgent)}</tspan><tspan fill="#5b6770">${escapeXml(shownWorker)}</tspan></text></g>`
}

interface BarOptions {
  readonly row: TimelineRow
  readonly xOf: (at: number) => number
  readonly y: number
  readonly height: number
  readonly colour: string
  readonly beginMs: number
}

function bar({ row, xOf, y, height, colour, beginMs }: BarOptions): string {
  const x = xOf(row.startedAt)
  const width = Math.max(minBarWidth, xOf(Math.max(row.finishedAt, row.startedAt)) - x)
  const gap = height > 8 ? 3 : 1
  const fill = row.state === 'failed' ? failedColour : colour
  const pale = row.state !== 'failed' && row.state !== 'completed'
  const hover = `${row.label}\n${row.lane}\n${row.state}, ${formatMs(row.finishedAt - row.startedAt)}, from ${formatMs(row.startedAt - beginMs)}`
  const room = Math.floor((width - 10) / characterWidth)
  const label =
    height >= 16 && room >= 3
      ? `<text x="${round(x + 5)}" y="${round(y + height / 2 + 4)}" font-size="11" fill="#ffffff">${escapeXml(cut(row.label, room))}</text>`
      : ''
  return `<g><title>${escapeXml(hover)}</title><rect x="${round(x)}" y="${round(y + gap / 2)}" width="${round(width)}" height="${height - gap}" rx="${height > 8 && width > 6 ? 3 : 0}" fill="${fill}"${pale ? ' fill-opacity="0.55"' : ''}/>${label}</g>`
}

function axis({ spanMs, xOf, top, bottom }: { spanMs: number; xOf: (ms: number) => number; top: number; bottom: number }): string[] {
  const step = tickStep(spanMs)
  const lines = [`<line x1="${round(xOf(0))}" x2="${round(xOf(spanMs))}" y1="${bottom}" y2="${bottom}" stroke="#9aa5b1"/>`]
  for (let ms = 0; ms <= spanMs; ms += step) {
    const x = round(xOf(ms))
    lines.push(
      `<line x1="${x}" x2="${x}" y1="${top}" y2="${bottom + 5}" stroke="#1f2933" stroke-opacity="0.12"/>`,
      `<text x="${x}" y="${bottom + 20}" text-anchor="middle" fill="#5b6770">${formatMs(ms)}</text>`,
    )
  }
  return lines
}

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const steps = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  second,
  2 * second,
  5 * second,
  10 * second,
  15 * second,
  30 * second,
  minute,
  2 * minute,
  5 * minute,
  10 * minute,
  15 * minute,
  30 * minute,
  hour,
  2 * hour,
  4 * hour,
  6 * hour,
  12 * hour,
]

/** The finest round step that makes at most ten ticks; whole days beyond the list. */
function tickStep(spanMs: number): number {
  const day = 24 * hour
  return steps.find(step => spanMs / step <= maxTicks) ?? Math.ceil(spanMs / maxTicks / day) * day
}

/** `340 ms`, `2.5 s`, `1 min 30 s`, `2 h 5 min`. */
function formatMs(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole < second) return whole === 0 ? '0' : `${whole} ms`
  if (whole < minute) return `${Number((whole / second).toFixed(2))} s`
  const [unit, name, part, partName] = whole < hour ? [minute, 'min', second, 's'] : [hour, 'h', minute, 'min']
  const rest = Math.floor((whole % unit) / part)
  return `${Math.floor(whole / unit)} ${name}${rest > 0 ? ` ${rest} ${partName}` : ''}`
}

function agentOf(lane: string): string {
  return lane.split(' @ ', 1)[0] ?? lane
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : max < 2 ? '' : `${text.slice(0, max - 1)}…`
}

function round(n: number): number {
  return Math.round(n * 100) / 100
}

/** For text and attributes; what XML cannot hold at all becomes `�`. */
function escapeXml(text: string): string {
  return (
    text
      .toWellFormed()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
      .replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`)
  )
}
