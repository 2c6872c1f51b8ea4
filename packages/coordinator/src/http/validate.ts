/**
 * From zod's issues to the `fields` of a problem: every issue at once, each with its path (`subtasks[3].capability`)
 * and a message that names the remedy.
 */
import { BatonError, type FieldIssue, RawJson, urlIssue } from '@baton/shared'
import { z } from 'zod'

/** More than these are counted, not listed. */
export const maxListedIssues = 1_000
const maxListedKeys = 20

/** The value as the schema reads it, or a thrown `invalid_request` with every problem. */
export function validate<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = check(schema, value)
  if (result.ok) return result.value
  throw invalidRequest(result.issues, what)
}

export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly issues: FieldIssue[] }

/** Checks a value that stands at `path` of the request. */
export function check<T>(schema: z.ZodType<T>, value: unknown, path = ''): Checked<T> {
  // Our own words for what is wrong take several times as long, and nearly nothing is.
  const good = schema.safeParse(value)
  if (good.success) return { ok: true, value: good.data }
  const { error } = schema.safeParse(value, { error: sayIssue })
  return { ok: false, issues: (error ?? good.error).issues.flatMap(issue => toFields(issue, schema, path)) }
}

export function invalidRequest(issues: readonly FieldIssue[], what: string, listed = maxListedIssues): BatonError {
  const fields = issues.slice(0, listed)
  if (issues.length > listed) fields.push({ path: '', issue: `${issues.length - listed} more problems are not listed` })
  const first = fields[0]
  const summary =
    issues.length === 1 && first ? (first.path ? `${first.path} ${first.issue}` : first.issue) : `${issues.length} problems; see fields`
  return new BatonError('invalid_request', `${what}: ${summary}`, { fields })
}

/** `['subtasks', 3, 'capability']` → `subtasks[3].capability`. */
export function pathText(path: readonly PropertyKey[], prefix = ''): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${String(part)}` : String(part)),
    prefix,
  )
}

function toFields(issue: z.core.$ZodIssue, schema: z.ZodType, prefix: string): FieldIssue[] {
  const path = pathText(issue.path, prefix)
  if (issue.code !== 'unrecognized_keys') return [{ path, issue: issue.message }]
  const known = knownKeys(schema, issue.path).join(', ')
  const fields = issue.keys
    .slice(0, maxListedKeys)
    .map(key => ({ path: pathText([shown(key)], path), issue: `is not known here; known are: ${known}` }))
  if (issue.keys.length > maxListedKeys) fields.push({ path, issue: `holds ${issue.keys.length - maxListedKeys} more unknown keys` })
  return fields
}

/** The keys that the schema knows at a path. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema
  for (const part of path) {
    at = unwrap(at)
    if (at instanceof z.ZodObject) at = at.shape[String(part)]
    else if (at instanceof z.ZodArray) at = at.element
  }
  at = unwrap(at)
  return at instanceof z.ZodObject ? Object.keys(at.shape) : []
}

function unwrap(schema: unknown): unknown {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable ? unwrap(schema.unwrap()) : schema
}

/** Messages for what the schemas leave to zod. */
const sayIssue: z.core.$ZodErrorMap = issue => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is required' : `must be ${withArticle(issue.expected)}, not ${typeName(issue.input)}`
    case 'invalid_value':
      return issue.input === undefined ? 'is required' : `must be one of ${issue.values.map(String).join(', ')}`
    case 'too_small':
      return `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${unit(issue.origin)}`
    case 'too_big':
      return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${unit(issue.origin)}`
    case 'invalid_format':
      return issue.format === 'url' ? urlProblem(issue.input) : `must match ${issue.pattern ?? issue.format}`
    default:
      return undefined
  }
}

const anyUrl = 'must be a URL that begins with http:// or https://'
const urlProblem = (input: unknown): string => (typeof input === 'string' ? urlIssue(input) : undefined) ?? anyUrl

function unit(origin: string): string {
  return origin === 'string' ? ' characters' : origin === 'array' ? ' items' : ''
}

function withArticle(expected: string): string {
  const words: Record<string, string> = {
    int: 'a whole number',
    array: 'a list',
    object: 'an object',
    boolean: 'true or false',
    record: 'an object',
  }
  return words[expected] ?? `a ${expected}`
}

function typeName(value: unknown): string {
  const plain = value instanceof RawJson ? value.value : value
  if (plain === null) return 'null'
  if (Array.isArray(plain)) return 'a list'
  return typeof plain === 'object' ? 'an object' : `a ${typeof plain}`
}

const shown = (key: string): string => (key.length > 100 ? `${key.slice(0, 100)}…` : key)
