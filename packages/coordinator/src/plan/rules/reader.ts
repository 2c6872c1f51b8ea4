/**
 * Understands the words of a request: objectives, constraints, criteria, dates, and the steps of its work. The
 * description is read first; the title adds the kinds of work that the description does not speak of.
 */
import { type FieldIssue, type OrchestrateRequest, plainValue, type Understanding, type VerbRule } from '@baton/shared'
import type { WorkClause } from './clause.js'
import { clausesOf } from './clauses.js'
import { dueDateIn, metadataDueDate } from './dates.js'
import { metadataLimit, workLimit } from './deadlines.js'
import { Flow, maxSteps } from './flow.js'
import { bindGates, bindOrder } from './gates.js'
import { createLexicon, type Lexicon } from './lexicon.js'
import { PassageReader } from './passage-reader.js'
import { type Passage, passagesOf } from './passages.js'
import { proseOf } from './prose.js'
import { orderDeployments, orderNamedReviews } from './reviews.js'
import { wordsOf } from './sentences.js'
import type { Step } from './step.js'
import { capabilities, nounLikeVerbs } from './vocabulary.js'

export interface Reading extends Understanding {
  readonly steps: readonly Step[]
  /** Capabilities that the request says it does not want. */
  readonly leftOut: ReadonlySet<string>
  /** What is wrong with the metadata that the planner reads. */
  readonly issues: readonly FieldIssue[]
  readonly diagnostics: readonly string[]
}

const maxListed = 200
const longestEntry = 1_000

export function createReader(rules: readonly VerbRule[]): (request: OrchestrateRequest, now: Date) => Reading {
  const lexicon = createLexicon(rules)
  return (request, now) => readRequest(request, now, lexicon)
}

function readRequest(request: OrchestrateRequest, now: Date, lexicon: Lexicon): Reading {
  // A graph with a name needs no reading: producers of thousands send these.
  const named = request.subtasks !== undefined && request.description === undefined
  const { title, flow, reader } = named ? unread : readText(request, lexicon)

  const metadata = plainValue(request.metadata ?? {}) as Record<string, unknown> // an object by its schema
  const diagnostics: string[] = []
  const issues: FieldIssue[] = []
  if (flow.leftOut > 0)
    diagnostics.push(`${flow.leftOut} steps past the first ${maxSteps} were left out; send work of this size as subtasks`)
  return {
    objectives: listed([request.title, ...flow.steps.map(step => step.title)]),
    constraints: listed(reader.constraints),
    acceptanceCriteria: listed(reader.acceptance),
    slaMs: slaOf(metadata.sla, reader, title, issues, diagnostics),
    dueDate: dueDateOf(metadata.due_date, reader, title, now, diagnostics),
    steps: flow.steps,
    leftOut: reader.leftOut,
    issues,
    diagnostics,
  }
}

/** What the words of a request say. */
interface Words {
  readonly title: Passage
  readonly flow: Pick<Flow, 'leftOut' | 'steps'>
  readonly reader: Pick<PassageReader, 'sentences' | 'constraints' | 'acceptance' | 'leftOut'>
}

const unread: Words = {
  title: titlePassage(''),
  flow: { leftOut: 0, steps: [] },
  reader: { sentences: [], constraints: [], acceptance: [], leftOut: new Set() },
}

function readText(request: OrchestrateRequest, lexicon: Lexicon): Words {
  const title = titlePassage(request.title)
  const { flow, reader } = readWords(title, passagesOf(request.description ?? ''), lexicon)
  bindOrder(reader.hints, flow, lexicon)
  orderNamedReviews(flow.steps, reader.refersBack)
  orderDeployments(flow.steps)
  bindGates(reader.gates, flow, lexicon)
  return { title, flow, reader }
}

