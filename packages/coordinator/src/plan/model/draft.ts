/**
 * What a model answers: the draft of a plan. Strict, so that a draft can say nothing else (no callback, no agent, no input,
 * no time limit); every key is required, because some servers demand that of a schema. Lengths and counts are the
 * guardrails' business: servers differ in which bounds they know.
 */
import { BatonError, type FieldIssue, parseStrictJson } from '@baton/shared'
import { z } from 'zod'

const draftSubtaskSchema = z.strictObject({
  name: z.string().describe('Unique, of lower-case letters, digits and hyphens.'),
  title: z.string().describe('A short title for people.'),
  purpose: z.string().describe('What is to be done, for whoever does it: one or two sentences.'),
  capability: z.string().describe('One of the capabilities that were given.'),
  depends_on: z.array(z.string()).describe('Names of the subtasks whose results it needs.'),
  serves: z.array(z.string()).describe('Ids of the acceptance criteria that it helps to fulfil.'),
  prerequisites: z.array(z.string()).describe('What has to be true before it starts, in words.'),
  done_when: z.string().describe('How whoever does it knows that it is done.'),
  requires_approval: z.boolean().describe('Whether a person has to approve before it starts.'),
})

export const draftSchema = z.strictObject({
  objectives: z.array(z.string()),
  constraints: z.array(z.string()),
  acceptance_criteria: z.array(z.strictObject({ id: z.string(), text: z.string() })),
  subtasks: z.array(draftSubtaskSchema),
})

export type Draft = z.infer<typeof draftSchema>
export type DraftSubtask = Draft['subtasks'][number]

export type DraftReading = { readonly ok: true; readonly draft: Draft } | { readonly ok: false; readonly issues: readonly FieldIssue[] }

/** More problems than this help no model. */
const maxIssues = 20

/** Reads the text of an answer; a fence around the JSON is forgiven, and so are words before and behind the fence. */
export function readDraft(text: string): DraftReading {
  let value: unknown
  try {
    value = parseStrictJson(withoutFence(text))
  } catch (error) {
    const issue = error instanceof BatonError ? error.message : 'is not JSON'
    return { ok: false, issues: [{ path: 'answer', issue }] }
  }
  const parsed = draftSchema.safeParse(value)
  if (parsed.success) return { ok: true, draft: parsed.data }
  const issues = parsed.error.issues.slice(0, maxIssues).map(({ path, message }) => ({ path: pathText(path), issue: message }))
  return { ok: false, issues }
}

/** The fence that opens first and the one that closes last: a text within the JSON may hold fences of its own. */
function withoutFence(text: string): string {
  const trimmed = text.trim()
  if (trimmed.startsWith('{')) return trimmed
  const opening = /^[ \t]*```[\w-]*[ \t]*\r?\n/m.exec(trimmed)
  if (!opening) return trimmed
  const inside = trimmed.slice(opening.index + opening[0].length)
  const closing = [...inside.matchAll(/^[ \t]*```/gm)].at(-1)
  return closing ? inside.slice(0, closing.index) : inside
}

/** `subtasks[2].name` */
function pathText(path: readonly PropertyKey[]): string {
  const text = path.reduce<string>(
    (so, key) => (typeof key === 'number' ? `${so}[${key}]` : so === '' ? String(key) : `${so}.${String(key)}`),
    '',
  )
  return text === '' ? 'answer' : text
}
