/**
 * Views as JSON text. JSON of callers and agents stands in views as `RawJson`, and leaves with the bytes it came with
 * (I16); `JSON.stringify` would write 1.0 as 1.
 */
import { RawJson } from '@baton/shared'

/** The text of a view. Members that are undefined are left out. */
export function toJsonText(view: unknown): string {
  return write(view) ?? 'null'
}

function write(value: unknown): string | undefined {
  if (value instanceof RawJson) return value.text
  if (value === null || typeof value !== 'object' || value instanceof Date) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(toJsonText).join(',')}]`
  let members = ''
  for (const [key, member] of Object.entries(value)) {
    const text = write(member)
    if (text !== undefined) members += `${members && ','}${JSON.stringify(key)}:${text}`
  }
  return `{${members}}`
}
