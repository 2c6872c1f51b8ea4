/** Finds the steps that words such as "the deployment", "once the API is built" or "before deploying" speak of. */
import type { Lexicon } from './lexicon.js'
import { type Step, stemsOf } from './step.js'

/** How many of the closest steps are looked at; a text with more rarely means one of the far ones. */
const reach = 200

/** The best-fitting steps among `candidates`, nearest to `near` first looked at; empty when nothing fits. */
export function stepsMeant(plain: string, candidates: readonly Step[], near: number, lexicon: Lexicon): Step[] {
  const words = plain.slice(0, 240).match(/[a-z][a-z-]*/g) ?? []
  const spokenFor = new Set(words.map(word => lexicon.capabilityOf(word)).filter(capability => capability !== undefined))
  const stems = stemsOf(plain.slice(0, 240))
  const nearby = candidates.slice(Math.max(0, near - reach), near + reach)
  const scored = nearby.map(step => {
    let shared = 0
    for (const stem of stems) if (step.stems.has(stem)) shared++
    return { step, score: shared + (step.capability !== null && spokenFor.has(step.capability) ? 1.5 : 0) }
  })
  const best = Math.max(0, ...scored.map(({ score }) => score))
  return best === 0 ? [] : scored.filter(({ score }) => score === best).map(({ step }) => step)
}
