import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BatonError, type Isolation } from '@baton/shared'
import { createLogger, silentLogger } from '@baton/shared/node'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { RunOutcome } from '../run-agent.js'
import { lives } from '../testing/lives.js'
import { type TestRun, testRun } from '../testing/port.js'
import { IsolatedPool, type IsolatedPoolOptions, type PoolEvent } from './pool.js'

const probeFile = fileURLToPath(new URL('../testing/probe-agents.mjs', import.meta.url))
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'baton-pool-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const pools: IsolatedPool[] = []
const outside: number[] = []
afterEach(async () => {
  await Promise.all(pools.splice(0).map(pool => pool.stop()))
  for (const pid of outside.splice(0)) if (lives(pid)) process.kill(pid, 'SIGKILL')
})

interface Place {
  readonly pid: number
  readonly threadId: number
  readonly runs: number
}

describe.each<Exclude<Isolation, 'inline'>>(['thread', 'process'])('a pool of isolation %s', isolation => {
  function open(options: Partial<IsolatedPoolOptions> = {}) {
    const pool = new IsolatedPool({
      agent: 'probe',
      source: { file: probeFile, export: null, name: 'probe' },
      isolation,
      concurrency: 1,
      log: silentLogger(),
      ...options,
    })
    pools.push(pool)
    const events: PoolEvent[] = []
    pool.subscribe(event => void events.push(event))
    return { pool, events, kinds: () => events.map(event => event.kind) }
  }
  const placed = async (outcome: Promise<RunOutcome>): Promise<Place> => {
    const ended = await outcome
    if (ended.kind === 'failed') throw new Error(ended.failure.message)
    return JSON.parse(ended.output) as Place
  }
  const place = () => testRun({ do: 'place' })
  const begun = (run: TestRun) => vi.waitFor(() => expect(run.progress).not.toEqual([]), { timeout: 10_000 })
  const reason = new BatonError('attempt_timed_out', 'too slow')

  test('starts nothing before it is asked to, and keeps its child warm', async () => {
    const { pool, kinds } = open()
    expect(pool.children).toEqual([])
    const first = await placed(pool.run(place()))
    const second = await placed(pool.run(place()))
    expect([first.runs, second.runs]).toEqual([1, 2])
    expect(kinds()).toEqual(['started', 'ready'])
    expect(pool.children).toMatchObject([{ id: 1, isolation, state: 'idle', attempts: 2, pid: first.pid, startedAt: expect.any(Date) }])
    expect(pool.children[0]?.threadId).toBe(isolation === 'thread' ? first.threadId : undefined)
  })

  test('runs one attempt per child, and as many children as its concurrency', async () => {
    const { pool } = open({ concurrency: 2 })
    const waiting = [1, 2, 3].map(() => testRun({ do: 'untilAborted' }))
    const ended = waiting.map(run => pool.run(run))
    await Promise.all(waiting.slice(0, 2).map(begun))
    expect(pool.children.map(child => [child.state, child.attempts])).toEqual([
      ['busy', 1],
      ['busy', 1],
    ])
    expect(waiting[2]?.progress).toEqual([])
    waiting[0]?.controller.abort(reason)
    await begun(waiting[2] as TestRun)
    expect(pool.children).toHaveLength(2)
    for (const { controller } of waiting) controller.abort(reason)
    expect(await Promise.all(ended)).toMatchObject([1, 2, 3].map(() => ({ kind: 'failed', failure: { code: 'attempt_timed_out' } })))
  })

  test('an attempt that is aborted while it waits for a child leaves the queue at once', async () => {
    const { pool } = open()
    const first = testRun({ do: 'untilAborted' })
    const second = place()
    const ended = pool.run(first)
    const left = pool.run(second)
    second.controller.abort(reason)
    expect(await left).toMatchObject({ kind: 'failed', failure: { code: 'attempt_timed_out' } })
    await begun(first)
    first.controller.abort(reason)
    await ended
    expect((await placed(pool.run(place()))).runs).toBe(2)
  })

  test('a blocked event loop ends after the grace with its child, and the next attempt finds a new one', async () => {
    const { pool, events } = open({ graceMs: 50 })
    const blocked = testRun({ do: 'block' })
    const ended = pool.run(blocked)
    await begun(blocked)
    const { pid, threadId } = blocked.progress[0] as Place
    blocked.controller.abort(reason)
    expect(await ended).toMatchObject({ kind: 'failed', failure: { code: 'attempt_timed_out', message: 'too slow' } })
    expect(events.at(-1)).toMatchObject({ kind: 'terminated', why: { kind: 'overrun' } })
    const next = await placed(pool.run(place()))
    expect([next.pid, next.threadId]).not.toEqual([pid, threadId])
    if (isolation === 'process') await vi.waitFor(() => expect(lives(pid)).toBe(false))
    await vi.waitFor(() => expect(pool.children).toHaveLength(1))
  })

  test('an agent that ignores its signal is ended too, one that heeds it is not', async () => {
    const { pool, kinds } = open({ graceMs: 50 })
    const heeding = testRun({ do: 'untilAborted' })
    const ended = pool.run(heeding)
    await begun(heeding)
    heeding.controller.abort(reason)
    await ended
    expect(kinds()).toEqual(['started', 'ready'])
    const deaf = testRun({ do: 'ignore' })
    const never = pool.run(deaf)
    await begun(deaf)
    deaf.controller.abort(reason)
    expect(await never).toMatchObject({ kind: 'failed', failure: { code: 'attempt_timed_out' } })
    expect(kinds()).toEqual(['started', 'ready', 'terminated'])
  })

  test.each<[object, RegExp, object?]>([
    [{ do: 'exit', code: 0 }, /ended with code 0$/],
    [{ do: 'exit', code: 7 }, /ended with code 7$/],
    [{ do: 'uncaught' }, /crashed: nobody caught this$/, { code: 'agent_error', message: 'nobody caught this' }],
    [{ do: 'rejection' }, /crashed: nobody awaited this$/, { code: 'agent_error', message: 'nobody awaited this' }],
  ])('a crash costs its attempt only: %j', async (input, message, cause) => {
    const { pool } = open()
    expect(await pool.run(testRun(input))).toEqual({
      kind: 'failed',
      failure: {
        code: 'agent_crashed',
        retryable: true,
        message: expect.stringMatching(new RegExp(`^the ${isolation} of agent probe ${message.source}`)),
        ...(cause && { cause: { retryable: true, ...cause } }),
      },
    })
    expect((await placed(pool.run(place()))).runs).toBe(1)
  })

  test('a child that runs out of memory is a crash of its own', async () => {
    const { pool } = open({ maxHeapMb: 32 })
    const ended = await pool.run(testRun({ do: 'memory' }))
    expect(ended).toMatchObject({ kind: 'failed', failure: { code: 'agent_crashed', retryable: true } })
    expect((await placed(pool.run(place()))).runs).toBe(1)
  })

  test('what an attempt left behind and breaks later costs the child, and no attempt that runs elsewhere', async () => {
    const { pool, events } = open()
    expect(await pool.run(testRun({ do: 'later' }))).toMatchObject({ kind: 'returned' })
    await vi.waitFor(() => expect(events.at(-1)).toMatchObject({ kind: 'terminated', why: { failure: { code: 'agent_crashed' } } }))
    expect((await placed(pool.run(place()))).runs).toBe(1)
  })

  test('children that die in a row are started ever more slowly, until one has done its work', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    const timers = vi.spyOn(globalThis, 'setTimeout')
    const pauses = () => timers.mock.calls.map(([, ms]) => ms).filter(ms => ms !== undefined && [75, 150].includes(ms)).length
    const { pool } = open()
    await pool.run(testRun({ do: 'exit', code: 1 }))
    expect(pauses()).toBe(0)
    await pool.run(testRun({ do: 'exit', code: 1 }))
    expect(pauses()).toBe(1)
    await pool.run(testRun({ do: 'exit', code: 1 }))
    expect(pauses()).toBe(2)
    await placed(pool.run(place()))
    await pool.run(testRun({ do: 'exit', code: 1 }))
    expect(pauses()).toBe(2)
    vi.restoreAllMocks()
  })

  test('a child without work is ended after a while', async () => {
    const { pool, events } = open({ idleMs: 20 })
    const { pid } = await placed(pool.run(place()))
    await vi.waitFor(() => expect(pool.children).toEqual([]))
    expect(events.at(-1)).toMatchObject({ kind: 'terminated', why: { kind: 'told' } })
    if (isolation === 'process') expect(lives(pid)).toBe(false)
    expect((await placed(pool.run(place()))).runs).toBe(1)
  })

  test('a stop ends every child, whatever it does, and refuses what waits and what comes', async () => {
    const { pool } = open({ concurrency: 2 })
    const runs = [testRun({ do: 'block' }), testRun({ do: 'ignore' }), place()]
    const ended = runs.map(run => pool.run(run))
    await Promise.all(runs.slice(0, 2).map(begun))
    const pids = pool.children.map(child => child.pid ?? 0)
    await Promise.all([pool.stop(), pool.stop()])
    const refused = { kind: 'failed', failure: { code: 'worker_draining' } }
    expect(await Promise.all(ended)).toMatchObject([refused, refused, refused])
    expect(pool.children).toEqual([])
    if (isolation === 'process') expect(pids.filter(lives)).toEqual([])
    expect(await pool.run(place())).toMatchObject(refused)
  })

  test('a stop ends a child that is just being started', async () => {
    const { pool } = open()
    const ended = pool.run(place())
    expect(pool.children).toMatchObject([{ state: 'starting' }])
    await pool.stop()
    expect(await ended).toMatchObject({ kind: 'failed', failure: { code: 'worker_draining' } })
    expect(pool.children).toEqual([])
  })

  test('what it prints goes to the log of the attempt', async () => {
    const lines: [string, string, unknown][] = []
    const log = createLogger({
      bindings: { mine: true },
      destination: {
        write: line => {
          const { stream, msg, mine } = JSON.parse(line) as { stream: string; msg: string; mine: unknown }
          lines.push([stream, msg, mine])
        },
      },
    })
    const { pool } = open()
    await pool.run(testRun({ do: 'print' }, { log }))
    await vi.waitFor(() => expect(lines).toHaveLength(2))
    expect(lines.sort()).toEqual([
      ['stderr', 'on stderr', true],
      ['stdout', 'on stdout', true],
    ])
  })

  test("the keys to Baton's own stores are withheld", async () => {
    vi.stubEnv('REDIS_URL', 'secret')
    vi.stubEnv('SOMETHING_ELSE', 'seen')
    const { pool } = open()
    const ended = await pool.run(testRun({ do: 'environment', names: ['REDIS_URL', 'SOMETHING_ELSE'] }))
    vi.unstubAllEnvs()
    expect(ended).toEqual({ kind: 'returned', output: '[null,"seen"]' })
  })

  describe('a module', () => {
    const source = (name: string, text: string, agent = 'x') => {
      const file = join(directory, name)
      writeFileSync(file, text)
      return { file, export: null, name: agent }
    }

    test('may be TypeScript, and import what Baton offers wherever it lies', async () => {
      const typescript = source(
        'agent.ts',
        `import { BatonError } from '@baton/shared'
         interface Input { readonly n: number }
         export default { name: 'x', run: ({ n }: Input): unknown => [n + 1, new BatonError('internal', 'm').status] as const }`,
      )
      expect(await open({ source: typescript }).pool.run(testRun({ n: 1 }))).toEqual({ kind: 'returned', output: '[2,500]' })
    })

    test('may be JavaScript that Node would not take for a module', async () => {
      const script = source('agent.js', `export const agents = [{ name: 'y', run: () => 1 }, { name: 'x', run: () => 2 }]`)
      expect(await open({ source: script }).pool.run(testRun(null))).toEqual({ kind: 'returned', output: '2' })
    })

    test.each<[string, string, RegExp]>([
      ['gone.mjs', 'throw new Error("not today")', /agent probe cannot run in a (thread|process): not today$/],
      ['other.mjs', `export default { name: 'other', run: () => 1 }`, /exports no agent named x; export what `defineAgent` made/],
      [
        'starts.mjs',
        `import { checkAgents, defineAgent } from '@baton/worker'
         export const agents = [defineAgent({ name: 'x', module: import.meta.url, isolation: 'thread', run: () => 1 })]
         checkAgents(agents)`,
        /a module that holds isolated agents starts a worker when it is loaded; move the agents into a module of their own$/,
      ],
      ['exits.mjs', 'process.exit(3)', /agent probe ended with code 3$/],
    ])('that cannot be used is refused at the start: %s', async (name, text, says) => {
      const { pool } = open({ source: source(name, text) })
      await expect(pool.start()).rejects.toMatchObject({ code: 'invalid_configuration', message: expect.stringMatching(says) })
    })

    test('that never gets ready is ended', async () => {
      const { pool } = open({ source: source('hangs.mjs', 'for (;;);'), startMs: 500 })
      await expect(pool.start()).rejects.toThrow(/was not ready within 0.5 s$/)
      await vi.waitFor(() => expect(pool.children).toEqual([]))
    })
  })
})

