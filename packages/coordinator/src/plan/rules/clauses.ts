/**
 * Reads one sentence as clauses: work to do, order ("before deploying"), gates, constraints, acceptance criteria, remarks.
 *
 * C1 a clause begins at the head of the sentence, after a comma, colon, bracket or dash, or at a joining word; nowhere else
 * C2 work begins with a verb in its base form, as people give orders; other forms tell what was or is
 * C3 inside "that …", "to …", "users can …" a verb after "and" or a comma belongs to the product, unless an order word or
 *    an "it" after it says otherwise
 * C4 tests belong to the development beside them: they are its acceptance, not work of their own
 */
import { isApproval, isApprovalSentence } from './approvals.js'
import type { Clause, WorkClause } from './clause.js'
import type { Lexicon, NounPhrase, Strength } from './lexicon.js'
import { areTestsAt, isNegationAt, isOutcomeAt, type Order, readHead, subordinateAt } from './phrases.js'
import { cut, type Prose } from './prose.js'
import { type Word, wordsOf } from './sentences.js'
import { readPassive, readWish } from './subject-first.js'
import { capabilities } from './vocabulary.js'

type Kind = Clause['kind']
type Opening = {
  readonly kind: Kind
  readonly from: number
  readonly at: number
  readonly order: Order | null
  readonly work?: Omit<WorkClause, 'kind' | 'prose' | 'order'>
  readonly relation?: 'before' | 'after'
}

const marks = new Set([',', ':', '(', ')', '[', ']', '—', '–', '-'])
const joins = new Set(
  'and then but plus so without including before after once until with followed making ensuring while keeping prior as upon pending only subject behind when if unless'.split(
    ' ',
  ),
)
const detailWords = new Set('how why whether what that which where who whose because since when if unless while whenever'.split(' '))
/** "How we deploy and release": verbs after these tell about something. */
const questions = new Set('how why whether what'.split(' '))
const modals = new Set('can could may might would lets allows helps allowing letting'.split(' '))
const pronouns = new Set('it them everything'.split(' '))
const pointers = new Set('this that these those both all one'.split(' '))
const lettingVerbs = new Set(['let', 'allow'])

/** More clauses than this are no sentence; the rest belongs to the last one. */
const maxClauses = 300

/** All clauses of a sentence, in order; together they cover it. */
export function clausesOf(sentence: Prose, lexicon: Lexicon): Clause[] {
  return new ClauseReader(sentence, lexicon).read()
}

class ClauseReader {
  private readonly sentence: Prose
  private readonly words: readonly Word[]
  private readonly lexicon: Lexicon
  private readonly openings: Opening[] = []
  private inDetail = false
  private inModal = false
  private hasDevelopment = false

  constructor(sentence: Prose, lexicon: Lexicon) {
    this.sentence = sentence
    this.words = wordsOf(sentence.plain)
    this.lexicon = lexicon
  }

  read(): Clause[] {
    for (let at = 0; at < this.words.length; at++) {
      const opening = this.isCut(at) && this.openings.length < maxClauses ? this.open(at) : undefined
      if (opening) {
        this.openings.push(opening)
        this.inDetail = false
        this.hasDevelopment ||= opening.work?.capability === capabilities.development
        this.inModal = opening.work !== undefined && lettingVerbs.has(opening.work.verb)
        while ((this.words[at + 1]?.from ?? Number.POSITIVE_INFINITY) <= opening.at) at++
      } else this.noteDetail(at)
    }
    return this.openings.map((opening, n) => this.close(opening, this.openings[n + 1]?.from ?? this.sentence.plain.length))
  }

  /** C1 */
  private isCut(at: number): boolean {
    return at === 0 || joins.has(this.word(at)) || (marks.has(this.word(at - 1)) && !marks.has(this.word(at)))
  }

  private noteDetail(at: number): void {
    const word = this.word(at)
    if (questions.has(word)) this.inModal = true
    if (detailWords.has(word)) this.inDetail = true
    else if (modals.has(word) && this.inDetail) this.inModal = true
    else if (modals.has(word) || (word === 'to' && this.lexicon.verbAt(this.words, at + 1) !== undefined)) this.inModal = true
  }

