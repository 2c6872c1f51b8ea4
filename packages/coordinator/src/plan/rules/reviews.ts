/**
 * Review follows development, and deployment follows review.
 *
 * V1 every development step is reviewed: by a review of the request that waits for it, else by one that is added
 * V2 steps of one sentence share a review, and so do the steps of a chain (its last step is reviewed); independent items
 *    get one each, because one slow item should not hold up the review of the others
 * V3 a deployment waits for the development and the infrastructure that stand before it in the text, and for their reviews
 * V4 "no review needed" adds none
 */
import { ancestorsOf, type Step, waitFor } from './step.js'
import { capabilities } from './vocabulary.js'

export interface AddedReview {
  readonly reviews: readonly Step[]
  readonly step: Step
}

/** Past this many steps, only the order that the text states is kept. */
const largeGraph = 400

/** V3, before reviews are added: a deployment waits for what was made since the deployments before it, and for those. */
export function orderDeployments(steps: readonly Step[]): void {
  const isForward = steps.every(step => [...step.after].every(earlier => earlier.index < step.index))
  let made: Step[] = []
  let deployed: Step[] = []
  let before: Step[] = []
  for (const step of steps) {
    if (step.isDeploy) {
      const isNewRun = made.length > 0 || deployed.length === 0
      if (isNewRun) {
        before = [...made, ...deployed]
        made = []
        deployed = []
      }
      const direct = before.filter(earlier => earlier.after.size === 0 || steps.length <= largeGraph)
      for (const earlier of direct) isForward ? step.after.add(earlier) : waitFor(step, earlier)
      deployed.push(step)
    } else if (
      step.capability === capabilities.development ||
      step.capability === capabilities.infrastructure ||
      step.capability === capabilities.review
    )
      made.push(step)
  }
}

/** Lets reviews that the request names ("review the changes") wait for what they speak of: development, else infrastructure. */
export function orderNamedReviews(steps: readonly Step[], refersBack: ReadonlySet<Step>): void {
  for (const review of steps) {
    if (review.capability !== capabilities.review || !refersBack.has(review)) continue
    const earlier = steps.slice(0, review.index)
    const developed = earlier.filter(step => step.capability === capabilities.development)
    const reviewed = developed.length > 0 ? developed : earlier.filter(step => step.capability === capabilities.infrastructure)
    for (const step of reviewed) waitFor(review, step)
  }
}

/** V1, V2: the reviews that are missing. Deployments after a reviewed step are made to wait for its review. */
export function addReviews(steps: readonly Step[]): AddedReview[] {
  const covered = new Set<Step>()
  for (const step of steps) if (step.capability === capabilities.review) for (const earlier of ancestorsOf(step)) covered.add(earlier)
  const open = steps.filter(step => step.capability === capabilities.development && !covered.has(step))
  const ends = endsOfChains(open, steps)

  const groups = new Map<number, Step[]>()
  for (const step of ends) {
    const group = groups.get(step.group)
    if (group && !group.some(other => waits(step, other))) group.push(step)
    else if (!group) groups.set(step.group, [step])
    else groups.set(-1 - step.index, [step])
  }
  return [...groups.values()].map((reviews, n) => {
    const review = reviewOf(reviews, steps.length + n)
    for (const step of steps) {
      if (!step.isDeploy || !reviews.some(reviewed => step.after.has(reviewed))) continue
      for (const reviewed of reviews) step.after.delete(reviewed)
      step.after.add(review)
    }
    return { reviews, step: review }
  })
}

/** The last step of each chain of development, and each step that is deployed before its chain goes on. */
function endsOfChains(development: readonly Step[], steps: readonly Step[]): Step[] {
  const followers = new Map<Step, Step[]>()
  for (const step of development) for (const earlier of step.after) followers.set(earlier, [...(followers.get(earlier) ?? []), step])
  const deployedEarly = new Set<Step>()
  for (const deployment of steps) {
    if (!deployment.isDeploy) continue
    for (const step of deployment.after) if (!followers.get(step)?.some(follower => deployment.after.has(follower))) deployedEarly.add(step)
  }
  return development.filter(step => !followers.has(step) || deployedEarly.has(step))
}

/** Whether one of two steps waits for the other through a deployment; such steps cannot share a review. */
function waits(a: Step, b: Step): boolean {
  return ancestorsOf(a).has(b) || ancestorsOf(b).has(a)
}

function reviewOf(reviews: readonly Step[], index: number): Step {
  const [only] = reviews
  const title =
    reviews.length === 1 && only ? `Review: ${only.title}`.slice(0, 500).toWellFormed() : `Review ${reviews.length} changes together`
  return {
    index,
    capability: capabilities.review,
    verb: 'review',
    title,
    group: -1,
    stems: new Set(),
    isDeploy: false,
    after: new Set(reviews),
    constraints: [],
    acceptance: [],
    requiresApproval: false,
  }
}
