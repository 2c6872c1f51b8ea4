/** What the model itself says, where the specification is subtle. The SQL is held to the same rules by random histories. */
import { describe, expect, test } from 'vitest'
import { type Features, specified } from './features.js'
import type { AgentName, Rooms, WorkerName } from './fleet.js'
import { claim } from './rules/claims.js'
import { control, controlSystem, loseWorkers, release, silence, sweep, timePasses, wearOut } from './rules/control.js'
import { dispatch, promoteRetries, unblockRoutable } from './rules/dispatching.js'
import { complete, completeAndSpawn, expire, fail } from './rules/endings.js'
import { rerun } from './rules/rerun.js'
import { assign, decide, escalate, fallDue } from './rules/reviews.js'
import { execute, submit } from './rules/submission.js'
import { cancelSubtask, reassignSubtask, retrySubtask } from './rules/subtask-verbs.js'
import { expireWaits } from './rules/waits.js'
import { IllegalMove, Step } from './step.js'
import { type Draft, newWorld, type Over, type Subtask, type Task, type World } from './world.js'

const plenty: Rooms = { alpha: 9, beta: 9, both: 9, ann: 9, bob: 9 }
const draft = (name: string, more: Partial<Draft> = {}): Draft => ({
  name,
  dependsOn: [],
  onFailure: 'review',
  requiresApproval: false,
  route: 'alpha',
  attemptLimit: null,
  ...more,
})

/** One task and what happens to it, told by the names of its subtasks. */
class Story {
  world: World
  reply: unknown

  constructor(subtasks: readonly Draft[], { features = specified, executed = true }: { features?: Features; executed?: boolean } = {}) {
    const task = { name: 'a', orchestrator: 'default', priority: 0, subtasks }
    this.world = newWorld(features, [task])
    this.do(submit(this.world, { draft: task, firstId: 1, execute: executed, rooms: {}, unroutable: [] }))
  }

  do({ world, reply }: { world: World; reply: unknown }): this {
    this.world = world
    this.reply = reply
    return this
  }

  get task(): Task {
    return this.world.tasks[0] ?? expect.unreachable('it was submitted')
  }

  /** The one in force, or of the generation given. */
  of(name: string, generation?: number): Subtask {
    const all = this.world.subtasks.filter(s => s.name === name)
    const found = all.find(s => (generation === undefined ? !s.superseded : s.generation === generation))
    return found ?? expect.unreachable(`there is no ${name}`)
  }

  states(): Record<string, string> {
    return Object.fromEntries(this.world.subtasks.filter(s => !s.superseded).map(s => [s.name, s.state]))
  }

  runs(name: string, { worker = 'w1', agent = 'bob' }: { worker?: WorkerName; agent?: AgentName } = {}): this {
    if (this.of(name).state === 'ready') this.do(dispatch(this.world, plenty))
    const { id, attempt } = this.of(name)
    return this.do(claim(this.world, [{ subtask: id, attempt, claim: this.world.claims + 1, agent, worker }]))
  }

  report(name: string) {
    const { id, attempt, claim: held } = this.of(name)
    return { subtask: id, attempt, claim: held?.id ?? 0 }
  }

  completes(name: string): this {
    if (this.of(name).state !== 'running') this.runs(name)
    return this.do(complete(this.world, [{ ...this.report(name), output: '1' }], {}))
  }

  fails(name: string, retryable = true): this {
    if (this.of(name).state !== 'running') this.runs(name)
    return this.do(fail(this.world, [{ ...this.report(name), outcome: 'failed', retryable }], {}))
  }

  passes(clock: keyof Over, name: string): this {
    return this.do(timePasses(this.world, this.of(name).id, clock))
  }

  /** Its attempt is lost together with its worker. */
  loses(...names: string[]): this {
    for (const name of names) this.passes('lease', name)
    return this.do(expire(this.world, 'lost', 500, {}))
  }

  decides(name: string, decision: Parameters<typeof decide>[1]['decision']): this {
    const { id } = this.of(name)
    const nth = this.world.reviews.filter(r => r.subtask === id).length - 1
    const output = decision === 'supply' ? '2' : null
    return this.do(decide(this.world, { subtask: id, nth, decision, output, route: null, digest: null, rooms: {} }))
  }

  reviews(name: string): string[] {
    return this.world.reviews.filter(r => r.subtask === this.of(name).id).map(r => `${r.kind} ${r.status}`)
  }
}

const chain = [draft('p'), draft('q', { dependsOn: ['p'] }), draft('r', { dependsOn: ['q'] })]

test('nothing leaves a state but by a transition of the table', () => {
  const story = new Story(chain).completes('p')
  const step = new Step(story.world)
  const p = step.world.subtasks[0] ?? expect.unreachable()
  expect(() => step.move(p, 'cancel')).toThrow(IllegalMove)
})

