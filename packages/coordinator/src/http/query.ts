/**
 * Query strings: every parameter is known, stands once and is valid, or the request is refused. `metadata.KEY=VALUE` is
 * gathered under `metadata` where a path takes it.
 */
import type { FieldIssue } from '@baton/shared'
import { z } from 'zod'
import { check, invalidRequest } from './validate.js'

const metadataPrefix = 'metadata.'

/** The query of a URL as the schema reads it; throws `invalid_request` with every problem. */
export function readQuery<T>(schema: z.ZodType<T>, url: string): T {
  const takesMetadata = schema instanceof z.ZodObject && 'metadata' in schema.shape
  const values: Record<string, unknown> = Object.create(null) // keys are the caller's
  const metadata: Record<string, string> = Object.create(null)
  const issues: FieldIssue[] = []
  const seen = new Set<string>()
  for (const [name, value] of parametersOf(url)) {
    if (seen.has(name)) issues.push({ path: name, issue: 'stands twice; give it once' })
    seen.add(name)
    if (takesMetadata && name.startsWith(metadataPrefix)) metadata[name.slice(metadataPrefix.length)] = value
    else values[name] = value
  }
  if (Object.keys(metadata).length > 0) values.metadata = metadata
  const result = check(schema, values)
  if (result.ok && issues.length === 0) return result.value
  throw invalidRequest([...issues, ...(result.ok ? [] : result.issues)], 'the query is not acceptable')
}

export function parametersOf(url: string): URLSearchParams {
  const mark = url.indexOf('?')
  return new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))
}

/** Whole numbers of a range. */
export function wholeNumber(min: number, max: number, description: string) {
  return z
    .string()
    .refine(text => /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .meta({ type: 'integer', minimum: min, maximum: max, description })
}

export const flag = (description: string) =>
  z
    .enum(['true', 'false'])
    .transform(text => text === 'true')
    .meta({ type: 'boolean', description })

const isDateTime = z.union([z.iso.datetime({ offset: true }), z.iso.date()])

export const moment = (description: string) =>
  z
    .string()
    .refine(text => isDateTime.safeParse(text).success, 'must be a date or a date-time, such as 2026-12-01T12:00:00Z')
    .transform(text => new Date(text))
    .meta({ format: 'date-time', description })

/** A list with commas between its items. */
export function listOf<const T extends string>(allowed: readonly T[], description: string) {
  const known: ReadonlySet<string> = new Set(allowed)
  return z
    .string()
    .transform(text => text.split(',').map(item => item.trim()))
    .pipe(z.array(z.custom<T>(item => typeof item === 'string' && known.has(item), `must be one of ${allowed.join(', ')}`)))
    .meta({ description: `${description} One or more of ${allowed.join(', ')}, with commas between them.` })
}

/** Text of one line. */
export const line = (max: number) =>
  z
    .string()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters')
    .min(1, 'must not be empty')
    .max(max, `must be at most ${max} characters`)

/** What a list answered as `next_cursor`. */
export const cursor = z
  .string()
  .regex(/^[\w.~:=+/-]{1,512}$/, 'is not a cursor; take the next_cursor of the page before, or leave it out')
  .meta({ description: '`next_cursor` of the page before.' })
