import { createHash } from 'node:crypto'
import { chunkBytes, type DependencyView, failure, type Grant, maxInlineBytes, maxSpawnedPerReport, type Outcome } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { type AgentContext, type AgentOptions, defineAgent } from './agent.js'
import { Attempt } from './attempt.js'
import { inlineRunner } from './run-agent.js'
import { type Answer, grant, type Script } from './testing/fake-coordinator.js'
import { type ExecutorStage, startExecutor } from './testing/start-executor.js'

let stage: ExecutorStage
afterEach(() => stage.stop())

type Run = AgentOptions<unknown, unknown>['run']
const claimId = '00000000-0000-4000-8000-000000000001'

async function attemptOf(run: Run, given: Partial<Grant> = {}, script: Script = {}, options: Partial<AgentOptions<never, never>> = {}) {
  stage = await startExecutor(script)
  const agent = defineAgent({ name: 'echo', ...options, run: run as never })
  return new Attempt({
    agent,
    runner: inlineRunner(agent),
    grant: grant(given),
    subtask: '7',
    claimId,
    workerId: 'w1',
    uplink: stage.uplink,
    lanes: stage.lanes,
    log: silentLogger(),
  })
}
async function outcomeOf(...args: Parameters<typeof attemptOf>): Promise<Outcome> {
  const { outcome, settled } = (await attemptOf(...args)).start()
  await settled
  return outcome
}
const failed = (code: string, message?: unknown) => ({ kind: 'failed', failure: { code, ...(message !== undefined && { message }) } })
const chunks = (name: string) =>
  Buffer.concat(
    stage.coordinator
      .of('chunk')
      .filter(chunk => chunk.name === name)
      .sort((a, b) => a.n - b.n)
      .map(chunk => Buffer.from(chunk.data, 'base64')),
  )

describe('what an agent is given', () => {
  test('its input, its task, what it saved, and its deadline', async () => {
    let seen: AgentContext | undefined
    const before = Date.now()
    const outcome = await outcomeOf(
      (input, context) => {
        seen = context
        return input
      },
      { attempt: 3, uuid: 'u', context: '{"team":"a"}', progress: '{"at":5}', sla_ms: 1_000 },
    )
    expect(outcome).toEqual({ kind: 'completed', output: '{"x":1}' })
    expect(seen).toMatchObject({
      taskId: 't1',
      taskTitle: 'A task',
      subtaskId: 'echo::t1::1',
      name: 'a',
      attempt: 3,
      idempotencyKey: 'u',
      context: { team: 'a' },
      savedProgress: { at: 5 },
    })
    expect((seen?.deadline.getTime() ?? 0) - before).toBeGreaterThanOrEqual(1_000)
  })

  test('the deadline of its subtask, where that comes before its SLA', async () => {
    const deadlines: number[] = []
    const note = (_: unknown, context: AgentContext) => {
      deadlines.push(context.deadline.getTime() - Date.now())
      return null
    }
    await outcomeOf(note, { sla_ms: 3_600_000, deadline_in_ms: 60_000 })
    await outcomeOf(note, { sla_ms: 3_600_000, deadline_in_ms: null })
    expect(deadlines[0]).toBeLessThanOrEqual(60_000)
    expect(deadlines[0]).toBeGreaterThan(0)
    expect(deadlines[1]).toBeGreaterThan(60_000)
  })

  test('an empty input where none was sent', async () => {
    const outcome = await outcomeOf((input, context) => [input, context.context, context.savedProgress], { input: null, input_chars: null })
    expect(outcome).toEqual({ kind: 'completed', output: '[{},{},null]' })
  })

  test('an input too large for the grant, read in pages', async () => {
    const text = JSON.stringify({ long: 'x'.repeat(1_000) })
    const pages = [text.slice(0, 400), text.slice(400, 800), text.slice(800)]
    const outcome = await outcomeOf(
      input => (input as { long: string }).long.length,
      { input: null, input_chars: text.length },
      {
        read: ({ offset, what, claim_id }): Answer => {
          expect({ what, claim_id }).toEqual({ what: { kind: 'input' }, claim_id: claimId })
          const i = offset / 400
          return { body: { status: 'ok', data: pages[i], next_offset: i < 2 ? offset + 400 : null } }
        },
      },
    )
    expect(outcome).toEqual({ kind: 'completed', output: '1000' })
  })

  test('references in its input, replaced by what the dependencies made', async () => {
    const outcome = await outcomeOf(input => input, {
      input: '{"whole":"{{b.outputs}}","part":"n is {{b.outputs.n}} of {{task.title}}"}',
      dependencies: [dependency('b', { output: '{"n":4}', output_chars: 7 })],
    })
    expect(outcome).toEqual({ kind: 'completed', output: '{"whole":{"n":4},"part":"n is 4 of A task"}' })
  })

  test('its dependencies in order, further pages included', async () => {
    const seen: string[] = []
    await outcomeOf(
      async (_, context) => {
        for await (const { name } of context.dependencies) seen.push(name)
      },
      { dependencies: [dependency('d0', { ordinal: 0 })], more_dependencies: true },
      {
        read: ({ what }): Answer => {
          const after = what.kind === 'dependencies' ? what.after : -1
          const list = [dependency(`d${after + 1}`, { ordinal: after + 1 })]
          return { body: { status: 'ok', data: '', next_offset: after < 2 ? 1 : null, dependencies: list } }
        },
      },
    )
    expect(seen).toEqual(['d0', 'd1', 'd2', 'd3'])
  })

  test('a dependency or an artifact that is not there is named', async () => {
    expect(await outcomeOf((_, context) => context.dependencies.get('nobody'))).toMatchObject(
      failed('subtask_not_found', 'this subtask does not depend on nobody'),
    )
    const outcome = await outcomeOf(async (_, context) => (await context.dependencies.get('b')).artifact('x.txt'), {
      dependencies: [dependency('b', { artifacts: ['y.txt'] })],
    })
    expect(outcome).toMatchObject(failed('artifact_not_found', 'b has no artifact x.txt; it has y.txt'))
  })

  test('input that does not fit its schema is refused before it runs, output after', async () => {
    const run = vi.fn(() => 'text')
    const schema = z.object({ n: z.number() })
    expect(await outcomeOf(run, {}, {}, { input: schema as never })).toMatchObject(
      failed('input_invalid', expect.stringMatching(/the input does not fit agent echo: n: /)),
    )
    expect(run).not.toHaveBeenCalled()
    expect(await outcomeOf(run, {}, {}, { output: schema as never })).toMatchObject(failed('output_invalid'))
  })
})

