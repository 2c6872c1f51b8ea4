/**
 * Views as JSON text. JSON of callers and agents stands in views as `RawJson`, and leaves with the bytes it came with
 * (I16); `JSON.stringify` would write 1.0 as 1.
 */
import { RawJson } from '@baton/shared'

/** The text of a view. Members that are undefined are left out. */
export function toJsonText(view: unknown): string {
  return write(view) ?? 'null'
}

/** Keys of views are few, and are written for every item of every list. */
const keyTexts = new Map<string, string>()
const maxKeys = 1_000

function keyText(key: string): string {
  const known = keyTexts.get(key)
  if (known !== undefined) return known
  const text = `${JSON.stringify(key)}:`
  if (keyTexts.size < maxKeys) keyTexts.set(key, text)
  return text
}

function write(value: unknown): string | undefined {
  if (value === null) return 'null'
  if (typeof value !== 'object') return JSON.stringify(value)
  if (value instanceof RawJson) return value.text
  if (value instanceof Date) return JSON.stringify(value)
  if (Array.isArray(value)) {
    let items = ''
    for (let i = 0; i < value.length; i++) items += i === 0 ? toJsonText(value[i]) : `,${toJsonText(value[i])}`
    return `[${items}]`
  }
  let members = ''
  for (const key of Object.keys(value)) {
    const text = write((value as Record<string, unknown>)[key]) // own keys of an object
    if (text !== undefined) members += members === '' ? keyText(key) + text : `,${keyText(key)}${text}`
  }
  return `{${members}}`
}
