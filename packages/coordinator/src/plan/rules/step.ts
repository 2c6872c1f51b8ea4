/** A step of work that the rules found, before it becomes a subtask; and what may be asked of a graph of steps. */
import type { WorkClause } from './clause.js'
import { capabilities } from './vocabulary.js'

export interface Step {
  /** Its place in reading order. */
  readonly index: number
  /** Null when nothing that is known fits: the planner's fallback. */
  readonly capability: string | null
  readonly verb: string
  readonly title: string
  /** Steps of one sentence are reviewed together. */
  readonly group: number
  /** The words it is about, cut to their stems. */
  readonly stems: ReadonlySet<string>
  /** It puts something into use, so what it puts must be reviewed before. */
  readonly isDeploy: boolean
  readonly after: Set<Step>
  readonly constraints: string[]
  readonly acceptance: string[]
  requiresApproval: boolean
}

const deployVerbs = /^(?:deploy|redeploy|release|roll out|rollout|ship|publish|promote|go live|push to|canary|cut)/
const deployThings = /\b(?:deploy|release|deployment|rollout|canary)\b/
const deployMeans = /\b(?:pipelines?|workflows?|process|automation|scripts?|jobs?|actions)\b/

export function isDeploy(work: Pick<WorkClause, 'capability' | 'verb' | 'prose'>): boolean {
  if (work.capability !== capabilities.delivery) return false
  const plain = work.prose.plain.slice(0, 200)
  return deployVerbs.test(work.verb) || (deployThings.test(plain) && !deployMeans.test(plain))
}

const stopWords = new Set(
  'the a an and or of to in on for with from into by at as is are be it its this that these those our your their all both new also then them they we you i so up out if not no only when after before once done ready finished complete completed merged please must should need needs any some each every has have been was were will can could would per via using use add make create write update set implement build fix'.split(
    ' ',
  ),
)

/** The words that say what a text is about. Stems are the first six letters, which is enough to match "migrate" and "migration". */
export function stemsOf(plain: string): Set<string> {
  const stems = new Set<string>()
  for (const [word] of plain.slice(0, 600).matchAll(/[\p{L}\p{N}]{2,}/gu)) if (!stopWords.has(word)) stems.add(stemOf(word))
  return stems
}

const stemOf = (word: string): string => word.replace(/(?:ies|es|s|ing|ed|ion|ment)$/, '').slice(0, 6) || word

/** Those of `steps` that none of the others waits for. */
export function sinksOf(steps: readonly Step[]): Step[] {
  const awaited = new Set<Step>()
  for (const step of steps) for (const earlier of step.after) awaited.add(earlier)
  return steps.filter(step => !awaited.has(step))
}

/** Everything that `step` waits for, directly or through others. */
export function ancestorsOf(step: Step): Set<Step> {
  const found = new Set<Step>()
  const open = [...step.after]
  for (let next = open.pop(); next; next = open.pop()) {
    if (found.has(next)) continue
    found.add(next)
    for (const earlier of next.after) open.push(earlier)
  }
  return found
}

/** Lets `step` wait for `earlier`, unless that would close a circle. */
export function waitFor(step: Step, earlier: Step): boolean {
  if (step === earlier || step.after.has(earlier)) return step !== earlier
  if (ancestorsOf(earlier).has(step)) return false
  step.after.add(earlier)
  return true
}
