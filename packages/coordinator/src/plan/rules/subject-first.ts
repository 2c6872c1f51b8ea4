/** Work that is not given as an order: "we need a dashboard", "the docs have to be updated", "the module needs refactoring". */
import type { WorkClause } from './clause.js'
import type { Lexicon } from './lexicon.js'
import type { Word } from './sentences.js'
import { capabilities } from './vocabulary.js'

type Work = Omit<WorkClause, 'kind' | 'prose' | 'order'>

const wishers = new Set(['we', 'i', "we'd", "i'd"])
const wishes = new Set(['need', 'want', 'require', 'like', 'love'])
const fillers = new Set(['also', 'really', 'still', 'now', 'would', 'do', 'then', 'just', 'urgently', 'to', 'have', 'get'])

/** "We need a dashboard for finance": the thing says the capability; development when it says nothing. */
export function readWish(words: readonly Word[], begin: number, lexicon: Lexicon): Work | undefined {
  let at = begin
  if (wishers.has(words[at]?.word ?? '')) at++
  else if (!/^(?:need|needed|wanted|want)$/.test(words[at]?.word ?? '')) return undefined
  while (fillers.has(words[at]?.word ?? '')) at++
  const word = words[at]?.word ?? ''
  if (!wishes.has(word) && !/^(?:needed|wanted)$/.test(word)) return undefined
  at++
  while (fillers.has(words[at]?.word ?? '') || words[at]?.word === ':') at++
  if (/^(?:it|this|that|them|these|those)$/.test(words[at]?.word ?? '')) return undefined
  const thing = lexicon.nounPhraseAt(words, at)
  if (thing.length === 0 || /^(?:help|you|approval|sign-off|access|more|time|input)$/.test(thing.head)) return undefined
  return {
    verb: '',
    strength: 'thing',
    capability: thing.capability ?? capabilities.development,
    refersBack: false,
    isTests: /^tests?$/.test(thing.head),
  }
}

/**
 * "The docs need to be updated", "it must be deployed to staging", "the module needs refactoring", "the API needs docs".
 * With "should" only verbs that are sure of their capability count: "sessions should be stored" is about the product.
 */
export function readPassive(words: readonly Word[], begin: number, lexicon: Lexicon, isFirst: boolean): Work | undefined {
  const last = Math.min(words.length, begin + 14)
  for (let at = begin + 1; at < last; at++) {
    const word = words[at]?.word ?? ''
    const isNeed = /^(?:needs?|requires?|lacks)$/.test(word)
    const isPlanned = /^(?:is|are)$/.test(word) && words[at + 1]?.word === 'to' && words[at + 2]?.word === 'be'
    if (!isNeed && !isPlanned && !/^(?:must|should|has|have|shall|ought)$/.test(word)) continue
    if (!isNeed && !isPlanned && !isFirst && word !== 'must') continue
    const subject = lexicon.nounPhraseAt(words, begin)
    let next = at + 1
    while (/^(?:to|also|then|now|all|first|both)$/.test(words[next]?.word ?? '')) next++
    if (/^(?:be|get)$/.test(words[next]?.word ?? '')) {
      next++
      while (/^(?:also|then|first|properly|fully)$/.test(words[next]?.word ?? '')) next++
      const verb = lexicon.verbAt(words, next, 'participle')
      if (!verb) return undefined
      const isSure = verb.strength === 'plain' || verb.strength === 'own'
      const isAboutWork = subject.capability !== undefined || isNeed || word === 'has' || word === 'have'
      if (verb.strength === 'weak' || verb.strength === 'helper' || (!isSure && !isAboutWork)) return undefined
      const capability = isSure ? verb.capability : (subject.capability ?? verb.capability)
      return {
        verb: verb.base,
        strength: verb.strength,
        capability,
        refersBack: /^(?:it|this|that|they|everything|all|both)$/.test(words[begin]?.word ?? ''),
        isTests: false,
      }
    }
    if (!isNeed) return undefined
    const gerund = lexicon.verbAt(words, next, 'gerund')
    if (gerund && gerund.strength !== 'weak' && gerund.strength !== 'helper')
      return {
        verb: gerund.base,
        strength: gerund.strength,
        capability: gerund.strength === 'open' ? (subject.capability ?? gerund.capability) : gerund.capability,
        refersBack: false,
        isTests: false,
      }
    const thing = lexicon.nounPhraseAt(words, next)
    const isWork = thing.capability === capabilities.documentation || thing.capability === capabilities.review
    return isWork ? { verb: '', strength: 'thing', capability: thing.capability ?? '', refersBack: true, isTests: false } : undefined
  }
  return undefined
}