describe('what an agent makes', () => {
  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'null'],
    ['text', 'x', '"x"'],
    ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
  ])('%s is stored as JSON', async (_, value, output) => {
    expect(await outcomeOf(() => value)).toEqual({ kind: 'completed', output })
  })

  test.each<[string, unknown]>([
    ['a BigInt', 1n],
    ['a number that is not finite', { n: Number.NaN }],
    ['a NUL', ['a\u0000']],
    ['half of a surrogate pair', '\ud800'],
  ])('%s is refused', async (_, value) => {
    expect(await outcomeOf(() => value)).toMatchObject(failed('result_invalid'))
  })

  test('a value that holds itself is refused', async () => {
    const loop: unknown[] = []
    loop.push(loop)
    expect(await outcomeOf(() => loop)).toMatchObject(failed('result_invalid'))
  })

  test('a large output goes ahead in chunks', async () => {
    const text = 'ä'.repeat(maxInlineBytes)
    expect(await outcomeOf(() => text)).toEqual({ kind: 'completed', output: null })
    expect(JSON.parse(chunks('$output').toString())).toBe(text)
    expect(stage.coordinator.of('chunk').map(chunk => chunk.n)).toEqual([0, 1, 2])
    for (const { data } of stage.coordinator.of('chunk')) expect(Buffer.from(data, 'base64').length).toBeLessThanOrEqual(chunkBytes)
  })

  test('an output past what can be stored is refused, and nothing of it is sent', async () => {
    expect(await outcomeOf(() => 'x'.repeat(17 * 1024 * 1024))).toMatchObject({
      kind: 'failed',
      failure: { code: 'result_too_large', retryable: false },
    })
    expect(stage.coordinator.of('chunk')).toEqual([])
  })

  test('artifacts are sent in chunks and named in the report', async () => {
    const data = Buffer.alloc(chunkBytes + 10, 7)
    const outcome = await outcomeOf(async (_, context) => {
      await context.artifacts.put('empty.txt', '')
      return context.artifacts.put('data.bin', data)
    })
    const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    expect(outcome).toMatchObject({
      kind: 'completed',
      artifacts: [
        { name: 'empty.txt', bytes: 0, media_type: 'text/plain; charset=utf-8', sha256: sha256(Buffer.alloc(0)) },
        { name: 'data.bin', bytes: data.length, media_type: 'application/octet-stream', sha256: sha256(data) },
      ],
    })
    expect(chunks('data.bin').equals(data)).toBe(true)
  })

  test.each<[string, Answer, string]>([
    ['the claim was lost', { body: { status: 'stale' } }, 'attempt_aborted'],
    ['there is too much', { body: { status: 'rejected', failure: failure('result_too_large', 'too much') } }, 'result_too_large'],
  ])('a chunk that is refused because %s fails the attempt', async (_, answer, code) => {
    expect(await outcomeOf((_, context) => context.artifacts.put('a', 'b'), {}, { chunk: () => answer })).toMatchObject(failed(code))
  })

  test.each(['', '../x', '$output', 'a\u0000', '/x', 'x'.repeat(201)])('%j is no name for an artifact', async name => {
    expect(await outcomeOf((_, context) => context.artifacts.put(name, 'x'))).toMatchObject(failed('result_invalid'))
  })

  test('spawned subtasks travel with the report, a long list ahead of it', async () => {
    const few = await outcomeOf((_, context) => context.spawn({ name: 'b', capability: 'echo' }))
    expect(few).toEqual({ kind: 'completed', output: 'null', spawn: [{ name: 'b', capability: 'echo' }] })
    const many = await outcomeOf((_, context) => {
      for (let i = 0; i < 5_000; i++) context.spawn({ name: `part-${i}`, capability: 'echo' })
    })
    expect(many).toEqual({ kind: 'completed', output: 'null', spawn_chunked: true })
    expect(JSON.parse(chunks('$spawn').toString())).toHaveLength(5_000)
  })

  test('what cannot be spawned throws where it is spawned', async () => {
    expect(await outcomeOf((_, context) => context.spawn({ name: '' } as never))).toMatchObject(failed('spawn_invalid'))
    const endless = await outcomeOf((_, context) => {
      for (let i = 0; i <= maxSpawnedPerReport; i++) context.spawn({ name: `s${i}`, capability: 'echo' })
    })
    expect(endless).toMatchObject(failed('spawn_invalid', `an attempt may spawn at most ${maxSpawnedPerReport} subtasks`))
  })
})

