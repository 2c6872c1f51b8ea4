/**
 * Words that are said, as against words that are shown. Owns what of a text the rules may read: quoted text, inline code,
 * addresses and file paths are blanked with `_`, and letters become lower case. Both forms have the same length, so that
 * a place found in one can be cut from the other.
 */

export interface Prose {
  /** As it was written, with single spaces. */
  readonly text: string
  /** What the rules read. */
  readonly plain: string
}

const spaces = /\s+/g
const addresses = /\b(?:https?:\/\/|www\.|git@|mailto:|s3:\/\/)\S+|[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}/gi
/** The longest quotation that is looked for; a lone quote mark far from the next one is no pair. */
const longestQuote = 400
const closing: Record<string, string> = { '"': '"', '“': '”', '„': '“', '«': '»', '`': '`', "'": "'", '‘': '’' }

export function proseOf(written: string): Prose {
  const text = written.replace(spaces, ' ').trim()
  const lower = text.replace(/’/g, "'").replace(/[A-Z]+/g, letters => letters.toLowerCase())
  return { text, plain: blankQuotes(lower.replace(addresses, blank), text) }
}

/** A part of a passage, without space at its ends. */
export function cut(prose: Prose, from: number, to: number): Prose {
  let [begin, end] = [from, to]
  while (begin < end && prose.plain[begin] === ' ') begin++
  while (end > begin && prose.plain[end - 1] === ' ') end--
  return { text: prose.text.slice(begin, end), plain: prose.plain.slice(begin, end) }
}

function blankQuotes(plain: string, text: string): string {
  const parts: string[] = []
  let copied = 0
  for (let at = 0; at < plain.length; at++) {
    const close = closing[text[at] ?? '']
    if (!close) continue
    const isApostrophe = text[at] === "'" || text[at] === '‘'
    if (isApostrophe && /[a-z0-9_]/.test(plain[at - 1] ?? ' ')) continue
    const end = findClose(text, close, at + 1, isApostrophe)
    if (end === -1) continue
    parts.push(plain.slice(copied, at), blank(plain.slice(at, end + 1)))
    copied = end + 1
    at = end
  }
  return copied === 0 ? plain : parts.join('') + plain.slice(copied)
}

function findClose(text: string, close: string, from: number, isApostrophe: boolean): number {
  const last = Math.min(text.length, from + longestQuote)
  for (let at = from; at < last; at++) if (text[at] === close && !(isApostrophe && /\w/.test(text[at + 1] ?? ' '))) return at
  return -1
}

const blank = (shown: string): string => '_'.repeat(shown.length)
