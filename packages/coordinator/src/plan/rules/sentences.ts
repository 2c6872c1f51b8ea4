/** Splits a passage into sentences, and a sentence into words. Both in one pass over the text. */
import { cut, type Prose } from './prose.js'

export interface Word {
  readonly word: string
  readonly from: number
  readonly to: number
}

const abbreviations = new Set([
  'e.g',
  'i.e',
  'etc',
  'vs',
  'approx',
  'incl',
  'no',
  'resp',
  'cf',
  'mr',
  'mrs',
  'ms',
  'dr',
  'jan',
  'feb',
  'mar',
  'apr',
  'jun',
  'jul',
  'aug',
  'sep',
  'sept',
  'oct',
  'nov',
  'dec',
])

/** Sentences end at `.`, `!`, `?` and `;` before a space; a period after an abbreviation or inside a name is none. */
export function sentencesOf(prose: Prose): Prose[] {
  const { plain } = prose
  const sentences: Prose[] = []
  let from = 0
  for (let at = 0; at < plain.length; at++) {
    const mark = plain[at]
    if (mark !== '.' && mark !== '!' && mark !== '?' && mark !== ';') continue
    const next = plain[at + 1]
    if (next !== undefined && next !== ' ' && next !== ')') continue
    if (mark === '.' && next !== undefined && abbreviations.has(wordBefore(plain, at))) continue
    push(from, at)
    from = at + 1
  }
  push(from, plain.length)
  return sentences

  function push(begin: number, end: number): void {
    const sentence = cut(prose, begin, end)
    if (sentence.plain.length > 1) sentences.push(sentence)
  }
}

function wordBefore(plain: string, end: number): string {
  let begin = end
  while (begin > 0 && end - begin < 8 && /[a-z.]/.test(plain[begin - 1] ?? '')) begin--
  return plain.slice(begin, end)
}

/** Words and the marks that may part clauses: comma, colon, brackets, dashes. */
export function wordsOf(plain: string): Word[] {
  const words: Word[] = []
  for (const match of plain.matchAll(/[,:()[\]—–]|[^\s,:()[\]—–]+/g)) {
    let word = match[0]
    while (word.length > 1 && (word.endsWith('.') || word.endsWith("'") || word.endsWith('*'))) word = word.slice(0, -1)
    words.push({ word, from: match.index, to: match.index + word.length })
  }
  return words
}