describe('progress', () => {
  test('is handed over once, the last word only', async () => {
    const attempt = await attemptOf((_, context) => {
      context.progress({ at: 1 })
      context.progress({ at: 2 })
    })
    const { settled } = attempt.start()
    await settled
    expect(attempt.takeProgress()).toBe('{"at":2}')
    expect(attempt.takeProgress()).toBeUndefined()
  })

  test('waits while there is no room for it', async () => {
    const attempt = await attemptOf((_, context) => context.progress('x'.repeat(100)))
    await attempt.start().settled
    expect(attempt.takeProgress(50)).toBeUndefined()
    expect(attempt.takeProgress(200)).toHaveLength(102)
  })

  test.each<[string, unknown, string]>([
    ['over 16 KiB', 'x'.repeat(16_384), 'result_too_large'],
    ['over 16 KiB in bytes', 'ä'.repeat(8_192), 'result_too_large'],
    ['that is no JSON', 1n, 'result_invalid'],
  ])('%s throws where it is told', async (_, value, code) => {
    expect(await outcomeOf((_, context) => context.progress(value))).toMatchObject(failed(code))
  })
})

describe('what an agent throws', () => {
  test.each<[string, unknown, object]>([
    ['an error', new Error('no'), { code: 'agent_error', message: 'no', retryable: true }],
    [
      'an error that says not to try again',
      Object.assign(new Error('no'), { retryable: false }),
      { code: 'agent_error', retryable: false },
    ],
    ['an error with a code', Object.assign(new Error('no'), { code: 'ENOSPC' }), { code: 'ENOSPC' }],
    ['text', 'no', { code: 'agent_error', message: 'no' }],
    ['nothing', undefined, { code: 'agent_error' }],
  ])('%s is its failure', async (_, thrown, expected) => {
    const outcome = await outcomeOf(() => {
      throw thrown
    })
    expect(outcome).toMatchObject({ kind: 'failed', failure: expected })
  })
})

describe('the SLA', () => {
  test('aborts the agent and decides the attempt at once, whatever the agent does', async () => {
    let end: () => void = () => undefined
    const attempt = await attemptOf(
      () =>
        new Promise<void>(resolve => {
          end = resolve
        }),
      { sla_ms: 20 },
    )
    const { outcome, settled } = attempt.start()
    const done = vi.fn()
    void settled.then(done)
    expect(await outcome).toMatchObject(failed('attempt_timed_out', 'the attempt exceeded its SLA of 20 ms'))
    expect(done).not.toHaveBeenCalled()
    end()
    await settled
  })

  test('longer than a timer can be does not fire at once', async () => {
    expect(await outcomeOf(() => 1, { sla_ms: 365 * 24 * 3_600_000 })).toEqual({ kind: 'completed', output: '1' })
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