  private open(cutAt: number): Opening | undefined {
    const from = this.words[cutAt]?.from ?? 0
    const isFirst = cutAt === 0
    const { plain } = this.sentence
    const head = readHead(plain, from)
    const begin = this.indexAt(head.at)
    if (begin >= this.words.length) return undefined
    const at = this.words[begin]?.from ?? 0
    const base = { from, at, order: head.order }
    const rest = plain.slice(at, at + 240)

    const tests = this.openTests(cutAt, from, at)
    if (tests) return { ...base, kind: 'acceptance' }
    const subordinate = this.openSubordinate(isFirst, at, rest)
    if (subordinate !== undefined) return subordinate ? this.unlessApproved({ ...base, ...subordinate }) : undefined
    if (/^(?:nothing|none|no)$/.test(this.word(begin + 1)) && this.lexicon.verbAt(this.words, begin)) return { ...base, kind: 'constraint' }
    if (isNegationAt(plain, at))
      return this.unlessApproved({
        ...base,
        kind: isApproval(clauseHead(rest)) && /^(?:without|only|not until)/.test(rest) ? 'approval' : 'constraint',
      })
    if (isOutcomeAt(plain, at)) return { ...base, kind: 'acceptance' }
    if (
      this.isAfterComma(from) &&
      /^(?:which )?(?:depends on|depending on|blocked by|needs|requires|relies on|waits for) /.test(rest) &&
      !isApproval(clauseHead(rest))
    )
      return { ...base, kind: 'order', relation: 'after' }
    if (
      /^(?:needs?|requires?|requiring|get|gets|obtain|wait|await|ask|pending|subject|with|manual|stop|pause|upon|request|seek|behind|hold)\b/.test(
        rest,
      ) &&
      isApproval(clauseHead(rest))
    )
      return this.unlessApproved({ ...base, kind: 'approval' })
    if (/^(?:with|upon|behind|as|while) /.test(rest) || /^(?:with|upon|behind|as|while) /.test(plain.slice(from, from + 8)))
      return this.openThing(cutAt, from, at, base)
    const work = this.openVerb(isFirst, begin, head, from)
    if (work) return { ...base, kind: 'work', work }
    const thing = this.openThing(cutAt, from, at, base)
    if (thing) return thing
    const subjectFirst = readWish(this.words, begin, this.lexicon) ?? readPassive(this.words, begin, this.lexicon, isFirst)
    if (subjectFirst) return { ...base, kind: 'work', work: subjectFirst }
    return isFirst || this.tellsOfItsOwn(from, rest) ? { ...base, kind: 'remark' } : undefined
  }

  /** "…: results should appear at once": a clause with a subject of its own, after a colon or a comma. */
  private tellsOfItsOwn(from: number, rest: string): boolean {
    return (
      this.isAfterComma(from) &&
      !this.inDetail &&
      /^(?!which|who|that)[^,:]{1,60}? (?:should|must|shall|needs? to|has to|have to)\b/.test(rest)
    )
  }

  /** "Only after ops approved": one gate, not two. */
  private unlessApproved(opening: Opening): Opening | undefined {
    const current = this.openings.at(-1)
    return opening.kind === 'approval' && current?.kind === 'approval' && opening.from - current.from < 8 ? undefined : opening
  }

  /** C4 */
  private openTests(cutAt: number, from: number, at: number): boolean {
    const current = this.openings.at(-1)
    if (cutAt === 0 || !this.hasDevelopment) return false
    if (current?.kind === 'order') return false
    return areTestsAt(this.sentence.plain, from) || areTestsAt(this.sentence.plain, at)
  }

  /** Undefined: no subordinate clause; null: one that stays part of the present clause. */
  private openSubordinate(isFirst: boolean, at: number, rest: string): Pick<Opening, 'kind' | 'relation'> | null | undefined {
    const found = subordinateAt(this.sentence.plain, at)
    if (!found) return undefined
    const clause = clauseHead(rest)
    if (/^once (?:in|an?|per|every|more|again|or)\b/.test(clause)) return null
    const isTime = /^(?:before|prior to|ahead of|after|following|once|when|as soon as|until)$/.test(found.word)
    if (isApproval(clause) && (isTime || /^(?:unless|if|provided)$/.test(found.word))) return { kind: 'approval' }
    if (/^(?:before|prior to|ahead of)$/.test(found.word)) return { kind: 'order', relation: 'before' }
    if (
      /^(?:after|once|as soon as)$/.test(found.word) ||
      (found.word === 'following' && isFirst) ||
      (found.word === 'when' &&
        /\b(?:done|finished|complete|completed|merged|ready|deployed|reviewed|in place|live|through)\b/.test(clause))
    )
      return { kind: 'order', relation: 'after' }
    if (!isFirst) {
      this.inDetail = true
      return null
    }
    return {
      kind:
        /^(?:if|unless|in case|provided|assuming)$/.test(found.word) &&
        !/^if (?:possible|you can|time|there is time|needed|necessary)/.test(clause)
          ? 'condition'
          : 'remark',
    }
  }

