/** Blanks what is not code, so that a scanner for braces need not know about strings and comments. Lines stay where they are. */

export interface Lexis {
  /** What begins and ends a string: `'` is one in JavaScript, and begins a character or a lifetime elsewhere. */
  readonly singleQuotes: boolean
  /** Backticks: none, Go's raw strings, or JavaScript's templates with `${…}`. */
  readonly backticks: 'none' | 'raw' | 'template'
  /** Whether `/…/` may be a regular expression. */
  readonly regexes: boolean
}

/** A bound, because a line may be the whole file. */
const maxRegexLength = 500

/**
 * The text with comments, strings and regular expressions replaced by spaces. Light: it is not a parser, and what it
 * misreads (a regular expression after `)`, say) costs a finding, not a failure.
 */
export function blankOut(text: string, lexis: Lexis): string {
  const pieces: string[] = []
  /** Depths of braces within `${…}`, one for each template that is open. */
  const templates: number[] = []
  let kept = 0
  let at = 0
  const blankTo = (end: number, from = at) => {
    pieces.push(text.slice(kept, from), text.slice(from, end).replace(/[^\n]/g, ' '))
    kept = at = end
  }

  while (at < text.length) {
    const c = text[at]
    if (c === '/' && text[at + 1] === '/') blankTo(endOf(text, '\n', at))
    else if (c === '/' && text[at + 1] === '*') blankTo(endOf(text, '*/', at + 2, true))
    else if (c === '"' || (c === "'" && lexis.singleQuotes)) blankTo(endOfString(text, at, c))
    else if (c === "'") {
      const character = /'(?:\\.[^'\n]{0,8}|[^\\'\n]{1,2})'/y
      character.lastIndex = at
      if (character.test(text)) blankTo(character.lastIndex)
      else at++
    } else if (c === '`' && lexis.backticks === 'raw') blankTo(endOf(text, '`', at + 1, true))
    else if (c === '`' && lexis.backticks === 'template') {
      const { end, opens } = endOfTemplatePart(text, at + 1)
      blankTo(end)
      if (opens) templates.push(0)
    } else if (templates.length > 0 && c === '{') {
      templates.push((templates.pop() ?? 0) + 1)
      at++
    } else if (templates.length > 0 && c === '}') {
      const depth = templates.pop() ?? 0
      if (depth > 0) {
        templates.push(depth - 1)
        at++
      } else {
        const { end, opens } = endOfTemplatePart(text, at + 1)
        blankTo(end)
        if (opens) templates.push(0)
      }
    } else if (c === '/' && lexis.regexes && beginsRegex(text, at)) blankTo(endOfRegex(text, at))
    else at++
  }
  blankTo(text.length, text.length)
  return pieces.join('')
}

/** Where `mark` stands (or ends), or the text's end. */
function endOf(text: string, mark: string, from: number, past = false): number {
  const found = text.indexOf(mark, from)
  return found < 0 ? text.length : found + (past ? mark.length : 0)
}

/** Past the closing quote; a string that does not end is taken to end with its line. */
function endOfString(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at++) {
    const c = text[at]
    if (c === '\\') at++
    else if (c === quote) return at + 1
    else if (c === '\n') return at
  }
  return text.length
}

/** Past the closing backtick, or past the `${` that opens an expression. */
function endOfTemplatePart(text: string, start: number): { end: number; opens: boolean } {
  for (let at = start; at < text.length; at++) {
    const c = text[at]
    if (c === '\\') at++
    else if (c === '`') return { end: at + 1, opens: false }
    else if (c === '$' && text[at + 1] === '{') return { end: at + 2, opens: true }
  }
  return { end: text.length, opens: false }
}

/** A slash is a division after a value, else it begins a regular expression. */
function beginsRegex(text: string, slash: number): boolean {
  const before = text.slice(Math.max(0, slash - 20), slash).trimEnd()
  return /(?:^|[([{},;:=!&|?+*%~^<>-]|\b(?:return|typeof|case|of|in|await|yield))$/.test(before)
}

function endOfRegex(text: string, start: number): number {
  let inClass = false
  const limit = Math.min(text.length, start + maxRegexLength)
  for (let at = start + 1; at < limit; at++) {
    const c = text[at]
    if (c === '\\') at++
    else if (c === '\n')
      return start + 1 // it was a division
    else if (c === '[') inClass = true
    else if (c === ']') inClass = false
    else if (c === '/' && !inClass) return at + 1
  }
  return start + 1
}
