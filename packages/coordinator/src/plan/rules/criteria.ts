/** Sorts sentences that hold no work: limits of the work, criteria of its success, or remarks. */
import type { Lexicon } from './lexicon.js'
import { wordsOf } from './sentences.js'

const limits =
  /\b(?:must not|mustn't|should not|shouldn't|may not|cannot|can't|can not|do not|don't|does not|doesn't|never|without|no (?:downtime|new|breaking|changes?|more|data|other|extra|external|code|additional|third|one|longer|user|customer|impact|regressions?|schema)|zero[- ]downtime|only|at most|no more than|not more than|exceed|avoid|untouched|unchanged|as (?:it|they) (?:is|are)|intact|(?:must|should|has to|have to|needs? to|shall) (?:stay|remain|keep|continue|still|be kept|be preserved|be (?:backwards?[- ]compatible|compatible))|stays?|remains?|backwards?[- ]compatib\w+|compatible with|off[- ]limits|forbidden|not allowed|prohibited|hands off|keep|limited to|restricted to|budget)\b/
const criteria =
  /\b(?:should|must|shall|needs? to|has to|have to|so that|expected|is done when|are done when|done when|success|verif(?:y|ied)|passes|pass|covered by|works? (?:on|in|with|when|if|for)|make sure|ensure)\b/
const behaviourDriven = /^(?:and )?(?:given|scenario|when .{1,120} then|then)\b/
const ran =
  /\b(?:was|were|had|did|yesterday|last (?:week|month|night|year|time|monday|tuesday|wednesday|thursday|friday|sprint|release)|already|ago|used to|complained|reported)\b/

export type Meaning = 'constraint' | 'acceptance' | 'remark'

export function meaningOf(plain: string): Meaning {
  const head = plain.slice(0, 600)
  if (behaviourDriven.test(head)) return 'acceptance'
  if (ran.test(head) && !/\bmust\b/.test(head)) return 'remark'
  if (limits.test(head)) return 'constraint'
  return criteria.test(head) ? 'acceptance' : 'remark'
}

/** The capability that a negation leaves out ("no review needed", "do not deploy"), when it names one. */
export function capabilityLeftOut(plain: string, lexicon: Lexicon): string | undefined {
  if (!/^(?:but |and |please |so )?(?:no|skip|without|do not|don't|never|not)\b/.test(plain)) return undefined
  const words = wordsOf(plain.slice(0, 120))
  for (let at = 1; at < Math.min(words.length, 5); at++) {
    const capability =
      lexicon.nounPhraseAt(words, at).capability ?? lexicon.verbAt(words, at)?.capability ?? lexicon.verbAt(words, at, 'gerund')?.capability
    if (capability) return capability
  }
  return undefined
}