test('the model given is never changed: a rule answers with another world', () => {
  const story = new Story(chain)
  const before = JSON.stringify(story.world)
  dispatch(story.world, plenty)
  control(story.world, 'cancel', 'a')
  expect(JSON.stringify(story.world)).toBe(before)
})

describe('attempts', () => {
  test('after the last charged one on_failure decides, with one review for each limit granted', () => {
    const story = new Story([draft('p', { attemptLimit: 1 })]).fails('p')
    expect(story.task.status).toBe('needs_review')
    story.decides('p', 'retry').fails('p')
    expect(story.of('p')).toMatchObject({ state: 'needs_review', charged: 2, attemptLimit: 2 })
    expect(story.reviews('p')).toEqual(['exhausted decided', 'exhausted open'])
  })

  test('free ends are capped', () => {
    const story = new Story([draft('p', { attemptLimit: 1 })]).runs('p')
    story.do(wearOut(story.world, story.of('p').id, 19))
    const released = () => fail(story.world, [{ ...story.report('p'), outcome: 'released', retryable: true }], {})
    story.do(released())
    expect(story.of('p')).toMatchObject({ state: 'ready', charged: 0, uncharged: 20 })
    story.runs('p').do(released())
    expect(story.of('p')).toMatchObject({ state: 'needs_review', charged: 1, uncharged: 20 })
  })

  test('a late report changes nothing, a repeated one neither', () => {
    const story = new Story([draft('p')]).runs('p')
    const first = { ...story.report('p'), output: '1' }
    story.loses('p').runs('p')
    story.do(complete(story.world, [first], {}))
    expect(story.reply).toMatchObject({ verdicts: ['stale'] })
    const second = { ...story.report('p'), output: '2' }
    story.do(complete(story.world, [second, second], {}))
    expect(story.reply).toMatchObject({ verdicts: ['accepted', 'duplicate'] })
    expect(story.task.status).toBe('completed')
  })

  test('what is spawned is waited for by whatever waits for the spawner', () => {
    const story = new Story(chain).runs('p')
    const item = { ...story.report('p'), output: '1' }
    story.do(completeAndSpawn(story.world, item, { drafts: [draft('child')], firstId: 50 }, plenty))
    expect(story.states()).toEqual({ p: 'completed', child: 'ready', q: 'pending', r: 'pending' })
    expect(story.completes('child').states()).toMatchObject({ q: 'ready' })
  })

  test('what is spawned into a task in manual mode waits to be released', () => {
    const story = new Story(chain, { executed: false })
    story.do(execute(story.world, { task: 'a', mode: 'manual', checkpoints: [], unroutable: [] }))
    story.do(release(story.world, 'a', 'p')).runs('p')
    story.do(completeAndSpawn(story.world, { ...story.report('p'), output: '1' }, { drafts: [draft('child')], firstId: 50 }, plenty))
    expect(story.of('child')).toMatchObject({ state: 'awaiting_approval', gate: 'release' })
  })
})

describe('suspects', () => {
  const crowd = [draft('p', { attemptLimit: 9 }), draft('q', { attemptLimit: 9 }), draft('r', { attemptLimit: 9 })]

  test('lost twice with its worker, it alone is charged for the third, and its neighbours go on free', () => {
    const story = new Story(crowd).runs('p').loses('p').runs('p').loses('p')
    expect(story.of('p')).toMatchObject({ losses: 2, charged: 2 })
    story.runs('p').runs('q').runs('r', { worker: 'w2' }).loses('p', 'q', 'r')
    expect(story.of('p')).toMatchObject({ losses: 3, charged: 3 })
    expect(story.of('q')).toMatchObject({ losses: 0, charged: 0, uncharged: 1 })
    expect(story.of('r')).toMatchObject({ losses: 1, charged: 1 }) // of another worker
  })

  test('a worker gets one at a time; the other is put off, uncharged', () => {
    const story = new Story(crowd)
    for (const name of ['p', 'q']) story.runs(name).loses(name).runs(name).loses(name)
    story.runs('p').runs('q')
    expect(story.reply).toEqual({ verdicts: ['held'] })
    expect(story.of('q')).toMatchObject({ state: 'retrying', charged: 2, uncharged: 0 })
    story.passes('backoff', 'q').do(promoteRetries(story.world, 500)).runs('q', { worker: 'w2' })
    expect(story.of('q').state).toBe('running')
  })
})

