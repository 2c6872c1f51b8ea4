/**
 * Reads passages one after the other and gathers what they say: steps with their order, gates, constraints, criteria.
 *
 * R1 items of a list are work when they say so, or when the list does ("Add the following:")
 * R2 what stands beside a step in its passage (a constraint, a criterion) belongs to that step as well as to the plan
 * R3 references and gates are bound when everything is read, because they may point ahead
 */
import type { Clause, WorkClause } from './clause.js'
import { clausesOf } from './clauses.js'
import { capabilityLeftOut, meaningOf } from './criteria.js'
import type { Flow } from './flow.js'
import type { Lexicon } from './lexicon.js'
import type { Passage } from './passages.js'
import { readHead, saysInOrder, saysParallel } from './phrases.js'
import { type Prose, proseOf } from './prose.js'
import { sentencesOf, wordsOf } from './sentences.js'
import { type Step, stemsOf, waitFor } from './step.js'
import { capabilities } from './vocabulary.js'

export interface Gate {
  readonly plain: string
  /** Steps of the same sentence before and after the words. */
  readonly before: readonly Step[]
  readonly after: readonly Step[]
  /** How many steps stood before it in the text. */
  readonly at: number
}

export interface OrderHint {
  readonly plain: string
  readonly relation: 'before' | 'after'
  /** The step that the words are attached to. */
  readonly step: Step
  /** Work that the words themselves name. */
  readonly work: WorkClause | null
}

/** What one sentence gave. */
interface Told {
  readonly steps: readonly Step[]
  readonly works: readonly WorkClause[]
}

const details =
  /\b(?:fields?|columns?|properties|options|values|parameters|attributes|with the following|contains?|containing|consists? of|includ(?:e|es|ing)|such as|like|for example|e\.g|statuses|states|filters|roles|headers|criteria|requirements?|cases|formats?|rules|symptoms|errors?|messages?|logs?)\b[^:]{0,40}:?$/
const announces = /\b(?:following|these|below|this list|things|items|tasks|steps|work)\b/
/** A finite verb shows that an item tells something rather than names work. */
const tells =
  /\b(?:is|are|was|were|has|had|does|did|can|cannot|fails?|shows?|returns?|gets?|sees?|happens?|appears?|crashes|works?|i|we|it)\b/
/** A list is judged by its first items. */
const sampledItems = 50
const coveringTests = new Set([
  'test',
  'tests',
  'unit',
  'regres',
  'integr',
  'automa',
  'cover',
  'covera',
  'end',
  'e2e',
  'suite',
  'case',
  'accept',
  'code',
  'featur',
  'change',
  'includ',
  'everyt',
  'smoke',
  'snapsh',
  'relev',
  'corres',
  'few',
  'good',
])

export class PassageReader {
  readonly constraints: string[] = []
  readonly acceptance: string[] = []
  readonly gates: Gate[] = []
  readonly hints: OrderHint[] = []
  readonly leftOut = new Set<string>()
  /** Steps without an object of their own. */
  readonly refersBack = new Set<Step>()
  /** Sentences that state work or remarks, for dates and limits. */
  readonly sentences: { readonly plain: string; readonly isOrder: boolean }[] = []
  private readonly flow: Flow
  private readonly lexicon: Lexicon
  /** The capability that the title speaks for: "fix it" at the beginning means the title. */
  private readonly subject: string | undefined
  private group = 0

  constructor(flow: Flow, lexicon: Lexicon, subject: string | undefined) {
    this.subject = subject
    this.flow = flow
    this.lexicon = lexicon
  }

  read(passages: readonly Passage[]): void {
    for (let at = 0; at < passages.length; at++) {
      const passage = passages[at] as Passage // below the length
      if (passage.item) at = this.readList(passages, at)
      else if (passage.section !== 'work') this.note(passage)
      else this.readParagraph(passage, passages[at + 1])
    }
  }

  private note(passage: Passage): void {
    for (const { plain } of sentencesOf(passage)) this.sentences.push({ plain, isOrder: false })
    if (passage.section === 'acceptance') this.acceptance.push(passage.text)
    else if (passage.section === 'constraint') this.constraints.push(passage.text)
    else if (passage.section === 'excluded') {
      this.constraints.push(`Not in scope: ${passage.text}`)
      const capability = capabilityLeftOut(`no ${passage.plain}`, this.lexicon)
      if (capability) this.leftOut.add(capability)
    }
  }

  private readParagraph(passage: Passage, next: Passage | undefined): void {
    const sentences = sentencesOf(passage)
    const isLeadIn = next?.item !== null && next?.leadIn?.plain === passage.plain
    sentences.forEach((sentence, n) => {
      if (isLeadIn && n === sentences.length - 1) this.readLeadIn(sentence)
      else this.readSentence(sentence)
    })
  }

