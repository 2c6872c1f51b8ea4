import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { type Isolation, type Outcome, queueName } from '@baton/shared'
import { MemoryBusHub, MemoryQueue, silentLogger } from '@baton/shared/node'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Agent, defineAgent } from '../agent.js'
import { httpAgent } from '../agents/http.js'
import { startHost } from '../host.js'
import { grant, startFakeCoordinator } from '../testing/fake-coordinator.js'
import { testRun } from '../testing/port.js'
import { IsolatedPool, type IsolatedPoolOptions } from './pool.js'
import { checkIsolation, Runners } from './runners.js'

const module = new URL('../testing/probe-agents.mjs', import.meta.url).href
const probe = (isolation?: Isolation): Agent =>
  defineAgent({ name: 'probe', module, ...(isolation && { isolation }), run: () => 'ran in the worker' })
const opened: Runners[] = []
afterEach(() => Promise.all(opened.splice(0).map(runners => runners.stop())))
function open() {
  const made: IsolatedPoolOptions[] = []
  const runners = new Runners({
    log: silentLogger(),
    createPool: options => {
      made.push(options)
      return new IsolatedPool(options)
    },
  })
  opened.push(runners)
  return { runners, made }
}

describe('where an attempt runs', () => {
  test.each<[Isolation, Isolation | null, Isolation]>([
    ['inline', null, 'inline'],
    ['inline', 'inline', 'inline'],
    ['inline', 'thread', 'thread'],
    ['inline', 'process', 'process'],
    ['thread', null, 'thread'],
    ['thread', 'inline', 'thread'],
    ['thread', 'process', 'process'],
    ['process', 'thread', 'process'],
    ['process', null, 'process'],
  ])('an agent that runs %s, for a subtask that asks for %s, runs %s', (own, asked, where) => {
    const { runners, made } = open()
    const runner = runners.runnerFor(probe(own), asked)
    expect(runners.runnerFor(probe(own), asked) === runner).toBe(where !== 'inline')
    expect(made).toMatchObject(where === 'inline' ? [] : [{ agent: 'probe', isolation: where, concurrency: 1 }])
    expect(runners.pools).toHaveLength(made.length)
  })

  test('what is no module does its work elsewhere already', async () => {
    const { runners, made } = open()
    runners.runnerFor(httpAgent({ name: 'remote', url: 'http://127.0.0.1:1' }), 'process')
    expect(made).toEqual([])
  })

  test('a closure runs where nothing more is asked, and fails for good where it is', async () => {
    const { runners } = open()
    const closure = defineAgent({ name: 'closure', run: () => 1 })
    expect(await runners.runnerFor(closure, null).run(testRun(null))).toEqual({ kind: 'returned', output: '1' })
    expect(await runners.runnerFor(closure, 'thread').run(testRun(null))).toMatchObject({
      kind: 'failed',
      failure: { code: 'isolation_unavailable', retryable: false, message: expect.stringMatching(/^agent closure cannot run in a thread/) },
    })
  })

  test('after the stop nothing is started any more', async () => {
    const { runners } = open()
    await runners.stop()
    expect(await runners.runnerFor(probe(), 'thread').run(testRun(null))).toMatchObject({ failure: { code: 'worker_draining' } })
  })
})

describe('at the start', () => {
  test('one child of each isolated agent is brought up', async () => {
    const { runners } = open()
    await runners.start([probe('thread'), defineAgent({ name: 'other', run: () => 1 })])
    expect(runners.pools.flatMap(pool => pool.children)).toMatchObject([{ isolation: 'thread', state: 'idle', attempts: 0 }])
  })

  test('a closure that wants to be isolated is refused, with the remedy', () => {
    const closure = defineAgent({ name: 'closure', isolation: 'thread', run: () => 1 })
    expect(() => checkIsolation([closure])).toThrow(
      'agent closure: a closure cannot run in a thread; leave `isolation` out, or say where it lives: `defineAgent({ …, module: import.meta.url })` in a module that exports it',
    )
  })

  test('an agent that its module does not export is refused', async () => {
    const hidden = defineAgent({ name: 'hidden', module, isolation: 'thread', run: () => 1 })
    await expect(open().runners.start([hidden])).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: `agent hidden cannot run in a thread: ${fileURLToPath(module)} exports no agent named hidden; export what \`defineAgent\` made, or a list of them as \`agents\``,
    })
  })
})

describe('where an agent lives', () => {
  test('is a file, by its URL or its path', () => {
    const run = () => 1
    expect(defineAgent({ name: 'a', module, run }).source).toEqual({ file: fileURLToPath(module), export: null, name: 'a' })
    expect(defineAgent({ name: 'a', module: fileURLToPath(module), export: 'b', run }).source).toEqual({
      file: fileURLToPath(module),
      export: 'b',
      name: 'a',
    })
    expect(defineAgent({ name: 'a', run })).toMatchObject({ source: null, isolation: 'inline' })
  })

  test.each<[object, RegExp]>([
    [{ module: './a.js' }, /^agent a: module must be `import.meta.url` or an absolute path, not ".\/a.js"$/],
    [{ isolation: 'vm' }, /^agent a: isolation must be one of inline, thread, process, not "vm"$/],
  ])('%j is refused', (options, says) => {
    expect(() => defineAgent({ name: 'a', run: () => 1, ...options })).toThrow(says)
  })
})

test.each<Isolation>(['thread', 'process'])(
  'while a %s blocks its event loop its worker beats, and an abort frees the slot',
  async isolation => {
    const hub = new MemoryBusHub()
    const [theirs, ours] = [hub.connect(), hub.connect()]
    const queue = new MemoryQueue()
    const inputs = [{ do: 'block' }, { do: 'echo', value: 'next' }]
    const coordinator = await startFakeCoordinator(theirs, {
      claim: (_, n) => {
        const input = JSON.stringify(inputs[n - 1])
        return { body: { results: [{ status: 'granted', grant: grant({ input, input_chars: input.length }) }] } }
      },
    })
    const host = await startHost({
      agents: [probe(isolation)],
      bus: ours,
      consumer: queue,
      namespace: 'test',
      log: silentLogger(),
      runners: new Runners({ log: silentLogger(), graceMs: 50 }),
    })
    try {
      await queue.ring(
        [1, 2].map(s => ({
          queue: queueName('shared', { kind: 'agent', name: 'probe' }),
          id: randomUUID(),
          delivery: { v: 1, s: String(s), a: 1 },
        })),
      )
      const beats = () => coordinator.of('heartbeat').flatMap(({ active }) => active)
      await vi.waitFor(() => expect(beats().some(claim => claim.progress?.includes('"blocking":true'))).toBe(true), { timeout: 10_000 })
      const during = beats().length
      await vi.waitFor(() => expect(beats().length).toBeGreaterThan(during + 2)) // the loop is blocked, and stays so
      const claimId = beats()[0]?.claim_id
      coordinator.answer({ heartbeat: () => ({ body: { abort: [claimId], known: true, drain: false } }) })
      const outcomes = (): Outcome[] =>
        coordinator.of('report').flatMap(({ items }) => items.map(item => (item as { outcome: Outcome }).outcome))
      await vi.waitFor(() => expect(outcomes()).toHaveLength(2), { timeout: 10_000 })
      expect(outcomes()).toMatchObject([
        { kind: 'failed', failure: { code: 'attempt_aborted' } },
        { kind: 'completed', output: '"next"' },
      ])
    } finally {
      await host.stop()
      await queue.close()
      await ours.close()
      await theirs.close()
    }
  },
)
