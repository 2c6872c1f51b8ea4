/**
 * References in the input of a subtask: `{{build.outputs.branch}}`, `{{task.title}}`. Owns their form and how they are
 * replaced; what a reference means is the lookup's business, which the caller gives.
 *
 * T1 a string that is exactly one reference takes the value with its type; inside longer text it becomes text
 * T2 text in double braces that has not the form of a reference stays as it is
 * T3 what was put in is never read for references again, so an agent's output cannot reach further
 * T4 own properties only: `__proto__`, `constructor`, `length` are never looked up
 */
import { type Failure, failure } from './failure.js'
import { plainValue } from './json.js'

/** `{{build.outputs.branch}}` or `{{task.metadata.root}}`, taken apart. */
export type Reference = OutputReference | TaskReference

export interface OutputReference {
  readonly kind: 'output'
  /** As it was written, without the braces. */
  readonly source: string
  /** The subtask whose outputs are meant. */
  readonly subtask: string
  /** Keys below the outputs; empty for all of them. */
  readonly path: readonly string[]
}

export interface TaskReference {
  readonly kind: 'task'
  readonly source: string
  readonly field: TaskField
  /** Keys below `metadata` or `context`. */
  readonly path: readonly string[]
}

const taskFields = ['task_id', 'title', 'description', 'metadata', 'context'] as const
export type TaskField = (typeof taskFields)[number]

export type Found =
  | { readonly kind: 'value'; readonly value: unknown }
  /** There is nothing; `issue` says what is missing and what there is instead. */
  | { readonly kind: 'missing'; readonly issue: string }
  /** Somebody else replaces it later; the reference stays in the text. */
  | { readonly kind: 'later' }

export type Lookup = (reference: Reference) => Found

/** What references are resolved against. A field that is left out is missing. */
export interface TemplateSources {
  readonly task?: { readonly [field in TaskField]?: unknown }
  /** Outputs by the name of the subtask. */
  readonly outputs?: ReadonlyMap<string, unknown>
}

export type Resolved = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly failure: Failure }

const braces = /\{\{\s*([A-Za-z0-9][A-Za-z0-9_.-]*)\s*\}\}/g
const wholeString = /^\{\{\s*([A-Za-z0-9][A-Za-z0-9_.-]*)\s*\}\}$/

/** Every reference in the strings of a JSON value, in reading order. Keys of objects are not read. */
export function findReferences(value: unknown): readonly Reference[] {
  const found: Reference[] = []
  const visit = (part: unknown): void => {
    if (typeof part === 'string') {
      if (!part.includes('{{')) return
      for (const [, source = ''] of part.matchAll(braces)) {
        const reference = parseReference(source)
        if (reference) found.push(reference)
      }
    } else if (part !== null && typeof part === 'object') for (const item of Object.values(part)) visit(item)
  }
  visit(value)
  return found
}

/**
 * The value with its references replaced, or a failure `input_invalid` that names all that is missing.
 *
 * ```ts
 * const input = { branch: '{{build.outputs.branch}}', note: 'review of {{task.title}}' }
 * const resolved = resolveTemplates(input, lookupIn({ task: { title: 'Export' }, outputs: new Map([['build', { branch: 'b' }]]) }))
 * // { ok: true, value: { branch: 'b', note: 'review of Export' } }
 * ```
 */
export function resolveTemplates(value: unknown, lookup: Lookup): Resolved {
  const missing: string[] = []
  const read = (source: string, asWritten: string): unknown => {
    const reference = parseReference(source)
    if (!reference) return asWritten // T2
    const found = lookup(reference)
    if (found.kind === 'value') return found.value
    if (found.kind === 'missing') missing.push(`{{${source}}}: ${found.issue}`)
    return asWritten
  }
  const resolve = (part: unknown): unknown => {
    if (typeof part === 'string') {
      if (!part.includes('{{')) return part
      const whole = wholeString.exec(part)
      if (whole) return read(whole[1] ?? '', part) // T1, T3
      return part.replace(braces, (asWritten: string, source: string) => asText(read(source, asWritten)))
    }
    if (Array.isArray(part)) return part.map(resolve)
    if (part !== null && typeof part === 'object')
      return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, resolve(item)]))
    return part
  }
  const result = resolve(value)
  if (missing.length === 0) return { ok: true, value: result }
  return { ok: false, failure: failure('input_invalid', `the input refers to what is not there: ${missing.slice(0, 20).join('; ')}`) }
}

/**
 * The value with its references made plain text (`{ {build.outputs}}`). For words of people that go into an input which
 * is resolved later (T3).
 */
export function withoutReferences(value: unknown): unknown {
  if (typeof value === 'string')
    return value.includes('{{')
      ? value.replace(braces, (asWritten: string, source: string) => (parseReference(source) ? `{ ${asWritten.slice(1)}` : asWritten))
      : value
  if (Array.isArray(value)) return value.map(withoutReferences)
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutReferences(item)]))
  return value
}

/** Looks references up in a task's fields and the outputs of its subtasks. */
export function lookupIn(sources: TemplateSources): Lookup {
  return reference => {
    if (reference.kind === 'task') {
      const task = sources.task ?? {}
      if (!Object.hasOwn(task, reference.field) || task[reference.field] === undefined) return missing(`the task has no ${reference.field}`)
      return descend(task[reference.field], reference.path, `the task's ${reference.field}`)
    }
    const { subtask, path } = reference
    if (!sources.outputs?.has(subtask))
      return missing(`there are no outputs of ${JSON.stringify(subtask)}; it must be completed, and a dependency`)
    return descend(sources.outputs.get(subtask), path, `the outputs of ${JSON.stringify(subtask)}`)
  }
}

function descend(root: unknown, path: readonly string[], what: string): Found {
  let value = plainValue(root)
  let at = what
  for (const key of path) {
    if (value === null || typeof value !== 'object')
      return missing(`${at} ${value === null ? 'is null' : `is a ${typeof value}`} and has no ${JSON.stringify(key)}`)
    const isThere = Array.isArray(value) ? /^\d{1,9}$/.test(key) && Number(key) < value.length : Object.hasOwn(value, key) // T4
    if (!isThere) return missing(`${at} has no ${JSON.stringify(key)}${offered(value)}`)
    value = (value as Record<string, unknown>)[key] // an object or array, checked above
    at = `${at}.${key}`
  }
  return { kind: 'value', value }
}

function offered(value: object): string {
  if (Array.isArray(value)) return `; it is a list of ${value.length}`
  const keys = Object.keys(value)
  if (keys.length === 0) return '; it is empty'
  return `; it has ${keys
    .slice(0, 8)
    .map(key => JSON.stringify(key.slice(0, 64)))
    .join(', ')}${keys.length > 8 ? ', …' : ''}`
}

const missing = (issue: string): Found => ({ kind: 'missing', issue })

function parseReference(source: string): Reference | undefined {
  if (source.endsWith('.') || source.includes('..')) return undefined
  const parts = source.split('.')
  const field = taskFields.find(name => name === parts[1])
  if (parts[0] === 'task' && field) {
    if (parts.length > 2 && field !== 'metadata' && field !== 'context') return undefined
    return { kind: 'task', source, field, path: parts.slice(2) }
  }
  // Names of subtasks may hold dots: the first `outputs` after the name ends it.
  const outputs = parts.indexOf('outputs', 1)
  if (outputs === -1) return undefined
  return { kind: 'output', source, subtask: parts.slice(0, outputs).join('.'), path: parts.slice(outputs + 1) }
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