  /** The sentence before a list: what it says itself is read with the list. */
  private readLeadIn(sentence: Prose): void {
    const { order } = readHead(sentence.plain, 0)
    this.flow.expectOrder(order)
    for (const clause of clausesOf(sentence, this.lexicon)) if (clause.kind === 'constraint') this.constraints.push(clause.prose.text)
    this.sentences.push({ plain: sentence.plain, isOrder: true })
  }

  /** Reads a whole list and returns the place of its last item. */
  private readList(passages: readonly Passage[], begin: number): number {
    const first = passages[begin] as Passage
    let end = begin
    while (passages[end + 1]?.item?.list === first.item?.list) end++
    const items = passages.slice(begin, end + 1)
    if (first.section !== 'work') {
      for (const item of items) this.note(item)
      return end
    }
    const announcement = this.announcementOf(first)
    const open = items.filter(item => !item.item?.done)
    const sample = open.slice(0, sampledItems)
    const share = sample.filter(item => this.hasWork(item)).length / Math.max(1, sample.length)
    if (share === 0 && announcement && (details.test(announcement.prose.plain) || !announces.test(announcement.prose.plain))) {
      const { steps } = this.readSentence(first.leadIn ?? first)
      for (const item of open) for (const step of steps.slice(-1)) step.acceptance.push(item.text)
      return end
    }
    if (share === 0 && !announcement && first.leadIn && meaningOf(first.leadIn.plain) !== 'remark') {
      const list = meaningOf(first.leadIn.plain) === 'constraint' ? this.constraints : this.acceptance
      for (const item of open) list.push(item.text)
      return end
    }
    this.readItems(open, announcement, share)
    return end
  }

  private announcementOf(first: Passage): WorkClause | undefined {
    const sentence = first.leadIn ? sentencesOf(first.leadIn).at(-1) : undefined
    return sentence && clausesOf(sentence, this.lexicon).findLast(clause => clause.kind === 'work')
  }

  private readItems(items: readonly Passage[], announcement: WorkClause | undefined, share: number): void {
    const leadIn = items[0]?.leadIn?.plain ?? ''
    const isOrdered = saysInOrder(leadIn) || (items[0]?.item?.numbered === true && !saysParallel(leadIn))
    let parent: { readonly depth: number; readonly step: Step | undefined } | undefined
    let isFirst = true
    for (const item of items) {
      const depth = item.item?.depth ?? 0
      if (parent?.step && depth > parent.depth) {
        this.addDetail(item, parent.step)
        continue
      }
      const { order } = readHead(item.plain, 0)
      const from = this.flow.steps.length
      this.flow.item(isOrdered, isFirst, order, () => this.readItem(item, announcement, share))
      const step = this.flow.steps[from]
      parent = { depth, step }
      if (step) isFirst = false
    }
  }

  /** R1 */
  private readItem(item: Passage, announcement: WorkClause | undefined, share: number): void {
    const sentences = sentencesOf(item)
    const before = this.flow.steps.length
    for (const sentence of sentences) this.readSentence(sentence, item)
    if (this.flow.steps.length > before || this.hasWork(item)) return
    const thing = this.lexicon.nounPhraseAt(wordsOf(item.plain.slice(0, 200)), 0)
    const isShort = item.plain.length < 160 && !tells.test(item.plain)
    const isWork =
      thing.length > 0 &&
      /[\p{L}\p{N}]/u.test(item.plain) &&
      meaningOf(item.plain) === 'remark' &&
      isShort &&
      (announcement !== undefined || thing.capability !== undefined || share >= 0.5)
    if (!isWork) return
    const capability =
      thing.capability ??
      announcement?.capability ??
      (share >= 0.5 && thing.length > 0 && this.flow.steps.some(step => step.capability === capabilities.development)
        ? capabilities.development
        : null)
    const prose = announcement && announcement.verb !== '' ? proseOf(`${announcement.verb}: ${item.text}`) : item
    this.flow.add(
      {
        prose,
        order: readHead(item.plain, 0).order,
        verb: announcement?.verb ?? '',
        strength: 'thing',
        capability,
        refersBack: false,
        isTests: false,
      },
      this.group++,
      undefined,
    )
  }

  private hasWork(item: Prose): boolean {
    return sentencesOf(item).some(sentence => clausesOf(sentence, this.lexicon).some(clause => clause.kind === 'work'))
  }