  /** C2, C3 */
  private openVerb(isFirst: boolean, begin: number, head: { order: Order | null; hasSubject: boolean }, from: number): Opening['work'] {
    const isBegun = /^(?:start|begin|continue)$/.test(this.word(begin - 1))
    const verb = this.lexicon.verbAt(this.words, begin) ?? (isBegun ? this.lexicon.verbAt(this.words, begin, 'gerund') : undefined)
    if (!verb) return undefined
    const current = this.openings.at(-1)
    const object = this.lexicon.nounPhraseAt(this.words, begin + verb.length)
    const refersBack = this.refersBack(begin + verb.length, object)
    const isMarked = isFirst || head.order !== null || head.hasSubject || this.sentence.plain[from - 2] === ':'
    if (!isMarked) {
      if (verb.strength === 'weak') return undefined
      if (this.inModal && !(refersBack && verb.strength !== 'open' && object.length > 0)) return undefined // C3
      if (this.inDetail && verb.strength === 'open' && !this.isAfterComma(from)) return undefined
      if (current?.kind === 'acceptance' && verb.strength === 'open') return undefined
      if (current?.kind === 'condition' && !this.isAfterComma(from)) return undefined
    }
    const isTests =
      /^(?:tests?|specs|coverage)$/.test(object.head) || ((verb.base === 'test' || verb.base === 'cover') && verb.strength !== 'own')
    const capability =
      verb.strength === 'helper' ? (object.capability ?? (isTests ? capabilities.delivery : undefined)) : this.capabilityOf(verb, object)
    if (capability === undefined) return undefined
    if (current?.work && current.work.capability === capability && this.isBareBefore(current, from)) return undefined
    const testsWhatWasMade = isTests && verb.strength === 'helper'
    return { verb: verb.base, strength: verb.strength, capability, refersBack: refersBack || testsWhatWasMade, isTests }
  }

  private capabilityOf(verb: { strength: Strength; capability: string; base: string }, object: NounPhrase): string {
    if (verb.strength === 'own' || verb.capability === capabilities.review) return verb.capability
    if (object.capability === capabilities.documentation) return object.capability
    if (verb.capability !== capabilities.development || verb.strength === 'weak') return verb.capability
    return object.capability ?? this.capabilityOfPlace(object) ?? verb.capability
  }

  /** "… in the release pipeline", "… to the README": where it goes says whose work it is. */
  private capabilityOfPlace(object: NounPhrase): string | undefined {
    const end = this.word(object.end) === 'of' ? this.lexicon.nounPhraseAt(this.words, object.end + 1).end : object.end
    if (!/^(?:in|to|into|from|within)$/.test(this.word(end)) || /^(?:links?|button|redirect|banner)$/.test(object.head)) return undefined
    const { capability } = this.lexicon.nounPhraseAt(this.words, end + 1)
    return capability === capabilities.delivery || capability === capabilities.documentation ? capability : undefined
  }

  private refersBack(at: number, object: NounPhrase): boolean {
    const next = this.word(at)
    if (pronouns.has(next)) return true
    if (pointers.has(next)) return object.length === 0
    if (
      /^(?:for|of|about|to)$/.test(this.word(object.end)) &&
      /^(?:it|this|that|them)$/.test(this.word(object.end + 1)) &&
      !this.isThing(object.end + 2)
    )
      return true
    return (
      object.length === 0 ||
      /^(?:(?:the |these |all |both )?(?:[a-z]{1,20} )?(?:changes|result|results|code|whole thing|new (?:feature|code|endpoint|behaviou?r|version)|pr|pull request|implementation|work|diff))$/.test(
        this.words
          .slice(at, object.end)
          .map(w => w.word)
          .join(' '),
      )
    )
  }

  private isThing(at: number): boolean {
    const word = this.word(at)
    return word !== '' && !marks.has(word) && !joins.has(word) && this.lexicon.nounPhraseAt(this.words, at).length > 0
  }

  /** "Design and build X": the first verb has no object of its own. */
  private isBareBefore(current: Opening, from: number): boolean {
    if (from - current.at > 60) return false
    const between = this.sentence.plain.slice(current.at, from).replace(/[, ]{1,3}$/, '')
    return between.split(' ').length <= (current.work?.verb.split(' ').length ?? 1)
  }

