/**
 * Values as SQL literals, for `execute name(…)`: PGlite keeps no prepared statements over its own protocol, and planning
 * one of ours takes longer than running it. Postgres types a literal by the parameter that it stands for.
 */

/** One literal. Assumes `standard_conforming_strings`, the default of every Postgres that Baton runs on. */
export function sqlLiteral(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) return `'${value}'`
      return value < 0 ? `(${value})` : String(value)
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'string':
      return quote(value)
    default:
      break
  }
  if (value instanceof Date) return quote(value.toISOString())
  if (value instanceof Uint8Array) return `'\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}'`
  if (Array.isArray(value)) return quote(arrayText(value))
  throw new TypeError(`a ${typeof value} cannot be a parameter; pass JSON as text`)
}

function quote(text: string): string {
  if (text.includes('\u0000')) throw new TypeError('a text with a NUL character cannot be a parameter')
  return `'${text.replaceAll("'", "''")}'`
}

function arrayText(values: readonly unknown[]): string {
  const items = values.map(value => {
    if (value === null || value === undefined) return 'null'
    if (Array.isArray(value)) return arrayText(value)
    return `"${String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
  })
  return `{${items.join(',')}}`
}
