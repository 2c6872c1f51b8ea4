/**
 * The shape of a description: paragraphs, list items and the headings above them. Owns which lines are prose at all
 * (code fences, logs, stack traces, quoted mail and diffs are not) and which section a passage stands in, because an item
 * below "Acceptance criteria" or "Steps to reproduce" is no work.
 */
import { type Prose, proseOf } from './prose.js'
import { type Section, sectionOf } from './sections.js'

export interface Passage extends Prose {
  readonly section: Section
  readonly item: Item | null
  /** The paragraph that announces the list, where this is an item. */
  readonly leadIn: Prose | null
}

export interface Item {
  /** Which list of the description. */
  readonly list: number
  readonly numbered: boolean
  readonly depth: number
  /** A checkbox that is ticked. */
  readonly done: boolean
}

const fence = /^\s{0,3}(?:```|~~~)/
const itemLine = /^( {0,20}|\t{0,5})(?:([-*•·–+])|(?:step )?(\d{1,5})[.):]|\((\d{1,3})\)|([a-h])\))[ \t]+(?:\[([ xX])\][ \t]*)?(\S.*)$/i
const shownLine =
  /^\s{0,12}(?:>|\$ |# ?\$ |>>> |@@ |\+{3} |-{3} \S|diff --git|at \S+ ?\(|at \S+:\d|traceback\b|file "|caused by:|npm err!|\[?\d{4}-\d\d-\d\d[t ]\d\d:\d\d|\[?\d\d:\d\d:\d\d|[a-z]{3} \d\d? \d\d:\d\d:\d\d|\[?(?:ERROR|WARN|WARNING|INFO|DEBUG|FATAL|TRACE)\b[\]: ]|[\w.]{0,80}(?:Error|Exception): |\|)/i
const upperLevel = /^\s{0,12}\[?(?:ERROR|WARN|WARNING|INFO|DEBUG|FATAL|TRACE)\b/
const anyLevel = /^\s{0,12}\[?(?:error|warn|warning|info|debug|fatal|trace)\b/i
const markdownHeading = /^#{1,6}[ \t]+(\S.*)$/
const boldHeading = /^\*\*([^*]{1,80})\*\*:?$/

/** The passages of a text, in order; what is not prose is left out. */
export function passagesOf(description: string): Passage[] {
  const writer = new PassageWriter()
  let insideFence = false
  let afterBlank = true
  for (const line of description.split(/\r?\n|\r/)) {
    if (fence.test(line)) {
      insideFence = !insideFence
      continue
    }
    if (insideFence) continue
    const trimmed = line.trim()
    if (trimmed === '') {
      writer.blank()
      afterBlank = true
      continue
    }
    const heading = markdownHeading.exec(trimmed) ?? boldHeading.exec(trimmed)
    const item = itemLine.exec(line)
    if (heading?.[1]) writer.heading(heading[1], trimmed.startsWith('#'))
    else if (item) writer.startItem(item)
    else if (isShown(line, afterBlank && !writer.insideList)) writer.blank()
    else writer.line(trimmed.replaceAll('**', '').replaceAll('__', ''), /^\s/.test(line))
    afterBlank = false
  }
  return writer.finish()
}

function isShown(line: string, mayBeCode: boolean): boolean {
  if (mayBeCode && /^(?: {4}|\t)/.test(line)) return true
  return shownLine.test(line) && (upperLevel.test(line) || !anyLevel.test(line))
}

/** Collects lines into passages; keeps the section and the list that the next line belongs to. */
class PassageWriter {
  private readonly passages: Passage[] = []
  private lines: string[] = []
  private item: Item | null = null
  private section: Section = 'work'
  /** Whether a heading of its own line (`## …`) set the section; one with a colon ends with its paragraph or list. */
  private isLasting = false
  /** Whether a passage stands in the section yet. */
  private isFilled = false
  /** Whether the lines are a form: `Type: feature`, `Due: Friday`. */
  private isLabelled = false
  private leadIn: Prose | null = null
  private lists = 0
  insideList = false
  private sawBlank = true

  blank(): void {
    if (!this.item) this.flush()
    this.sawBlank = true
  }

  heading(words: string, isLasting: boolean): void {
    this.flush()
    this.insideList = false
    this.section = sectionOf(words) ?? 'work'
    this.isLasting = isLasting
    this.isFilled = false
    this.leadIn = null
  }

  /** A line that begins an item, as `itemLine` takes it apart. */
  startItem(match: RegExpExecArray): void {
    const [, indent = '', bullet, , , , tick, words = ''] = match
    this.flush()
    if (!this.insideList) this.lists++
    this.insideList = true
    const depth = indent.includes('\t') ? indent.length : Math.floor(indent.length / 2)
    this.item = { list: this.lists, numbered: bullet === undefined, depth, done: tick !== undefined && tick !== ' ' }
    this.lines = [words]
    this.sawBlank = false
  }

  line(words: string, isIndented: boolean): void {
    if (this.item && (!this.sawBlank || isIndented)) {
      this.lines.push(words)
      return
    }
    const label = /^([A-Za-z][A-Za-z /'-]{1,40}):(?:\s+(\S.*))?$/.exec(words)
    const section = label?.[1] === undefined ? undefined : sectionOf(label[1])
    if (section || (label?.[2] && this.isLabelled && !this.sawBlank)) {
      this.heading(label?.[1] ?? '', false)
      this.isLabelled = true
      if (label?.[2]) this.lines.push(section ? label[2] : words)
      this.sawBlank = false
      return
    }
    if (this.item || this.sawBlank) {
      this.flush()
      this.insideList = false
      this.leadIn = null
      if (!this.isLasting && this.isFilled) this.section = 'work'
      this.isLabelled = false
    }
    this.lines.push(words)
    this.sawBlank = false
  }

  finish(): Passage[] {
    this.flush()
    return this.passages
  }

  private flush(): void {
    if (this.lines.length > 0) {
      this.isFilled = true
      const prose = proseOf(this.lines.join(' '))
      if (this.item) this.passages.push({ ...prose, section: this.section, item: this.item, leadIn: this.leadIn })
      else {
        for (const passage of inlineList(prose, this.section, () => ++this.lists)) this.passages.push(passage)
        this.leadIn = prose.plain.endsWith(':') ? prose : null
      }
    }
    this.lines = []
    this.item = null
  }
}

/** "1) add … 2) deploy …" or "build -> review -> deploy" on one line is a list as well. */
function inlineList(prose: Prose, section: Section, nextList: () => number): Passage[] {
  const whole = { ...prose, section, item: null, leadIn: null }
  const item: Item = { list: nextList(), numbered: true, depth: 0, done: false }
  const links = prose.text.split(/ (?:-+>|=>|→|⇒|>>) /)
  if (links.length > 2) return links.map(words => ({ ...proseOf(words), section, item, leadIn: null }))
  const marks = [...prose.plain.matchAll(/(?:^| )\(?(\d{1,2})[.)] /g)]
  const isCounted = marks.length >= 2 && marks.every((mark, n) => Number(mark[1]) === n + 1)
  if (!isCounted) return [whole]
  const before = proseOf(prose.text.slice(0, marks[0]?.index ?? 0))
  const items = marks.map((mark, n) => {
    const words = prose.text.slice(mark.index + mark[0].length, marks[n + 1]?.index ?? prose.text.length).replace(/[,;]\s?$/, '')
    return { ...proseOf(words), section, item, leadIn: before.text ? before : null }
  })
  return before.text ? [{ ...whole, ...before }, ...items] : items
}
