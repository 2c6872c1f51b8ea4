/** Zod's issues as sentences of ours: `agents[0].kind must be one of command, http, module`. */
import { type FieldIssue, plainValue, urlIssue } from '@baton/shared'
import type { z } from 'zod'

/** `value` is what was checked; it tells what stands at the place now. */
export function zodIssues(error: z.ZodError, value: unknown): FieldIssue[] {
  return error.issues.flatMap(issue => sentences(issue, value))
}

function sentences(issue: z.core.$ZodIssue, root: unknown): FieldIssue[] {
  const path = pathText(issue.path)
  const at = valueAt(root, issue.path)
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map(key => ({ path: pathText([...issue.path, key]), issue: 'is not a known key; check its spelling or remove it' }))
    case 'invalid_type':
      return [{ path, issue: at === undefined ? 'is required' : `must be ${article(issue.expected)}, not ${article(typeName(at))}` }]
    case 'invalid_value':
      return [
        {
          path,
          issue:
            at === undefined
              ? `is required: one of ${issue.values.join(', ')}`
              : `must be one of ${issue.values.join(', ')}, not ${JSON.stringify(at)}`,
        },
      ]
    case 'invalid_union':
      return unionSentences(issue, path, at)
    case 'invalid_key':
      return issue.issues.map(inner => ({ path, issue: inner.message }))
    case 'too_small':
      return [{ path, issue: isOwn(issue.message) ? issue.message : `must be at least ${issue.minimum}${unit(issue.origin)}` }]
    case 'too_big':
      return [{ path, issue: isOwn(issue.message) ? issue.message : `must be at most ${issue.maximum}${unit(issue.origin)}` }]
    case 'invalid_format':
      return [{ path, issue: issue.format === 'url' && typeof at === 'string' ? (urlIssue(at) ?? issue.message) : issue.message }]
    default:
      return [{ path, issue: issue.message }]
  }
}

function unionSentences(issue: z.core.$ZodIssueInvalidUnion, path: string, at: unknown): FieldIssue[] {
  const kinds = (issue as { options?: readonly unknown[] }).options // given for unions that one key tells apart
  if (kinds)
    return [
      {
        path,
        issue: `${at === undefined ? 'is required:' : 'must be'} one of ${kinds.join(', ')}${at === undefined ? '' : `, not ${JSON.stringify(at)}`}`,
      },
    ]
  const expected = issue.errors.flatMap(errors => errors.flatMap(inner => (inner.code === 'invalid_type' ? [inner.expected] : [])))
  return [{ path, issue: expected.length > 0 ? `must be ${expected.map(article).join(' or ')}` : issue.message }]
}

/** `agents[0].command`; empty for the whole. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`),
    '',
  )
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value !== null && typeof value === 'object' ? (value as Record<PropertyKey, unknown>)[key] : undefined),
    root,
  )
}

/** Zod's own sentences begin so; those of our schemas do not. */
const isOwn = (message: string): boolean => !/^(Too (small|big)|Invalid)/.test(message)

const unit = (origin: string): string =>
  origin === 'string' ? ' characters long' : origin === 'array' || origin === 'set' ? ' entries long' : ''

function typeName(value: unknown): string {
  const plain = plainValue(value)
  if (plain === null) return 'null'
  return Array.isArray(plain) ? 'array' : typeof plain
}

const words: Record<string, string> = {
  array: 'a list',
  record: 'an object',
  object: 'an object',
  int: 'a whole number',
  boolean: 'true or false',
  null: 'null',
}

const article = (type: string): string => words[type] ?? `a ${type}`