/** The description, with the kinds of work that only the title names: development first, the rest last. */
function readWords(title: Passage, passages: readonly Passage[], lexicon: Lexicon): { flow: Flow; reader: PassageReader } {
  const named = clausesOf(title, lexicon).filter(clause => clause.kind === 'work')
  const read = (first: readonly WorkClause[], last: readonly WorkClause[]) => {
    const flow = new Flow()
    const reader = new PassageReader(flow, lexicon, named[0]?.capability)
    for (const work of first) flow.add({ ...work, order: null }, -1, undefined)
    reader.read(passages)
    for (const work of last) flow.add({ ...work, order: 'finally' }, -1, undefined)
    return { flow, reader }
  }
  const plain = read([], [])
  if (plain.flow.steps.length === 0) {
    readTitle(title, plain.flow, plain.reader, lexicon)
    return plain
  }
  const known = new Set(plain.flow.steps.map(step => step.capability))
  const missing = named.filter(work => isOrder(work) && !known.has(work.capability) && !plain.reader.leftOut.has(work.capability))
  if (missing.length === 0) return plain
  const isDevelopment = (work: WorkClause): boolean => work.capability === capabilities.development
  return read(
    missing.filter(isDevelopment),
    missing.filter(work => !isDevelopment(work)),
  )
}

function titlePassage(title: string): Passage {
  return { ...proseOf(title), section: 'work', item: null, leadIn: null }
}

/** A title is mostly the name of a thing ("Audit trail", "hotfix rollout"); a verb that is also a thing needs an object that is told apart. */
function isOrder({ verb, prose }: WorkClause): boolean {
  if (verb === '') return false
  return !nounLikeVerbs.has(verb) || /^\S+ (?:(?:the|a|an|all|our|it|this|to|new|every|both)\b|[\d_v])/.test(prose.plain)
}

/** The title is the work when the description only tells about it. */
function readTitle(title: Passage, flow: Flow, reader: PassageReader, lexicon: Lexicon): void {
  reader.readSentence(title)
  if (flow.steps.length > 0) return
  const words = wordsOf(title.plain)
  const gerund = lexicon.verbAt(words, 0, 'gerund')
  const thing = lexicon.nounPhraseAt(words, gerund ? gerund.length : 0)
  const capability = gerund && gerund.strength !== 'open' && gerund.strength !== 'weak' ? gerund.capability : thing.capability
  if (capability)
    flow.add(
      { prose: title, order: null, verb: gerund?.base ?? '', strength: 'thing', capability, refersBack: false, isTests: false },
      0,
      undefined,
    )
}

function slaOf(stated: unknown, reader: Words['reader'], title: Passage, issues: FieldIssue[], diagnostics: string[]): number | null {
  const limit = metadataLimit(stated)
  if (limit && 'ms' in limit) return limit.ms
  if (limit) issues.push({ path: 'metadata.sla', issue: limit.issue })
  else if (stated !== undefined && stated !== null)
    diagnostics.push('metadata.sla is no duration and was not read; use seconds or a text such as "2h"')
  for (const { plain, isOrder } of [...reader.sentences, { plain: title.plain, isOrder: true }]) {
    const ms = workLimit(plain, isOrder)
    if (ms !== undefined) return ms
  }
  return null
}

function dueDateOf(stated: unknown, reader: Words['reader'], title: Passage, now: Date, diagnostics: string[]): string | null {
  const date = metadataDueDate(stated)
  if (date !== undefined) {
    if (Date.parse(date.length === 10 ? `${date}T23:59:59Z` : date) < now.getTime())
      diagnostics.push(`metadata.due_date ${date} was already past at submission`)
    return date
  }
  if (stated !== undefined && stated !== null)
    diagnostics.push('metadata.due_date is no ISO date and was not read; use a text such as "2026-12-01"')
  for (const { plain } of [...reader.sentences, title]) {
    const due = dueDateIn(plain, now)
    if (due !== undefined) return due
  }
  return null
}

/** Without repetitions, and bounded. */
function listed(entries: readonly string[]): string[] {
  const seen = new Map<string, string>()
  for (const entry of entries) {
    const text = entry.slice(0, longestEntry).toWellFormed().trim()
    if (text && seen.size < maxListed && !seen.has(text.toLowerCase())) seen.set(text.toLowerCase(), text)
  }
  return [...seen.values()]
}