  /** "… and docs", "with a runbook": a thing of another capability beside what is made. */
  private openThing(cutAt: number, from: number, at: number, base: Pick<Opening, 'from' | 'at' | 'order'>): Opening | undefined {
    const current = this.openings.at(-1)
    if (cutAt === 0 || this.inDetail || !current?.work) return undefined
    const begin = this.indexAt(
      /^(?:with|including) /.test(this.sentence.plain.slice(at, at + 10)) ? at + this.word(this.indexAt(at)).length : at,
    )
    const joining = this.sentence.plain.slice(from, from + 10)
    if (!/^(?:and|plus|with|including)\b/.test(joining) && !this.isAfterComma(from)) return undefined
    const thing = this.lexicon.nounPhraseAt(this.words, begin)
    const isOther =
      thing.capability !== undefined && thing.capability !== capabilities.development && thing.capability !== current.work.capability
    const isLoose =
      thing.capability === capabilities.documentation ||
      thing.capability === capabilities.review ||
      (/^(?:and|plus)/.test(joining) && current.work.strength === 'open')
    if (!isOther || !isLoose || current.work.capability === capabilities.delivery || thing.length > 5) return undefined
    const work = { verb: '', strength: 'thing', capability: thing.capability ?? '', refersBack: true, isTests: false } as const
    return { ...base, kind: 'work', work }
  }

  private close(opening: Opening, end: number): Clause {
    const { kind } = opening
    const prose = trimJoins(cut(this.sentence, kind === 'work' ? opening.at : opening.from, end))
    const order =
      opening.order ?? (kind === 'work' && /\b(?:afterwards|after that|at the (?:very )?end)$/.test(prose.plain.slice(-30)) ? 'then' : null)
    if (kind === 'work' && opening.work) return { kind, prose, order, ...opening.work }
    if (kind === 'order') return { kind, prose, relation: opening.relation ?? 'after', work: this.gerundWork(opening, prose) }
    if (kind === 'remark' && isApprovalSentence(prose.plain)) return { kind: 'approval', prose, order }
    return { kind: kind === 'work' ? 'remark' : kind, prose, order }
  }

  private gerundWork(opening: Opening, prose: Prose): WorkClause | null {
    const words = wordsOf(prose.plain)
    const isAgent = /^(?:we|you|i|they)$/.test(words[1]?.word ?? '')
    const at = isAgent ? 2 : 1
    const verb = this.lexicon.verbAt(words, at, isAgent ? 'base' : 'gerund')
    if (!verb || verb.strength === 'weak' || verb.strength === 'helper') return null
    const object = this.lexicon.nounPhraseAt(words, at + verb.length)
    const from = words[at]?.from ?? 0
    return {
      kind: 'work',
      prose: cut(prose, from, prose.plain.length),
      order: opening.order,
      verb: verb.base,
      strength: verb.strength,
      capability: verb.strength === 'open' ? (object.capability ?? verb.capability) : verb.capability,
      refersBack: object.length === 0,
      isTests: false,
    }
  }

  private isAfterComma(from: number): boolean {
    return /[,:(—–-] ?$/.test(this.sentence.plain.slice(Math.max(0, from - 2), from))
  }

  private indexAt(place: number): number {
    let low = 0
    let high = this.words.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.words[middle]?.from ?? 0) < place) low = middle + 1
      else high = middle
    }
    return low
  }

  private word(at: number): string {
    return this.words[at]?.word ?? ''
  }
}

/** Up to the next comma, for patterns that may not look further. */
function clauseHead(rest: string): string {
  const comma = rest.indexOf(',', 12)
  return comma === -1 ? rest : rest.slice(0, comma)
}

/** Without joining words and marks at its ends. */
function trimJoins(prose: Prose): Prose {
  let end = prose.plain.length
  const begin = /^(?:(?:and|but|plus|then) )?/.exec(prose.plain)?.[0].length ?? 0
  for (let n = 0; n < 20 && end > 0; n++) {
    const last = prose.plain[end - 1] ?? ''
    const join = /(?:^| )(?:and|but|plus|then|so)$/.exec(prose.plain.slice(Math.max(0, end - 6), end))
    if (join) end -= join[0].length
    else if (',:([—– '.includes(last)) end--
    else if (last === '-' && prose.plain[end - 2] === ' ') end--
    else if (last === ')' && prose.plain.lastIndexOf('(', end) === -1) end--
    else break
  }
  return cut(prose, Math.min(begin, end), end)
}
