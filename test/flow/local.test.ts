import { type Local, startLocal } from '@baton/local'
import type { SubtaskView, TaskView } from '@baton/shared'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'

/** What the agents of these tests are told to do, by the input of their subtask. */
const calls: { name: string; attempt: number; key: string; saved: unknown }[] = []

const echo = defineAgent({
  name: 'echo',
  concurrency: 8,
  run: (input, context) => {
    calls.push({
      name: `${context.taskId}/${context.name}`,
      attempt: context.attempt,
      key: context.idempotencyKey,
      saved: context.savedProgress,
    })
    return { got: input }
  },
})
const flaky = defineAgent<{ failures: number; retryable?: boolean }>({
  name: 'flaky',
  concurrency: 4,
  run: ({ failures, retryable }, context) => {
    context.progress({ reached: context.attempt })
    if (context.attempt <= failures)
      throw Object.assign(new Error(`attempt ${context.attempt} failed`), retryable === undefined ? {} : { retryable })
    return { attempts: context.attempt, saved: context.savedProgress }
  },
})
const typed = defineAgent({
  name: 'typed',
  input: z.object({ n: z.number() }),
  output: z.object({ doubled: z.number() }),
  run: ({ n }) => (n < 0 ? ({ wrong: true } as never) : { doubled: 2 * n }),
})
const spawner = defineAgent<{ children: number }>({
  name: 'spawner',
  run: ({ children }, context) => {
    for (let i = 0; i < children; i++) context.spawn({ name: `${context.name}-child-${i}`, capability: 'echo', input: { i } })
    return { children }
  },
})
const joiner = defineAgent({
  name: 'joiner',
  run: async (_, context) => {
    const seen: [string, string, unknown][] = []
    for await (const dependency of context.dependencies) seen.push([dependency.name, dependency.state, await dependency.output()])
    return seen
  },
})
const maker = defineAgent<{ artifact?: number; output?: number; text?: string }>({
  name: 'maker',
  run: async ({ artifact, output, text }, context) => {
    if (artifact !== undefined) await context.artifacts.put('data.bin', Buffer.alloc(artifact, 7), { mediaType: 'application/x-test' })
    if (text !== undefined) return { text }
    return output === undefined ? null : 'x'.repeat(output)
  },
})
const reader = defineAgent({
  name: 'reader',
  run: async (_, context) => {
    const dependency = await context.dependencies.get('make')
    const bytes = await dependency.artifact('data.bin')
    return { bytes: bytes.length, allSeven: bytes.every(b => b === 7) }
  },
})
const hanging = defineAgent({
  name: 'hanging',
  run: (_, context) =>
    new Promise((_, reject) => context.signal.addEventListener('abort', () => reject(context.signal.reason), { once: true })),
})
const noting = defineAgent<{ set?: unknown }>({
  name: 'noting',
  run: async ({ set }, { notes }) => {
    if (set !== undefined) await notes.set('left', set, { ttl: '1h' })
    return { found: (await notes.get('left')) ?? null, names: await notes.list() }
  },
})
const gpu = defineAgent({ name: 'gpu-echo', capabilities: ['render', 'gpu'], run: (_, context) => context.subtaskId })
const cpu = defineAgent({ name: 'cpu-echo', capabilities: ['render'], run: (_, context) => context.subtaskId })
const timed = defineAgent({ name: 'timed', run: (_, context) => context.deadline.getTime() - Date.now() })
const bad = defineAgent<{ what: string }>({
  name: 'bad',
  run: ({ what }) => {
    if (what === 'nul') return 'a\u0000b'
    if (what === 'surrogate') return '\ud800'
    if (what === 'nan') return { n: Number.NaN }
    if (what === 'huge') return 'x'.repeat(17 * 1024 * 1024)
    let deep: unknown = 1
    for (let i = 0; i < 100_000; i++) deep = [deep]
    return deep
  },
})

let local: Local
beforeAll(async () => {
  local = await startLocal({
    agents: [echo, flaky, typed, spawner, joiner, maker, reader, hanging, noting, gpu, cpu, timed, bad],
    backoff: { initialMs: 20, maxMs: 100 },
  })
})
afterAll(async () => {
  await local?.stop()
})

