/** Claims: the gate between queued and running. The claim id is the lease token (I15). */
import { type AgentName, isEligible, type WorkerName } from '../fleet.js'
import { mayStart, Step } from '../step.js'
import { type Subtask, subtaskOf, taskOf, type World } from '../world.js'
import { giveBack } from './dispatching.js'
import { isSuspect } from './endings.js'

export interface ClaimItem {
  readonly subtask: number
  readonly attempt: number
  readonly claim: number
  readonly agent: AgentName
  readonly worker: WorkerName
}

export type ClaimVerdict = 'granted' | 'gone' | 'held' | 'not_eligible'

/** One verdict per item. The same item twice in one batch is one claim, and gets one answer. */
export function claim(before: World, items: readonly ClaimItem[]) {
  const step = new Step(before)
  const answers = new Map<string, ClaimVerdict>()
  const verdicts = items.map(item => {
    const key = JSON.stringify(item)
    const verdict = answers.get(key) ?? judge(step, item)
    answers.set(key, verdict)
    return verdict
  })
  step.world.claims = Math.max(step.world.claims, ...items.map(i => i.claim))
  step.settle()
  return { world: step.world, reply: { verdicts } }
}

function judge(step: Step, { subtask: id, attempt, claim: claimId, agent, worker }: ClaimItem): ClaimVerdict {
  const { world } = step
  const subtask = subtaskOf(world, id)
  if (subtask.attempt !== attempt) return 'gone'
  if (subtask.state === 'running') {
    if (subtask.claim?.id !== claimId) return 'gone'
    subtask.over.lease = false // who repeats a claim lives
    return 'granted'
  }
  if (subtask.state !== 'queued') return 'gone'
  if (!mayStart(world, taskOf(world, subtask.task))) return refuse(step, subtask, 'held')
  if (!isEligible(worker, agent, subtask.route)) return refuse(step, subtask, 'not_eligible')
  if (isSuspect(subtask) && (world.past ?? world).subtasks.some(s => isSuspect(s) && s.claim?.worker === worker)) {
    step.move(subtask, 'defer') // poison: one at a time
    return 'held'
  }
  step.move(subtask, 'claim')
  subtask.claim = { id: claimId, worker, agent }
  world.grants.push({ subtask: id, attempt, claim: subtask.claim })
  return 'granted'
}

function refuse(step: Step, subtask: Subtask, verdict: ClaimVerdict): ClaimVerdict {
  giveBack(step, subtask)
  return verdict
}

export interface HeartbeatItem {
  readonly worker: WorkerName
  readonly state: 'ready' | 'draining' | 'stopped'
  readonly active: readonly { readonly subtask: number; readonly claim: number }[]
}

/** Renews the leases of the claims that are still this worker's, and of no others. */
export function heartbeat(before: World, { worker: name, state, active }: HeartbeatItem) {
  const step = new Step(before)
  const { world } = step
  const worker = world.workers.find(w => w.name === name)
  if (!worker) throw new RangeError(`there is no worker ${name}`)
  const known = worker.state !== 'lost'
  const drain = worker.drain
  if (known) {
    worker.state = drain && state === 'ready' ? 'draining' : state
    worker.silent = false
  }
  const held = active.filter(({ subtask: id, claim: claimId }) => {
    const subtask = subtaskOf(world, id)
    const own = subtask.state === 'running' && subtask.claim?.id === claimId && subtask.claim.worker === name
    if (own) subtask.over.lease = false
    return own && subtask.cancel !== 'requested' // what is to stop is told so, and keeps its lease while it does
  })
  step.settle()
  return { world, reply: { known, drain, held: held.map(h => h.claim) } }
}
