/** One suite for the places where an agent may run: what it is given and what it makes is the same in all of them. */
import { createHash } from 'node:crypto'
import { BatonError, type DependencyView, failure, type Grant, type Isolation, maxInlineBytes, type Outcome } from '@baton/shared'
import { createLogger, type Logger, silentLogger } from '@baton/shared/node'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Agent } from '../agent.js'
import { Attempt } from '../attempt.js'
import { type Answer, grant, type Script } from '../testing/fake-coordinator.js'
import { type ExecutorStage, startExecutor } from '../testing/start-executor.js'
import { Runners } from './runners.js'

const fixture = new URL('../testing/probe-agents.mjs', import.meta.url)
const claimId = '00000000-0000-4000-8000-000000000001'

describe.each<Isolation>(['inline', 'thread', 'process'])('an agent that runs in isolation %s', isolation => {
  let agents: readonly Agent[]
  const runners = new Runners({ log: silentLogger() })
  let stage: ExecutorStage
  beforeAll(async () => {
    ;({ agents } = (await import(fixture.href)) as { agents: Agent[] }) // made by defineAgent
    await runners.start(agents.map(agent => ({ ...agent, isolation })))
  })
  afterEach(() => stage.stop())
  afterAll(() => runners.stop())

  async function attemptOf(name: string, input: unknown, given: Partial<Grant> = {}, script: Script = {}, log: Logger = silentLogger()) {
    stage = await startExecutor(script)
    const agent = agents.find(each => each.name === name)
    if (!agent) throw new Error(`no agent ${name}`)
    const text = JSON.stringify(input)
    return new Attempt({
      agent,
      runner: runners.runnerFor(agent, isolation),
      grant: grant({ input: text, input_chars: text.length, ...given }),
      subtask: '7',
      claimId,
      workerId: 'w1',
      uplink: stage.uplink,
      lanes: stage.lanes,
      log,
    })
  }
  async function outcomeOf(input: object, given: Partial<Grant> = {}, script: Script = {}, log?: Logger): Promise<Outcome> {
    const { outcome, settled } = (await attemptOf('probe', input, given, script, log)).start()
    await settled
    return outcome
  }
  const outputOf = async (...args: Parameters<typeof outcomeOf>): Promise<unknown> => {
    const outcome = await outcomeOf(...args)
    if (outcome.kind !== 'completed') throw new Error(JSON.stringify(outcome))
    return JSON.parse(outcome.output ?? 'null')
  }
  const failed = (code: string, more: object = {}) => ({ kind: 'failed', failure: { code, ...more } })
  const chunks = (name: string) =>
    Buffer.concat(
      stage.coordinator
        .of('chunk')
        .filter(chunk => chunk.name === name)
        .sort((a, b) => a.n - b.n)
        .map(chunk => Buffer.from(chunk.data, 'base64')),
    )

  test('runs where it should', async () => {
    const place = (await outputOf({ do: 'place' })) as { pid: number; threadId: number }
    expect([place.pid === process.pid, place.threadId === 0]).toEqual(
      { inline: [true, true], thread: [true, false], process: [false, true] }[isolation],
    )
  })

  test('is given its input and its context', async () => {
    const value = { a: [1, 'ü', null, { deep: true }] }
    expect(await outputOf({ do: 'echo', value })).toEqual(value)
    const before = Date.now()
    const seen = await outputOf({ do: 'context' }, { attempt: 3, uuid: 'u', context: '{"team":"a"}', progress: '{"at":5}', sla_ms: 60_000 })
    expect(seen).toMatchObject({
      taskId: 't1',
      taskTitle: 'A task',
      subtaskId: 'echo::t1::1',
      name: 'a',
      attempt: 3,
      idempotencyKey: 'u',
      context: { team: 'a' },
      savedProgress: { at: 5 },
      aborted: false,
    })
    expect((seen as { deadlineMs: number }).deadlineMs).toBeGreaterThanOrEqual(before + 60_000)
  })

  test('is given megabytes of input in pages, and returns megabytes in chunks', async () => {
    const value = 'ä'.repeat(3_000_000)
    const text = JSON.stringify({ do: 'echo', value })
    const page = 200_000
    const read = ({ offset }: { offset: number }): Answer => {
      const next = offset + page
      return { body: { status: 'ok', data: text.slice(offset, next), next_offset: next < text.length ? next : null } }
    }
    const outcome = await outcomeOf({}, { input: null, input_chars: text.length }, { read })
    expect(outcome).toEqual({ kind: 'completed', output: null })
    expect(JSON.parse(chunks('$output').toString())).toBe(value)
  })

  test('what it streams arrives in order, in few messages, before its end; what is too large is refused where it is said', async () => {
    let release = () => {}
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    const attempt = await attemptOf(
      'probe',
      { do: 'stream', count: 200 },
      {},
      {
        stream: async ({ items }) => {
          await held
          return { body: { results: items.map(() => ({ status: 'stored' })) } }
        },
      },
    )
    const { outcome, settled } = attempt.start()
    let ended = false
    void outcome.then(() => {
      ended = true
    })
    await vi.waitFor(() => expect(stage.coordinator.of('stream')).toHaveLength(1))
    expect(ended).toBe(false)
    release()
    expect(await outcome).toEqual({ kind: 'completed', output: '"result_too_large"' })
    await settled
    const items = stage.coordinator.of('stream').flatMap(request => request.items)
    expect(items.length).toBeLessThan(100)
    const chunks = items.flatMap(item => JSON.parse(item.chunks) as unknown[])
    expect(chunks).toEqual([...Array.from({ length: 200 }, (_, n) => ({ n })), 'last'])
    let from = 0
    for (const item of items) {
      expect(item).toMatchObject({ subtask: '7', claim_id: claimId, from })
      from += (JSON.parse(item.chunks) as unknown[]).length
    }
  })

  test('a stream that nobody takes costs the attempt nothing', async () => {
    const stream = (): Answer => ({ body: { results: [{ status: 'stale' }] } })
    expect(await outputOf({ do: 'stream', count: 5 }, {}, { stream })).toBe('result_too_large')
    await stage.stop()
    const unknown = (): Answer => ({ error: { code: 'invalid_request', message: 'no such word', retryable: false } })
    expect(await outputOf({ do: 'stream', count: 5 }, {}, { stream: unknown })).toBe('result_too_large')
  })

  test('a result past what can be stored is refused, and nothing of it is sent', async () => {
    expect(await outcomeOf({ do: 'output', bytes: 17 * 1024 * 1024 })).toMatchObject(failed('result_too_large', { retryable: false }))
    expect(stage.coordinator.of('chunk')).toEqual([])
    expect(await outcomeOf({ do: 'output', bytes: maxInlineBytes })).toEqual({ kind: 'completed', output: null })
  })

  test.each<[string, unknown]>([
    ['undefined', null],
    ['date', '1970-01-01T00:00:00.000Z'],
    ['function', { n: 1 }],
  ])('what it returns is stored as JSON has it: %s', async (kind, output) => {
    expect(await outputOf({ do: 'value', kind })).toEqual(output)
  })

  test.each(['bigint', 'nan', 'loop', 'nul'])('what is no JSON is refused: %s', async kind => {
    expect(await outcomeOf({ do: 'value', kind })).toMatchObject(failed('result_invalid', { retryable: false }))
  })

  test('input and output are checked once, where the agent lives', async () => {
    const run = async (at: unknown) => {
      const { outcome, settled } = (await attemptOf('typed', { at })).start()
      await settled
      await stage.stop()
      return outcome
    }
    const first = await run('2026-05-05T00:00:00Z')
    const second = await run('2027-05-05T00:00:00Z')
    const checks = [first, second].map(each => (each.kind === 'completed' ? (JSON.parse(each.output ?? '') as object) : each))
    expect(checks).toEqual([
      { year: 2026, inputChecks: 1 },
      { year: 2027, inputChecks: 2 },
    ])
    expect(await run(5)).toMatchObject(
      failed('input_invalid', { message: expect.stringMatching(/^the input does not fit agent typed: at: /) }),
    )
    expect(await run('1950-01-01T00:00:00Z')).toMatchObject(failed('output_invalid', { retryable: true }))
  })

  test('its progress is saved, the last word only', async () => {
    const attempt = await attemptOf('probe', { do: 'progress', values: [{ at: 1 }, { at: 2 }] })
    await attempt.start().settled
    expect(attempt.takeProgress()).toBe('{"at":2}')
    expect(attempt.takeProgress()).toBeUndefined()
    await stage.stop()
    expect(await outcomeOf({ do: 'badProgress' })).toMatchObject(failed('result_too_large'))
  })

  test('its log goes to that of its worker, with its bindings', async () => {
    const lines: Record<string, unknown>[] = []
    const log = createLogger({ level: 'debug', destination: { write: line => void lines.push(JSON.parse(line)) } })
    await outcomeOf({ do: 'log' }, {}, {}, log)
    const own = lines.map(({ time: _, ...line }) => line)
    const bindings = { task_id: 't1', subtask_id: 'echo::t1::1', attempt: 1, agent: 'probe' }
    expect(own).toEqual([
      { level: 'info', ...bindings, step: 1, msg: 'one two' },
      { level: 'warn', ...bindings, part: 'p', deep: true, msg: 'from a child' },
      { level: 'error', ...bindings, err: expect.objectContaining({ type: 'RangeError', message: 'too far' }), msg: 'it failed' },
      { level: 'error', ...bindings, err: expect.objectContaining({ type: 'Error', message: 'alone' }), msg: 'alone' },
    ])
  })

  test('its dependencies are read as they are needed, in order, with outputs and artifacts', async () => {
    const paged: Script = {
      read: ({ what }): Answer => {
        if (what.kind === 'output') return { body: { status: 'ok', data: '"long"', next_offset: null } }
        if (what.kind === 'artifact') return { body: { status: 'ok', data: Buffer.from('grüße').toString('base64'), next_offset: null } }
        const last = what.kind === 'dependencies' && what.after === 1
        const list = last ? [dependency('d2', { ordinal: 2, state: 'failed', failure: failure('agent_error', 'no') })] : []
        return { body: { status: 'ok', data: '', next_offset: null, dependencies: list } }
      },
    }
    const given = {
      dependencies: [
        dependency('d0', { output: '{"n":4}', output_chars: 7, artifacts: ['a.txt'] }),
        dependency('d1', { ordinal: 1, output: null, output_chars: 6 }),
      ],
      more_dependencies: true,
    }
    expect(await outputOf({ do: 'dependencies' }, given, paged)).toEqual([
      ['d0', 'completed', 'x::t1::d0', { n: 4 }, ['a.txt'], null],
      ['d1', 'completed', 'x::t1::d1', 'long', [], null],
      ['d2', 'failed', 'x::t1::d2', null, [], 'agent_error'],
    ])
    await stage.stop()
    expect(await outputOf({ do: 'dependency', name: 'd0', artifact: 'a.txt' }, given, paged)).toBe('grüße')
    await stage.stop()
    expect(await outcomeOf({ do: 'dependency', name: 'd0', artifact: 'b.txt' }, given, paged)).toMatchObject(
      failed('artifact_not_found', { message: 'd0 has no artifact b.txt; it has a.txt' }),
    )
    await stage.stop()
    expect(await outcomeOf({ do: 'dependency', name: 'nobody', artifact: '' }, given, paged)).toMatchObject(failed('subtask_not_found'))
  })

  test('references in its input are resolved', async () => {
    const given = { dependencies: [dependency('b', { output: '{"n":4}', output_chars: 7 })] }
    expect(await outputOf({ do: 'echo', value: '{{b.outputs.n}} of {{task.title}}' }, given)).toBe('4 of A task')
  })

  test('its artifacts are stored, of a view on a buffer just the view', async () => {
    const outcome = await outcomeOf({ do: 'put', bytes: 1_000_000 })
    const data = Buffer.alloc(1_000_000, 7)
    expect(outcome).toMatchObject({
      kind: 'completed',
      artifacts: [
        { name: 'text.txt', bytes: 7, media_type: 'text/plain; charset=utf-8' },
        { name: 'part.bin', bytes: 1_000_000, media_type: 'application/x-test', sha256: createHash('sha256').update(data).digest('hex') },
      ],
    })
    expect(chunks('part.bin').equals(data)).toBe(true)
    expect(chunks('text.txt').toString()).toBe('grüße')
  })

  test('an artifact that is refused throws where it is stored', async () => {
    expect(await outcomeOf({ do: 'badPut', name: '../x' })).toMatchObject(failed('result_invalid'))
    await stage.stop()
    const chunk = (): Answer => ({ body: { status: 'rejected', failure: failure('result_too_large', 'too much') } })
    expect(await outcomeOf({ do: 'badPut', name: 'x' }, {}, { chunk })).toMatchObject(failed('result_too_large', { message: 'too much' }))
  })

  test('subtasks that it adds travel with its report; what cannot be added throws there', async () => {
    const subtasks = [{ name: 'b', capability: 'echo', input: { deep: [1] } }]
    expect(await outcomeOf({ do: 'spawn', subtasks })).toEqual({ kind: 'completed', output: 'null', spawn: subtasks })
    await stage.stop()
    expect(await outcomeOf({ do: 'spawn', subtasks: [{ name: '' }] })).toMatchObject(failed('spawn_invalid'))
  })

  test('what it throws is its failure, with code and cause', async () => {
    expect(await outcomeOf({ do: 'throw', kind: 'coded' })).toEqual(
      failed('EOUTER', { message: 'outer', retryable: true, cause: { code: 'EINNER', message: 'inner', retryable: true } }),
    )
    await stage.stop()
    expect(await outcomeOf({ do: 'throw', kind: 'final' })).toEqual(failed('agent_error', { message: 'no', retryable: false }))
    await stage.stop()
    expect(await outcomeOf({ do: 'throw', kind: 'text' })).toEqual(failed('agent_error', { message: 'just text', retryable: true }))
  })

  test('its signal is aborted with the reason of the worker', async () => {
    const attempt = await attemptOf('probe', { do: 'untilAborted' })
    const { outcome, settled } = attempt.start()
    await vi.waitFor(() => expect(attempt.takeProgress()).toBe('"waiting"'))
    attempt.abort(new BatonError('attempt_aborted', 'because of this'))
    expect(await outcome).toMatchObject(failed('attempt_aborted', { message: 'because of this' }))
    await settled
    expect(JSON.parse(attempt.takeProgress() ?? 'null')).toEqual({
      code: 'attempt_aborted',
      message: 'because of this',
      retryable: true,
      isError: true,
    })
  })

  test('its SLA aborts it', async () => {
    const attempt = await attemptOf('probe', { do: 'untilAborted' }, { sla_ms: 200 })
    const { outcome, settled } = attempt.start()
    expect(await outcome).toMatchObject(failed('attempt_timed_out', { message: 'the attempt exceeded its SLA of 200 ms' }))
    await settled
    expect(JSON.parse(attempt.takeProgress() ?? 'null')).toMatchObject({ code: 'attempt_timed_out' })
  })

  test('given back before it began, it is left out of it', async () => {
    const attempt = await attemptOf('probe', { do: 'echo', value: 1 })
    attempt.release()
    expect(await attempt.start().outcome).toMatchObject({ kind: 'released', failure: { code: 'worker_draining' } })
  })
})

function dependency(name: string, parts: Partial<DependencyView> = {}): DependencyView {
  return {
    name,
    subtask_id: `x::t1::${name}`,
    ordinal: 0,
    state: 'completed',
    output: null,
    output_chars: null,
    failure: null,
    artifacts: [],
    ...parts,
  }
}