let count = 0
type Subtasks = NonNullable<Parameters<Local['client']['tasks']['submit']>[0]['subtasks']>

async function run(subtasks: Subtasks, extra: Record<string, unknown> = {}): Promise<TaskView> {
  const task_id = `t${++count}`
  await local.client.tasks.submit({ task_id, title: 'A test', subtasks, execute: true, ...extra })
  return local.client.tasks.wait(task_id, { timeoutMs: 60_000 })
}
const named = (task: TaskView, name: string): SubtaskView => {
  const found = task.subtasks.find(s => s.name === name)
  if (!found) throw new Error(`no subtask ${name}`)
  return found
}

describe('a task that goes well', () => {
  test('runs a chain in order and hands outputs on through templates', async () => {
    const task = await run([
      { name: 'a', capability: 'echo', input: { x: 1 } },
      {
        name: 'b',
        capability: 'echo',
        depends_on: ['a'],
        input: { whole: '{{a.outputs}}', text: 'x is {{a.outputs.got.x}} in {{task.title}}' },
      },
      // Refers further up than its own dependency.
      { name: 'c', capability: 'echo', depends_on: ['b'], input: '{{a.outputs.got.x}}' },
    ])
    expect(task.status).toBe('completed')
    expect(named(task, 'b').outputs).toEqual({ got: { whole: { got: { x: 1 } }, text: 'x is 1 in A test' } })
    expect(named(task, 'c').outputs).toEqual({ got: 1 })
    const [a, b, c] = ['a', 'b', 'c'].map(name => named(task, name))
    expect(b?.started_at ?? '' > (a?.finished_at ?? '')).toBeTruthy()
    expect(Date.parse(c?.started_at ?? '')).toBeGreaterThanOrEqual(Date.parse(b?.finished_at ?? ''))
    expect(task.status_history.map(h => h.to)).toEqual(['planned', 'running', 'completed'])
    expect(task.metrics.subtasks_completed).toBe(3)
  })

  test('an agent is told when it has to be done: by the end of its SLA, or of its subtask where that comes first', async () => {
    const task = await run([
      { name: 'sla', capability: 'timed', sla_seconds: 50, deadline_seconds: 100 },
      { name: 'whole', capability: 'timed', deadline_seconds: 100 },
      { name: 'neither', capability: 'timed' },
    ])
    const left = ['sla', 'whole', 'neither'].map(name => Number(named(task, name).outputs))
    for (const [i, seconds] of [50, 100, 3_600].entries()) {
      expect(left[i]).toBeLessThanOrEqual(seconds * 1_000)
      expect(left[i]).toBeGreaterThan(seconds * 1_000 - 30_000)
    }
  })

  test('the subtasks of a task leave notes for each other, and another task does not see them', async () => {
    const task = await run([
      { name: 'a', capability: 'noting', input: { set: { section: 3 } } },
      { name: 'b', capability: 'noting', input: {}, depends_on: ['a'] },
    ])
    expect(named(task, 'b').outputs).toEqual({ found: { section: 3 }, names: ['left'] })
    expect(named(await run([{ name: 'a', capability: 'noting', input: {} }]), 'a').outputs).toEqual({ found: null, names: [] })
  })

  test('fans out and joins with every output, in the order of the plan', async () => {
    const names = Array.from({ length: 150 }, (_, i) => `part-${i}`)
    const task = await run([
      ...names.map((name, i) => ({ name, capability: 'echo', input: i })),
      { name: 'join', capability: 'joiner', depends_on: names },
    ])
    expect(task.status).toBe('completed')
    expect(named(task, 'join').outputs).toEqual(names.map((name, i) => [name, 'completed', { got: i }]))
  })

  test('makes what waits for a spawner wait for its children too', async () => {
    const task = await run([
      { name: 'top', capability: 'spawner', input: { children: 5 } },
      { name: 'join', capability: 'joiner', depends_on: ['top'] },
    ])
    expect(task.status).toBe('completed')
    expect(task.subtasks).toHaveLength(7)
    const seen = named(task, 'join').outputs as [string, string, unknown][]
    expect(seen.map(([name]) => name)).toEqual(['top', ...Array.from({ length: 5 }, (_, i) => `top-child-${i}`)])
    expect(named(task, 'top-child-3').subtask_id).toBe(`echo::${task.task_id}::4`)
    for (let i = 0; i < 5; i++)
      expect(Date.parse(named(task, 'join').started_at ?? '')).toBeGreaterThanOrEqual(
        Date.parse(named(task, `top-child-${i}`).finished_at ?? ''),
      )
  })

  test('runs 3,000 spawned subtasks whose list is larger than one message', async () => {
    const task = await run([{ name: 'many', capability: 'spawner', input: { children: 3_000 } }])
    expect(task.status).toBe('completed')
    expect(task.metrics.subtasks_completed).toBe(3_001)
  })

  test('stores artifacts in chunks and hands them to dependents', async () => {
    const task = await run([
      { name: 'make', capability: 'maker', input: { artifact: 1_000_000 } },
      { name: 'read', capability: 'reader', depends_on: ['make'] },
    ])
    expect(named(task, 'read').outputs).toEqual({ bytes: 1_000_000, allSeven: true })
    expect(task.artifacts).toMatchObject([{ name: 'data.bin', bytes: 1_000_000, media_type: 'application/x-test' }])
    const bytes = await local.client.tasks.artifact(task.task_id, `maker::${task.task_id}::1`, 'data.bin')
    expect(Buffer.from(bytes).equals(Buffer.alloc(1_000_000, 7))).toBe(true)
  })

  test('carries an output of several megabytes to a dependent', async () => {
    const task = await run([
      { name: 'make', capability: 'maker', input: { output: 3_000_000 } },
      { name: 'join', capability: 'joiner', depends_on: ['make'] },
    ])
    expect(task.status).toBe('completed')
    const text = JSON.stringify(named(task, 'join').outputs ?? '')
    // Too large for a list: it is left out there, and read one by one.
    expect(text.length).toBeLessThan(300_000)
  })

  test('keeps the bytes of inputs as they were sent', async () => {
    const task_id = `t${++count}`
    const body = `{"task_id":"${task_id}","title":"bytes","subtasks":[{"name":"a","capability":"echo","input":{"b": 1.0, "2": 1e2, "1": "\\u00e9"}}]}`
    const answer = await fetch(`${local.url}/orchestrate`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    expect(answer.status).toBe(201)
    const again = await fetch(`${local.url}/orchestrate`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    expect(again.status).toBe(200)
  })
})

describe('an attempt that fails', () => {
  test('is tried again with what it saved, under the same idempotency key', async () => {
    const task = await run([{ name: 'f', capability: 'flaky', input: { failures: 2 } }])
    expect(task.status).toBe('completed')
    expect(named(task, 'f')).toMatchObject({ attempt: 3, outputs: { attempts: 3, saved: { reached: 2 } } })
  })

  test('is reviewed by a person when no attempt is left', async () => {
    const task = await run([
      { name: 'f', capability: 'flaky', input: { failures: 99 } },
      { name: 'after', capability: 'echo', depends_on: ['f'] },
    ])
    expect(task.status).toBe('needs_review')
    expect(named(task, 'f')).toMatchObject({
      state: 'needs_review',
      attempt: 3,
      failure: { code: 'agent_error', message: 'attempt 3 failed' },
    })
    expect(named(task, 'f').why).toMatch(/3 of 3 attempts are used up \(attempt 3 failed\); waiting for a decision/)
    expect(named(task, 'after').why).toBe('waiting for `f` to finish')
    expect(task.review).toMatchObject({ kind: 'exhausted', subtask_id: named(task, 'f').subtask_id })
    await expect(local.client.tasks.execute(task.task_id)).rejects.toMatchObject({ code: 'state_conflict' })
  })

  test('is not tried again when it says so, nor more often than it may', async () => {
    expect(named(await run([{ name: 'f', capability: 'flaky', input: { failures: 99, retryable: false } }]), 'f').attempt).toBe(1)
    expect(named(await run([{ name: 'f', capability: 'flaky', input: { failures: 99 }, max_attempts: 5 }]), 'f').attempt).toBe(5)
  })

  test('fails the task under `fail`, and what is left is cancelled', async () => {
    const task = await run([
      { name: 'f', capability: 'flaky', input: { failures: 99 }, on_failure: 'fail', max_attempts: 1 },
      { name: 'hang', capability: 'hanging' },
      { name: 'after', capability: 'echo', depends_on: ['f'] },
    ])
    expect(task.status).toBe('failed')
    const end = await settled(task.task_id)
    expect([named(end, 'f').state, named(end, 'hang').state, named(end, 'after').state]).toEqual(['failed', 'cancelled', 'cancelled'])
  })

  test('lets dependents run without its output under `skip`, and with its failure under `continue`', async () => {
    const task = await run([
      { name: 's', capability: 'flaky', input: { failures: 99 }, on_failure: 'skip', max_attempts: 1 },
      { name: 'c', capability: 'flaky', input: { failures: 99 }, on_failure: 'continue', max_attempts: 1 },
      { name: 'join', capability: 'joiner', depends_on: ['s', 'c'] },
    ])
    expect(task.status).toBe('completed')
    expect(named(task, 'join').outputs).toEqual([
      ['s', 'skipped', null],
      ['c', 'failed', null],
    ])
  })

  test('is refused before it runs when its input does not fit, and after when its output does not', async () => {
    const wrong = await run([{ name: 't', capability: 'typed', input: { n: 'seven' } }])
    expect(named(wrong, 't')).toMatchObject({ attempt: 1, failure: { code: 'input_invalid' } })
    const bad = await run([{ name: 't', capability: 'typed', input: { n: -1 }, max_attempts: 2 }])
    expect(named(bad, 't')).toMatchObject({ attempt: 2, failure: { code: 'output_invalid' } })
  })

  test.each(['nul', 'surrogate', 'nan', 'deep', 'huge'])(
    'with a result that cannot be stored (%s) fails alone, with a clear code',
    async what => {
      const task = await run([
        { name: 'bad', capability: 'bad', input: { what }, max_attempts: 1 },
        ...Array.from({ length: 5 }, (_, i) => ({ name: `mate-${i}`, capability: 'echo' })),
      ])
      expect(named(task, 'bad').failure?.code).toBe(what === 'huge' ? 'result_too_large' : 'result_invalid')
      for (let i = 0; i < 5; i++) expect(named(task, `mate-${i}`).state).toBe('completed')
    },
  )

  test('that exceeds its SLA is aborted and replaced', async () => {
    const task = await run([{ name: 'h', capability: 'hanging', sla_seconds: 0.2, max_attempts: 2 }])
    expect(named(task, 'h')).toMatchObject({ state: 'needs_review', attempt: 2, failure: { code: 'attempt_timed_out' } })
  })
})

describe('routing', () => {
  test('sends what needs more than the capability, or one agent, to an agent that has it', async () => {
    const task = await run([
      { name: 'pinned', capability: 'render', agent: 'cpu-echo' },
      { name: 'tagged', capability: 'render', requires: ['gpu'] },
      { name: 'any', capability: 'render' },
      { name: 'by-agent', agent: 'gpu-echo' },
    ])
    expect(task.status).toBe('completed')
    expect(named(task, 'pinned')).toMatchObject({ agent: 'cpu-echo', subtask_id: `cpu-echo::${task.task_id}::1` })
    expect(named(task, 'tagged').agent).toBe('gpu-echo')
    expect(named(task, 'by-agent').agent).toBe('gpu-echo')
  })

  test('blocks a task at once when nobody can take its first steps, and goes on when a provider comes', async () => {
    const task_id = `t${++count}`
    await local.client.tasks.submit({ task_id, title: 'x', subtasks: [{ name: 'a', capability: 'late' }] })
    await expect(local.client.tasks.execute(task_id)).rejects.toMatchObject({ code: 'agent_unavailable' })
    const blocked = await local.client.tasks.get(task_id)
    expect(blocked.status).toBe('blocked')
    expect(named(blocked, 'a').why).toBe('no live worker offers `late`')
    const all = [echo, flaky, typed, spawner, joiner, maker, reader, hanging, gpu, cpu, bad]
    await local.replaceAgents([...all, defineAgent({ name: 'late', run: () => 'here' })])
    const done = await settled(task_id)
    expect(done.status).toBe('completed')
    expect(done.status_history.map(h => h.to)).toEqual(['planned', 'blocked', 'running', 'completed'])
  })
})

test('the worker of local mode is not drained: nothing would take work after it', async () => {
  const { workers } = local.client
  const [worker] = await workers.list()
  await expect(workers.drain(worker?.id ?? '')).rejects.toMatchObject({
    code: 'state_conflict',
    message: expect.stringMatching(/local mode.*POST \/pause/),
  })
  await expect(workers.drain('nobody')).rejects.toMatchObject({ code: 'worker_not_found' })
  expect((await workers.list())[0]).toMatchObject({ state: 'ready' })
  expect((await run([{ name: 'a', capability: 'echo' }])).status).toBe('completed')
})

describe('submitting', () => {
  test('the same body twice is one task; another body under its id is a conflict that names the fields', async () => {
    const request = { task_id: `t${++count}`, title: 'same', subtasks: [{ name: 'a', capability: 'echo', input: { k: 1, j: 2 } }] }
    const both = await Promise.all([local.client.tasks.submit(request), local.client.tasks.submit(request)])
    expect(both[0]?.subtasks[0]?.subtask_id).toBe(both[1]?.subtasks[0]?.subtask_id)
    await expect(local.client.tasks.submit({ ...request, title: 'other' })).rejects.toMatchObject({
      code: 'task_conflict',
      fields: [{ path: 'title' }],
    })
    // `execute` is not part of the body that is compared, and keys have no order.
    await local.client.tasks.submit({ ...request, subtasks: [{ capability: 'echo', name: 'a', input: { j: 2, k: 1 } }], execute: true })
  })

  test('a dry run plans and stores nothing', async () => {
    const task_id = `t${++count}`
    const planned = await local.client.tasks.submit(
      { task_id, title: 'Add PDF export', description: 'Add PDF export, then deploy it.' },
      { dryRun: true },
    )
    expect(planned.subtasks.length).toBeGreaterThan(1)
    await expect(local.client.tasks.get(task_id)).rejects.toMatchObject({ code: 'task_not_found' })
  })

  test('an unknown orchestrator is refused', async () => {
    await expect(
      local.client.tasks.submit({
        task_id: `t${++count}`,
        title: 'x',
        orchestrator_id: 'nobody',
        subtasks: [{ name: 'a', capability: 'echo' }],
      }),
    ).rejects.toMatchObject({ code: 'orchestrator_not_found' })
  })

  test('a gate holds a subtask back until a person approves', async () => {
    const task = await run([
      { name: 'a', capability: 'echo' },
      { name: 'b', capability: 'echo', depends_on: ['a'], requires_approval: true },
    ])
    expect(task.status).toBe('needs_review')
    expect(named(task, 'b')).toMatchObject({ state: 'awaiting_approval', attempt: 0 })
    expect(task.review).toMatchObject({ kind: 'approval' })
  })
})

/** The task once nothing of it can change any more. */
async function settled(taskId: string): Promise<TaskView> {
  return vi.waitFor(
    async () => {
      const task = await local.client.tasks.get(taskId)
      const unfinished = task.subtasks.filter(s => ['pending', 'ready', 'queued', 'running', 'retrying', 'blocked'].includes(s.state))
      expect(unfinished).toEqual([])
      expect(task.status).not.toBe('running') // a view is read in several statements: its parts may be of different moments
      return task
    },
    { timeout: 15_000, interval: 20 },
  )
}
