/**
 * The order of steps as they are read. Steps of one stage run side by side; an order word begins the next stage, which
 * waits for the one before.
 *
 * F1 numbered items follow each other; bullets stand side by side unless a word orders them
 * F2 "finally" waits for everything; "first" makes what follows wait
 * F3 "document it" waits for what "it" is: the step before in the same passage
 */
import type { WorkClause } from './clause.js'
import type { Order } from './phrases.js'
import { isDeploy, type Step, sinksOf, stemsOf } from './step.js'

/** More steps than this are not read out of words; a request of that size names its subtasks. */
export const maxSteps = 2_000

export class Flow {
  readonly steps: Step[] = []
  /** How many were left out past `maxSteps`. */
  leftOut = 0
  private base: Step[] = []
  private stage: Step[] = []
  private nextWaits = false

  add(
    work: Omit<WorkClause, 'kind' | 'capability'> & { readonly capability: string | null },
    group: number,
    refersTo: Step | undefined,
  ): Step | undefined {
    if (this.steps.length >= maxSteps) {
      this.leftOut++
      return undefined
    }
    this.turn(work.order)
    const step: Step = {
      index: this.steps.length,
      capability: work.capability,
      verb: work.verb,
      title: titleOf(work.prose.text),
      group,
      stems: stemsOf(work.prose.plain),
      isDeploy: work.capability !== null && isDeploy({ ...work, capability: work.capability }),
      after: new Set(this.base),
      constraints: [],
      acceptance: [],
      requiresApproval: false,
    }
    if (refersTo) step.after.add(refersTo) // F3
    this.steps.push(step)
    this.stage.push(step)
    if (work.order === 'first') this.nextWaits = true // F2
    return step
  }

  /** The next step waits for the present stage. */
  expectOrder(order: Order | null): void {
    if (order === 'then' || order === 'finally') this.nextWaits = true
  }

  /** Runs `read` as an item of a list. */
  item(isOrdered: boolean, isFirst: boolean, startsWith: Order | null, read: () => void): void {
    if (isOrdered) {
      if (!isFirst && this.stage.length > 0 && startsWith !== 'parallel') this.advance(sinksOf(this.stage))
      read()
      return
    }
    if (startsWith === 'then' || startsWith === 'finally' || startsWith === 'first' || this.nextWaits) {
      read()
      return
    }
    const { base, stage } = this
    const from = this.steps.length
    this.stage = []
    read()
    this.base = base
    this.stage = [...stage, ...this.steps.slice(from)] // F1
  }

  private turn(order: Order | null): void {
    if (order === 'parallel') {
      this.nextWaits = false
      return
    }
    if (order === 'finally') this.advance(sinksOf(this.steps))
    else if ((order === 'then' || this.nextWaits) && this.stage.length > 0) this.advance(sinksOf(this.stage))
    this.nextWaits = false
  }

  private advance(base: Step[]): void {
    this.base = base
    this.stage = []
  }
}

const longestTitle = 500

export function titleOf(text: string): string {
  let end = Math.min(text.length, longestTitle)
  while (end > 0 && ' ,;:.'.includes(text[end - 1] ?? '')) end--
  const title = text.slice(0, end || longestTitle).toWellFormed()
  return title.charAt(0).toUpperCase() + title.slice(1)
}