describe('a process', () => {
  const open = (options: Partial<IsolatedPoolOptions> = {}) => {
    const pool = new IsolatedPool({
      agent: 'probe',
      source: { file: probeFile, export: null, name: 'probe' },
      isolation: 'process',
      concurrency: 1,
      log: silentLogger(),
      ...options,
    })
    pools.push(pool)
    return pool
  }

  test.each(['SIGKILL', 'SIGSEGV'])('that is ended by %s costs its attempt only', async signal => {
    const pool = open()
    expect(await pool.run(testRun({ do: 'kill', signal }))).toMatchObject({
      kind: 'failed',
      failure: { code: 'agent_crashed', retryable: true, message: expect.stringContaining(`was ended by ${signal}`) },
    })
    expect(await pool.run(testRun({ do: 'echo', value: 1 }))).toEqual({ kind: 'returned', output: '1' })
  })

  test('takes with it what its agent started', async () => {
    const pool = open({ graceMs: 20 })
    const run = testRun({ do: 'leave' })
    const ended = pool.run(run)
    await vi.waitFor(() => expect(run.progress).not.toEqual([]), { timeout: 10_000 })
    const { left } = run.progress[0] as { left: number }
    outside.push(left)
    expect(lives(left)).toBe(true)
    run.controller.abort(new BatonError('attempt_aborted', 'enough'))
    await ended
    await vi.waitFor(() => expect(lives(left)).toBe(false))
  })
})