describe('waits and deadlines', () => {
  const overWait = (story: Story) => story.do(expireWaits(story.world, 500, {}))

  test('a queue wait that is over uses no attempt: a person is asked, and a provider with room is enough', () => {
    const story = overWait(new Story([draft('p')]).passes('queueWait', 'p'))
    expect(story.of('p')).toMatchObject({ state: 'blocked', attempt: 0, charged: 0 })
    expect(story.task.status).toBe('needs_review')
    story.do(unblockRoutable(story.world, { provided: ['alpha'], roomy: [] }))
    expect(story.of('p').state).toBe('blocked')
    story.do(unblockRoutable(story.world, { provided: ['alpha'], roomy: ['alpha'] }))
    expect([story.of('p').state, story.task.status, story.reviews('p')]).toEqual(['ready', 'running', ['unroutable closed']])
  })

  test.each([
    ['skip', 'skipped', 'completed'],
    ['continue', 'failed', 'completed'],
    ['fail', 'failed', 'failed'],
  ] as const)('under %s it is the end at once', (onFailure, state, status) => {
    const story = overWait(new Story([draft('p', { onFailure })]).passes('queueWait', 'p'))
    expect([story.of('p').state, story.task.status]).toEqual([state, status])
  })

  test('the deadline ends a subtask from whatever it waits for, and a running attempt without another', () => {
    const retrying = new Story([draft('p')]).fails('p').passes('deadline', 'p')
    expect(overWait(retrying).of('p')).toMatchObject({ state: 'needs_review', charged: 1 })
    const running = new Story([draft('p')]).runs('p').passes('deadline', 'p')
    running.do(expire(running.world, 'overdue', 500, {}))
    expect(running.of('p')).toMatchObject({ state: 'needs_review', charged: 1 })
  })

  test("a person's decision begins the deadline anew; a retry of what is in review is one", () => {
    const story = overWait(new Story([draft('p')]).passes('queueWait', 'p').passes('deadline', 'p'))
    expect(story.of('p').state).toBe('needs_review')
    story.decides('p', 'retry')
    expect(overWait(story).of('p').state).toBe('ready')
    const blocked = overWait(new Story([draft('p')]).passes('queueWait', 'p')).passes('deadline', 'p')
    blocked.do(retrySubtask(blocked.world, blocked.of('p').id))
    expect(overWait(blocked).of('p').state).toBe('ready')
  })

  test('nothing is over while its task is paused', () => {
    const story = new Story([draft('p')]).passes('deadline', 'p').passes('queueWait', 'p')
    overWait(story.do(control(story.world, 'pause', 'a')))
    expect(story.of('p').state).toBe('ready')
  })
})

describe('cancelling', () => {
  test('a subtask takes what depends on it with it, and its task cannot complete any more', () => {
    const story = new Story([...chain, draft('s')])
    story.do(cancelSubtask(story.world, story.of('p').id, {}))
    expect(story.states()).toEqual({ p: 'cancelled', q: 'cancelled', r: 'cancelled', s: 'ready' })
    expect(story.task.status).toBe('running')
    expect(story.completes('s').task.status).toBe('failed')
  })

  test('under skip its dependents go on, before the start of its task as well', () => {
    const planned = new Story([draft('p', { onFailure: 'skip' }), draft('q', { dependsOn: ['p'] })], { executed: false })
    planned.do(cancelSubtask(planned.world, planned.of('p').id, {}))
    expect(planned.states()).toEqual({ p: 'skipped', q: 'pending' })
    planned.do(execute(planned.world, { task: 'a', mode: 'auto', checkpoints: [], unroutable: [] }))
    expect(planned.states()).toEqual({ p: 'skipped', q: 'ready' })
  })

  test('a task of which all was cancelled before its start ends with it', () => {
    const story = new Story([draft('p')], { executed: false })
    story.do(cancelSubtask(story.world, story.of('p').id, {}))
    story.do(execute(story.world, { task: 'a', mode: 'auto', checkpoints: [], unroutable: [] }))
    expect(story.task.status).toBe('failed')
  })

  test('what runs is asked; whatever it reports acknowledges, and its result is dropped', () => {
    const story = new Story(chain).runs('p')
    story.do(cancelSubtask(story.world, story.of('p').id, {}))
    expect(story.of('p')).toMatchObject({ state: 'running', cancel: 'requested' })
    story.do(complete(story.world, [{ ...story.report('p'), output: '1' }], {}))
    expect(story.reply).toMatchObject({ verdicts: ['stale'], refused: [0] })
    story.fails('p')
    expect(story.of('p')).toMatchObject({ state: 'cancelled', cancel: 'acknowledged', charged: 0 })
    expect(story.task.status).toBe('failed')
  })

  test('what does not heed it in time is forced', () => {
    const story = new Story(chain).runs('p')
    story
      .do(control(story.world, 'cancel', 'a'))
      .do(sweep(story.world))
      .passes('grace', 'p')
    story.do(expire(story.world, 'unheeded', 500, {})).do(sweep(story.world))
    expect(story.of('p')).toMatchObject({ state: 'cancelled', cancel: 'forced' })
    expect(story.task).toMatchObject({ status: 'cancelled', sweeping: false })
  })

  test('a reassigned attempt ends uncharged, and its report is stale', () => {
    const story = new Story([draft('p')]).runs('p')
    const item = { ...story.report('p'), output: '1' }
    story.do(reassignSubtask(story.world, story.of('p').id, 'ann'))
    expect(story.of('p')).toMatchObject({ state: 'ready', route: 'ann', charged: 0, uncharged: 1 })
    story.do(complete(story.world, [item], {}))
    expect(story.reply).toMatchObject({ verdicts: ['stale'] })
  })
})