  readSentence(sentence: Prose, item?: Passage): Told {
    const clauses = clausesOf(sentence, this.lexicon)
    const group = this.group++
    const steps: Step[] = []
    const works: WorkClause[] = []
    const hints: (Extract<Clause, { kind: 'order' }> & { readonly at: number })[] = []
    const gates: { readonly plain: string; readonly at: number }[] = []
    const limits: { readonly kind: 'constraint' | 'acceptance'; readonly text: string }[] = []
    const isConditional = clauses[0]?.kind === 'condition'
    if (isConditional || /^(?:given|scenario)\b/.test(sentence.plain)) {
      ;(isConditional ? this.constraints : this.acceptance).push(sentence.text)
      return { steps, works }
    }
    for (const clause of clauses) {
      if (clause.kind === 'work') {
        works.push(clause)
        const told = this.addWork(clause, group, steps)
        if (told) steps.push(told)
      } else if (clause.kind === 'order') hints.push({ ...clause, at: steps.length })
      else if (clause.kind === 'approval') gates.push({ plain: clause.prose.plain, at: steps.length })
      else if (clause.kind === 'constraint' || clause.kind === 'acceptance') limits.push({ kind: clause.kind, text: clause.prose.text })
      else if (clause.kind === 'remark') {
        if (clause.order && !item) this.flow.expectOrder(steps.length === 0 && works.length === 0 ? clause.order : null)
        const meaning = meaningOf(clause.prose.plain)
        if (meaning !== 'remark') limits.push({ kind: meaning, text: clause.prose.text })
      }
      if (clause.kind === 'constraint') {
        const capability = capabilityLeftOut(clause.prose.plain, this.lexicon)
        if (capability) this.leftOut.add(capability)
      }
    }
    for (const { kind, text } of limits) this.addLimit(kind, text, steps)
    this.bindInSentence(hints, gates, steps)
    this.sentences.push({ plain: sentence.plain, isOrder: steps.length > 0 })
    return { steps, works }
  }

  /** What stands below an item is about the item's step. */
  private addDetail(item: Prose, step: Step): void {
    const meaning = meaningOf(item.plain)
    if (meaning === 'remark') step.acceptance.push(item.text)
    else this.addLimit(meaning, item.text, [step])
  }

  /** R2 */
  private addLimit(kind: 'constraint' | 'acceptance', text: string, steps: readonly Step[]): void {
    ;(kind === 'constraint' ? this.constraints : this.acceptance).push(text)
    const step = steps.at(-1)
    if (step) (kind === 'constraint' ? step.constraints : step.acceptance).push(text)
  }

  private addWork(work: WorkClause, group: number, inSentence: readonly Step[]): Step | undefined {
    const last = inSentence.at(-1)
    if (work.isTests && this.flow.steps.some(step => step.capability === capabilities.development) && this.coversEarlier(work)) {
      this.addLimit(
        'acceptance',
        work.prose.text,
        inSentence.length > 0 ? inSentence : this.flow.steps.filter(step => step.capability === capabilities.development).slice(-1),
      )
      return undefined
    }
    const isElaboration = work.refersBack && work.order === null && work.strength !== 'own'
    if (isElaboration && last?.capability === work.capability) return undefined
    if (isElaboration && !last && work.strength === 'open' && work.capability === capabilities.development && this.flow.steps.length > 0)
      return undefined
    const about =
      work.refersBack && this.flow.steps.length === 0 && work.capability === capabilities.development
        ? { ...work, capability: this.subject ?? work.capability }
        : work
    const refersTo = work.refersBack ? (last ?? this.lastMeant(work)) : undefined
    const step = this.flow.add(about, group, work.order === null ? refersTo : undefined)
    if (step && (work.refersBack || (work.capability === capabilities.review && inSentence.length > 0))) this.refersBack.add(step)
    return step
  }

  /** What "it" of a sentence is, when nothing stands before it there. A deployment's "it" is ordered by what was made. */
  private lastMeant(work: WorkClause): Step | undefined {
    const last = this.flow.steps.at(-1)
    return work.capability !== capabilities.delivery || last?.isDeploy ? last : undefined
  }

  /** Tests of something else than what was developed so far are work of their own. */
  private coversEarlier(work: WorkClause): boolean {
    if (work.refersBack) return true
    const own = [...stemsOf(work.prose.plain)].filter(stem => !coveringTests.has(stem))
    return own.length === 0 || this.flow.steps.slice(-50).some(step => own.some(stem => step.stems.has(stem)))
  }

  private bindInSentence(
    hints: readonly (Extract<Clause, { kind: 'order' }> & { readonly at: number })[],
    gates: readonly { readonly plain: string; readonly at: number }[],
    steps: readonly Step[],
  ): void {
    for (const { at, prose, relation, work } of hints) {
      const step = steps[at === 0 ? 0 : at - 1]
      if (step) this.hints.push({ plain: prose.plain, relation, step, work })
    }
    for (const { plain, at } of gates) {
      const [step] = steps.slice(-1)
      const earlier = step && this.flow.steps[step.index - steps.length]
      if (step && earlier && /\b(?:approved|signed off(?: on)?|agreed to|confirmed) (?:it|this|that|them)\b/.test(plain))
        waitFor(step, earlier)
      this.gates.push({ plain, before: steps.slice(0, at), after: steps.slice(at), at: this.flow.steps.length })
    }
  }
}
