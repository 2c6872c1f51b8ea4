import type { TaskStatus, TaskView } from '@baton/shared'
import { afterEach, describe, expect, test } from 'vitest'
import { createClient } from './client.js'
import { type FakeAnswer, type FakeServer, fakeTask, problem, startFakeServer } from './testing/index.js'

let server: FakeServer | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

type Step = TaskStatus | 'same' | 'break' | 'gone'

/** A server whose task takes these steps, one per poll; the last one stays. */
async function clientOf(steps: readonly Step[]) {
  const started = await startFakeServer((_, n): FakeAnswer => {
    const step = steps[Math.min(n, steps.length) - 1] ?? 'same'
    if (step === 'break') return 'break'
    if (step === 'gone') return problem('task_not_found', 'there is no task feature-7')
    if (step === 'same') return { status: 304 }
    return { body: fakeTask({ status: step }), headers: { etag: `"${n}"` } }
  })
  server = started
  return { baton: createClient({ url: started.url, retry: { repeats: 0, initialMs: 1, maxMs: 2 } }), server: started }
}

async function statuses(snapshots: AsyncIterable<TaskView>): Promise<string[]> {
  const seen: string[] = []
  for await (const task of snapshots) seen.push(task.status)
  return seen
}

const quick = { intervalMs: 0 }

describe('watching', () => {
  test('gives the present snapshot, then one per change, until the task ended', async () => {
    const { baton, server } = await clientOf(['planned', 'same', 'running', 'same', 'same', 'completed'])
    expect(await statuses(baton.tasks.watch('feature-7', quick))).toEqual(['planned', 'running', 'completed'])
    expect(server.requests[0]?.query).toEqual({})
    expect(server.requests[0]?.headers['if-none-match']).toBeUndefined()
    expect(server.requests[1]?.query).toEqual({ wait: '20' })
    expect(server.requests.map(request => request.headers['if-none-match'])).toEqual([undefined, '"1"', '"1"', '"3"', '"3"', '"3"'])
  })

  test('outlasts an outage', async () => {
    const { baton } = await clientOf(['running', 'break', 'break', 'completed'])
    expect(await statuses(baton.tasks.watch('feature-7', quick))).toEqual(['running', 'completed'])
  })

  test('gives up when the outage is longer than its patience', async () => {
    const { baton } = await clientOf(['running', 'break'])
    await expect(statuses(baton.tasks.watch('feature-7', { ...quick, patienceMs: 5 }))).rejects.toMatchObject({ code: 'unreachable' })
  })

  test('does not wait for a coordinator that never answered', async () => {
    const { baton, server } = await clientOf(['break'])
    await expect(statuses(baton.tasks.watch('feature-7', quick))).rejects.toMatchObject({ code: 'unreachable' })
    expect(server.requests).toHaveLength(1)
  })

  test('ends with an error that does not pass', async () => {
    const { baton } = await clientOf(['running', 'gone'])
    await expect(statuses(baton.tasks.watch('feature-7', quick))).rejects.toMatchObject({ code: 'task_not_found' })
  })

  test('ends at once when its signal is aborted', async () => {
    const started = await startFakeServer((_, n) =>
      n === 1 ? { body: fakeTask({ status: 'running' }), headers: { etag: '"1"' } } : new Promise<FakeAnswer>(() => undefined),
    )
    server = started
    const controller = new AbortController()
    const snapshots = createClient({ url: started.url }).tasks.watch('feature-7', { ...quick, signal: controller.signal })
    await snapshots.next()
    const next = snapshots.next()
    controller.abort(new Error('enough'))
    await expect(next).rejects.toThrow('enough')
  })
})

describe('waiting', () => {
  test('returns the ended task in full', async () => {
    const { baton, server } = await clientOf(['running', 'completed'])
    expect((await baton.tasks.wait('feature-7', quick)).status).toBe('completed')
    // The server holds its answer back until the task has settled; that answer is the whole task.
    expect(server.requests.map(({ query }) => [query.until, query.limit])).toEqual([
      ['settled', undefined],
      ['settled', undefined],
    ])
  })

  test('reads small snapshots while it waits for the end itself, and the whole task once', async () => {
    const { baton, server } = await clientOf(['blocked', 'completed'])
    expect((await baton.tasks.wait('feature-7', { ...quick, until: 'terminal' })).status).toBe('completed')
    expect(server.requests.map(({ query }) => query.limit)).toEqual(['1', '1', undefined])
  })

  test('ends at a task that needs somebody, unless told otherwise', async () => {
    const needy = await clientOf(['running', 'needs_review'])
    expect((await needy.baton.tasks.wait('feature-7', quick)).status).toBe('needs_review')
    await needy.server.stop()
    const patient = await clientOf(['running', 'blocked', 'running', 'completed'])
    expect((await patient.baton.tasks.wait('feature-7', { ...quick, until: 'terminal' })).status).toBe('completed')
  })

  test('returns the snapshot of then when its time is over', async () => {
    const { baton } = await clientOf(['running', 'running'])
    expect((await baton.tasks.wait('feature-7', { ...quick, timeoutMs: 20 })).status).toBe('running')
  })
})