describe('reruns', () => {
  test('supersede what was opened downstream, and keep what is pending', () => {
    const story = new Story([...chain, draft('s', { dependsOn: ['r'] })]).completes('p').completes('q').runs('r')
    const late = { ...story.report('r'), output: '1' }
    story.do(rerun(story.world, { task: 'a', from: ['q'], firstId: 100 }))
    expect(story.of('r', 0)).toMatchObject({ state: 'cancelled', cancel: 'forced', superseded: true })
    expect(story.of('s')).toMatchObject({ generation: 0, dependsOn: [story.of('r').id] })
    expect(story.states()).toEqual({ p: 'completed', q: 'ready', r: 'pending', s: 'pending' })
    story.do(complete(story.world, [late], {}))
    expect(story.reply).toMatchObject({ verdicts: ['stale'] })
    expect(story.completes('q').completes('r').completes('s').task.status).toBe('completed')
  })

  test('of a finished task take along what was cancelled or failed without passing on', () => {
    const story = new Story([...chain, draft('s', { onFailure: 'fail', attemptLimit: 1 })]).completes('p').fails('s')
    story.do(sweep(story.world)).do(rerun(story.world, { task: 'a', from: ['p'], firstId: 100 }))
    expect(story.states()).toEqual({ p: 'ready', q: 'pending', r: 'pending', s: 'ready' })
    expect(story.task.status).toBe('running')
  })

  test('are refused before the start, while the task is being cancelled, and for what has not started', () => {
    const again = (story: Story, name: string) => story.do(rerun(story.world, { task: 'a', from: [name], firstId: 100 })).reply
    expect(again(new Story(chain, { executed: false }), 'p')).toEqual({ kind: 'refused' })
    expect(again(new Story(chain), 'q')).toEqual({ kind: 'refused' })
    const cancelled = new Story(chain)
    expect(again(cancelled.do(control(cancelled.world, 'cancel', 'a')), 'p')).toEqual({ kind: 'refused' })
  })

  test('bring gates again, and drop what the part had spawned', () => {
    const story = new Story([draft('p', { requiresApproval: true }), draft('q', { dependsOn: ['p'] })]).decides('p', 'approve').runs('p')
    story.do(completeAndSpawn(story.world, { ...story.report('p'), output: '1' }, { drafts: [draft('child')], firstId: 50 }, {}))
    story.do(rerun(story.world, { task: 'a', from: ['p'], firstId: 100 }))
    expect(story.states()).toEqual({ p: 'awaiting_approval', q: 'pending' })
    expect(story.of('q').dependsOn).toEqual([story.of('p').id])
    expect(story.reviews('p')).toEqual(['approval open'])
  })
})

test('a review past its due time goes to whom it escalates to, once', () => {
  const story = new Story([draft('p', { requiresApproval: true })])
  const review = { subtask: story.of('p').id, nth: 0 }
  story.do(assign(story.world, { ...review, assignee: 'eve', escalateTo: 'boss' }))
  story.do(fallDue(story.world, review)).do(escalate(story.world))
  expect(story.world.reviews[0]).toMatchObject({ assignee: 'boss', escalateTo: null, due: false, told: false })
  story.do(fallDue(story.world, review)).do(escalate(story.world))
  expect(story.world.reviews[0]).toMatchObject({ assignee: 'boss', told: true })
})

test('while everything is paused nothing starts, and what runs finishes', () => {
  const story = new Story(chain).runs('p')
  story.do(controlSystem(story.world, 'pause')).completes('p')
  expect(story.states()).toMatchObject({ p: 'completed', q: 'ready' })
  story.do(dispatch(story.world, plenty))
  expect(story.reply).toEqual({ jobs: [] })
})

test('a worker that fell silent is lost; its attempts are until their leases run out', () => {
  const story = new Story(chain).runs('p')
  story.do(silence(story.world, 'w1')).do(loseWorkers(story.world))
  expect(story.reply).toEqual({ lost: ['w1'] })
  expect(story.of('p').state).toBe('running')
})
