/** Requests as JSON text. Values that are known by their exact text leave with that text. */
import { RawJson } from '@baton/shared'

export function encodeJson(value: unknown): string {
  if (value instanceof RawJson) return value.text
  if (Array.isArray(value)) return `[${value.map(item => (item === undefined ? 'null' : encodeJson(item))).join(',')}]`
  if (isPlain(value)) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${encodeJson(member)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

/** Dates and other things that know their own JSON are left to `JSON.stringify`. */
function isPlain(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !('toJSON' in value)
}
