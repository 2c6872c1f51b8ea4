/**
 * Places in the code where a test makes a process die, freeze or fail: `BATON_FAILPOINT=dispatch.after-enqueue:kill`.
 *
 * Invariants: P1 nothing is armed unless the environment says so, and production refuses it (env.ts). P2 an unarmed point
 * costs one test of a variable. P3 a line on stderr, written synchronously, says that the point was reached before
 * anything happens there; so a test can demand that it was.
 */
import { writeSync } from 'node:fs'

/** The closed table of points: each stands in the code once or more, by this name. */
export const failpoints = {
  'submit.before-commit': 'A plan is made, its graph is not committed.',
  'submit.after-graph': 'The graph is committed, nothing of it is dispatched.',
  'submit.after-commit': 'The graph is committed and rung, the caller is not answered.',
  'dispatch.after-claim': 'Ready rows are committed as queued, none is rung.',
  'dispatch.mid-enqueue': 'The first half of a batch is in the queues, the rest is not.',
  'dispatch.after-enqueue': 'A batch is in the queues, nothing has followed.',
  'collect.claim-before-commit': 'Claims are received, not committed.',
  'collect.claim-after-commit': 'Claims are committed, not answered.',
  'collect.before-commit': 'Reports are received, not committed.',
  'collect.after-commit': 'Reports are committed; nothing that follows is rung, nobody is answered.',
  'notify.before-send': 'Deliveries of webhooks are leased, nothing is sent.',
  'watch.mid-sweep': 'Late or lost attempts are ended in Postgres, nothing has followed.',
  'migrate.mid': "A migration's statements ran, its transaction is open.",
  'worker.after-fetch': 'A job is fetched, not claimed.',
  'worker.after-claim': 'A claim is granted, the agent has not begun.',
  'worker.after-run': 'The agent is done, nothing is reported.',
  'worker.after-report-sent': 'A report has reached the bus, its answer is not awaited.',
  'worker.after-answer': 'A report is answered, the job is not finished.',
} as const
export type FailpointName = keyof typeof failpoints

/** `throw`: as if the connection had broken, so that nobody knows what became of it. `deadlock`: as Postgres reports one. */
export const failpointActions = ['kill', 'stop', 'throw', 'deadlock'] as const
export type FailpointAction = (typeof failpointActions)[number]

export interface ArmedFailpoint {
  readonly name: FailpointName
  readonly action: FailpointAction
  /** On which pass it acts, from 1; on no other. */
  readonly nth: number
}

interface Armed extends ArmedFailpoint {
  passes: number
}

let armed: Armed[] | undefined // P2

/** Reads `name:action[:nth]`, separated by commas; answers with everything that is wrong with it. */
export function parseFailpoints(text: string): { readonly points: readonly ArmedFailpoint[]; readonly problems: readonly string[] } {
  const points: ArmedFailpoint[] = []
  const problems: string[] = []
  for (const item of text.split(',').map(part => part.trim())) {
    if (item === '') continue
    const [name = '', action = '', nth = '1', ...rest] = item.split(':')
    if (!Object.hasOwn(failpoints, name))
      problems.push(`${JSON.stringify(name)} is no failpoint; known are ${Object.keys(failpoints).join(', ')}`)
    else if (!(failpointActions as readonly string[]).includes(action))
      problems.push(`${name} needs an action, one of ${failpointActions.join(', ')}, as in ${name}:kill`)
    else if (!/^[1-9]\d{0,8}$/.test(nth) || rest.length > 0)
      problems.push(`${item}: what follows the action is the number of the pass, from 1`)
    else points.push({ name: name as FailpointName, action: action as FailpointAction, nth: Number(nth) }) // both just looked up
  }
  return { points, problems }
}

/** Arms these points and no others; counts from the first pass again. */
export function armFailpoints(points: readonly ArmedFailpoint[]): void {
  armed = points.length === 0 ? undefined : points.map(point => ({ ...point, passes: 0 }))
}

/** A place where a test may strike. Does nothing unless it is armed; then it may throw, freeze, or never return. */
export function failpoint(name: FailpointName): void {
  if (armed === undefined) return // P2
  const due = pass(armed, name)
  if (due) act(due)
}

/** As `failpoint`, in the middle of something: does the first part of the work only when it is about to act. */
export function failpointAfter(name: FailpointName, firstPart: () => Promise<unknown>): Promise<void> | undefined {
  if (armed === undefined) return undefined // P2
  const due = pass(armed, name)
  return due && firstPart().then(() => act(due))
}

/** Counts a pass; the point that acts on this one. */
function pass(points: readonly Armed[], name: FailpointName): Armed | undefined {
  let due: Armed | undefined
  for (const point of points) if (point.name === name && ++point.passes === point.nth) due = point
  return due
}

function act({ name, action }: ArmedFailpoint): void {
  writeSync(2, `failpoint ${name} reached\n`) // P3
  switch (action) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) // whatever the kernel takes to end us, nothing follows
      break
    case 'stop':
      process.kill(process.pid, 'SIGSTOP')
      break
    case 'throw':
      throw Object.assign(new Error(`Connection terminated by failpoint ${name}`), { code: 'ECONNRESET' })
    case 'deadlock':
      throw Object.assign(new Error(`deadlock by failpoint ${name}`), { code: '40P01' })
  }
}
