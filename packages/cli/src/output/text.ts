/** Text of others in our lines: made visible, measured and cut. */

/** Control characters and marks that turn the direction of text are shown, not obeyed. Line breaks become spaces. */
export function visible(text: string): string {
  return text.replace(/\r?\n|\r|\t/g, ' ').replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's colours begin with ESC
const colour = /\u001b\[[0-9;]*m/g
const colourOrCharacter = new RegExp(`${colour.source}|.`, 'gsu')

/** How many columns a text takes; our own colours take none. */
export function widthOf(text: string): number {
  let width = 0
  for (const c of text.replace(colour, '')) width += columnsOf(c)
  return width
}

/** Cuts to `columns`, with `…` for what is gone. Colours are kept and ended. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  if (columns <= 0) return ''
  let width = 0
  let result = ''
  let coloured = false
  for (const part of text.match(colourOrCharacter) ?? []) {
    if (part.startsWith('\u001b')) {
      result += part
      coloured = part !== '\u001b[0m'
      continue
    }
    if (width + columnsOf(part) > columns - 1) break
    result += part
    width += columnsOf(part)
  }
  return `${result}…${coloured ? '\u001b[0m' : ''}`
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - widthOf(text)))
}

// biome-ignore lint/suspicious/noMisleadingCharacterClass: single code points are tested, never sequences
const combining = /^\p{M}$|^[\u200b-\u200d\ufe0e\ufe0f]$/u

function columnsOf(c: string): number {
  const point = c.codePointAt(0) ?? 0
  if (point < 0x300) return 1
  if (combining.test(c)) return 0
  const wide =
    (point >= 0x1100 && point <= 0x115f) ||
    (point >= 0x2e80 && point <= 0xa4cf) ||
    (point >= 0xac00 && point <= 0xd7a3) ||
    (point >= 0xf900 && point <= 0xfaff) ||
    (point >= 0xfe30 && point <= 0xfe6f) ||
    (point >= 0xff00 && point <= 0xff60) ||
    (point >= 0xffe0 && point <= 0xffe6) ||
    (point >= 0x1f300 && point <= 0x1faff) ||
    (point >= 0x20000 && point <= 0x3fffd)
  return wide ? 2 : 1
}
