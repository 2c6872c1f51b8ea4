/**
 * Looks words up: which verb begins here, in which form, and what the things after it say. Made once for a planner, with
 * the user's own verbs before the built-in ones.
 */
import type { VerbRule } from '@baton/shared'
import type { Word } from './sentences.js'
import { capabilities, helperVerbs, nounLikeVerbs, openVerbs, plainVerbs, things, thingsAfterNoun, weakVerbs } from './vocabulary.js'

/** `own`: the user's. `plain`: sure of its capability. `open`: its object decides. `weak`: perhaps a detail. `helper`: nothing without a known object. */
export type Strength = 'own' | 'plain' | 'open' | 'weak' | 'helper'
export type Form = 'base' | 'gerund' | 'participle'

export interface Verb {
  readonly base: string
  readonly strength: Strength
  /** What it means by itself; development for open and weak verbs. */
  readonly capability: string
}

export interface FoundVerb extends Verb {
  /** How many words it takes. */
  readonly length: number
}

export interface NounPhrase {
  /** The word after the phrase. */
  readonly end: number
  /** Its last word. */
  readonly head: string
  /** What the thing belongs to, when the vocabulary knows it. */
  readonly capability: string | undefined
  readonly length: number
}

export interface Lexicon {
  /** The longest verb that begins at word `at` in that form. */
  verbAt(words: readonly Word[], at: number, form?: Form): FoundVerb | undefined
  /** The noun phrase that begins at word `at`; its length is 0 when there is none. */
  nounPhraseAt(words: readonly Word[], at: number): NounPhrase
  /** The capability that a single word speaks for, as a verb in any form or as a thing. */
  capabilityOf(word: string): string | undefined
}

const longestVerb = 4
const articles = new Set([
  'a',
  'an',
  'the',
  'our',
  'its',
  'their',
  'your',
  'my',
  'some',
  'any',
  'new',
  'all',
  'this',
  'that',
  'these',
  'those',
  'another',
  'each',
  'every',
  'both',
])
const writtenParts = new Set('entry entries section sections page pages paragraph chapter article draft file files text changes'.split(' '))
const madeParts = new Set(
  'configuration config definition definitions setup code manifest manifests stage stages step steps template templates policy policies'.split(
    ' ',
  ),
)
const phraseEnds = new Set(
  'for to in on with of from into onto at by via using so that which who where when while if unless and or but then plus before after once until without including as because since per about through between under over within across against is are was were be has have should must can will would could may might needs need , : ( ) [ ] — – - instead during based such also too afterwards later again today tomorrow now asap please here there first finally next whenever how why whether'.split(
    ' ',
  ),
)

export function createLexicon(rules: readonly VerbRule[]): Lexicon {
  const forms = { base: new Map<string, Verb>(), gerund: new Map<string, Verb>(), participle: new Map<string, Verb>() }
  const learn = (base: string, strength: Strength, capability: string): void => {
    const verb = { base, strength, capability }
    const [first = '', ...rest] = base.split(' ')
    for (const [form, inflected] of [
      ['base', first],
      ['gerund', gerund(first)],
      ['participle', participle(first)],
    ] as const) {
      const phrase = [inflected, ...rest].join(' ')
      if (!forms[form].has(phrase)) forms[form].set(phrase, verb)
    }
  }
  for (const { verbs, capability } of rules) for (const verb of verbs) learn(verb.toLowerCase().trim(), 'own', capability)
  for (const [capability, verbs] of Object.entries(plainVerbs)) for (const verb of verbs) learn(verb, 'plain', capability)
  for (const verb of openVerbs) learn(verb, 'open', capabilities.development)
  for (const verb of helperVerbs) learn(verb, 'helper', capabilities.development)
  for (const verb of weakVerbs) learn(verb, 'weak', capabilities.development)

  const thingOf = new Map<string, string>()
  for (const [capability, names] of Object.entries(things)) for (const name of names) if (!thingOf.has(name)) thingOf.set(name, capability)

  /** "A changelog entry", "the pipeline configuration": a part of a thing belongs where the thing does. */
  const capabilityOfPart = (names: readonly string[]): string | undefined => {
    const whole = thingOf.get(names.at(-2) ?? '')
    const parts = whole === capabilities.documentation ? writtenParts : madeParts
    return parts.has(names.at(-1) ?? '') && whole !== capabilities.development && whole !== capabilities.review ? whole : undefined
  }

  return {
    verbAt(words, at, form = 'base') {
      for (let length = Math.min(longestVerb, words.length - at); length > 0; length--) {
        const phrase =
          length === 1
            ? (words[at]?.word ?? '')
            : words
                .slice(at, at + length)
                .map(w => w.word)
                .join(' ')
        const verb = forms[form].get(phrase)
        if (!verb) continue
        if (form === 'base' && verb.strength !== 'own' && isNounHere(words, at, length)) return undefined
        return { ...verb, length }
      }
      return undefined
    },
    nounPhraseAt(words, at) {
      let begin = at
      while (articles.has(words[begin]?.word ?? '')) begin++
      let end = begin
      while (end < words.length && end - begin < 12 && !phraseEnds.has(words[end]?.word ?? '')) end++
      const names = words.slice(begin, end).map(w => w.word)
      let capability: string | undefined
      for (let n = Math.max(0, names.length - 3); n < names.length && !capability; n++) capability = thingOf.get(names.slice(n).join(' '))
      capability ??= capabilityOfPart(names)
      return { end, head: names.at(-1) ?? '', capability, length: names.length }
    },
    capabilityOf: word => (forms.base.get(word) ?? forms.gerund.get(word) ?? forms.participle.get(word))?.capability ?? thingOf.get(word),
  }
}

/** "Release notes", "deploy button": a verb's word that names a thing. */
function isNounHere(words: readonly Word[], at: number, length: number): boolean {
  if (length > 1 || !nounLikeVerbs.has(words[at]?.word ?? '')) return false
  const next = words[at + 1]?.word ?? ''
  return thingsAfterNoun.has(next)
}

const irregular: Readonly<Record<string, string>> = {
  write: 'written',
  rewrite: 'rewritten',
  build: 'built',
  rebuild: 'rebuilt',
  set: 'set',
  cut: 'cut',
  make: 'made',
  spin: 'spun',
  stand: 'stood',
  put: 'put',
  let: 'let',
  go: 'gone',
  get: 'got',
  redo: 'redone',
  send: 'sent',
  show: 'shown',
  hide: 'hidden',
  split: 'split',
  bring: 'brought',
  run: 'run',
  tear: 'torn',
}
const doubling = new Set('ship set cut drop plan spin put let split get swap stop log run port-map wrap'.split(' '))

function gerund(verb: string): string {
  if (doubling.has(verb)) return `${verb}${verb.at(-1)}ing`
  if (verb.endsWith('e') && !verb.endsWith('ee')) return `${verb.slice(0, -1)}ing`
  return `${verb}ing`
}

function participle(verb: string): string {
  const known = irregular[verb]
  if (known) return known
  if (doubling.has(verb)) return `${verb}${verb.at(-1)}ed`
  if (verb.endsWith('e')) return `${verb}d`
  if (/[^aeiou]y$/.test(verb)) return `${verb.slice(0, -1)}ied`
  return `${verb}ed`
}
