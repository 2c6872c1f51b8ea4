/**
 * Binds what points at steps by words: order ("before deploying") and gates ("after approval by ops").
 *
 * A gate stands before the step that its words name; else before the step that it introduces in its sentence; else before
 * the riskiest step there is: the last deployment, the last change of infrastructure, the last step.
 */
import type { Flow } from './flow.js'
import type { Lexicon } from './lexicon.js'
import type { Gate, OrderHint } from './passage-reader.js'
import { stepsMeant } from './references.js'
import { type Step, sinksOf, waitFor } from './step.js'
import { capabilities } from './vocabulary.js'

/** Adds the order that hints state; work that only a hint names becomes a step. */
export function bindOrder(hints: readonly OrderHint[], flow: Flow, lexicon: Lexicon): void {
  for (const { plain, relation, step, work } of hints) {
    const others = flow.steps.filter(other => other !== step)
    let meant = stepsMeant(plain, others, step.index, lexicon)
    if (work && !meant.some(other => other.capability === work.capability)) {
      const added = flow.add({ ...work, order: 'parallel' }, -1 - flow.steps.length, undefined)
      if (added) {
        added.after.clear()
        meant = [added]
      }
    }
    if (
      meant.length === 0 &&
      relation === 'after' &&
      /\b(?:done|finished|complete|completed|ready|merged|in place|implemented|built|live|landed|finish|completion)\b/.test(plain)
    )
      meant = sinksOf(flow.steps.slice(0, step.index))
    for (const other of meant) relation === 'before' ? waitFor(other, step) : waitFor(step, other)
  }
}

export function bindGates(gates: readonly Gate[], flow: Flow, lexicon: Lexicon): void {
  for (const gate of gates) for (const step of gatedBy(gate, flow.steps, lexicon)) step.requiresApproval = true
}

function gatedBy(gate: Gate, steps: readonly Step[], lexicon: Lexicon): readonly Step[] {
  if (steps.length === 0) return []
  const named = nameOfGated(gate.plain)
  const meant =
    named === undefined ? [] : stepsMeant(named, steps, gate.at, lexicon).filter(step => step.capability !== capabilities.review)
  if (meant.length > 0) return meant.slice(0, 1)
  if (gate.after.length > 0) return gate.after.slice(0, 1)
  if (gate.before.length > 0) return riskiest(gate.before)
  const next = steps[gate.at]
  if (next && /^(?:then )?(?:wait|get|obtain|ask|await|pause|stop|request|seek|hold|manual|approval|sign)/.test(gate.plain)) return [next]
  return riskiest(steps)
}

/** "… before X", "X needs sign-off": the words that name the gated step. */
function nameOfGated(plain: string): string | undefined {
  const before = /\b(?:before|prior to)\b(.{1,200})/.exec(plain)?.[1]
  if (before) return before
  return /^(.{3,160}?)\b(?:needs?|requires?|must|has to|have to|is|are|should|only|happens?|goes)\b/.exec(plain)?.[1]
}

function riskiest(steps: readonly Step[]): Step[] {
  const found =
    steps.findLast(step => step.isDeploy) ??
    steps.findLast(step => step.capability === capabilities.infrastructure) ??
    steps.findLast(step => step.capability !== capabilities.review) ??
    steps.at(-1)
  return found ? [found] : []
}
