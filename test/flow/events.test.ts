/** What happens, as it is told: in order, each once, to whoever comes when and from where they like. */
import { createClient } from '@baton/client'
import { type EventView, isEventFilter } from '@baton/shared'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { databases } from './both-databases.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'

const echo = defineAgent({ name: 'echo', concurrency: 20, run: input => input })
/** Streams so many words; every other attempt fails behind the first half. */
const talker = defineAgent<{ words: number }>({
  name: 'talker',
  concurrency: 5,
  async run({ words }, context) {
    for (let n = 0; n < words; n++) {
      await context.stream(`${context.name} ${n}`)
      if (context.attempt === 1 && n * 2 >= words) throw new Error('lost the thread')
    }
    return words
  },
})

describe.each(databases)('on %s', (kind, open) => {
  let local: OpenLocal
  let tasks = 0
  beforeAll(async () => {
    local = await startOpenLocal(await open())
    await local.host([echo, talker])
  })
  afterAll(() => local?.stop())

  const submit = async (execute = true, width = 3, task_id = `e${++tasks}`) => {
    const leaves = Array.from({ length: width }, (_, i) => ({ name: `s${i}`, capability: 'echo' }))
    await local.client.tasks.submit({
      task_id,
      title: 'x',
      execute,
      subtasks: [...leaves, { name: 'join', capability: 'echo', depends_on: leaves.map(leaf => leaf.name) }],
    })
    return task_id
  }
  const wholeOf = async (taskId: string, after?: string) => {
    const told: EventView[] = []
    for await (const event of local.client.tasks.events(taskId, { ...(after !== undefined && { after }) })) told.push(event)
    return told
  }

  test('a task is told from its beginning, while it runs, to its end', async () => {
    const taskId = await submit(false)
    const following = wholeOf(taskId)
    await local.client.tasks.execute(taskId)
    const told = await following
    expect(told.map(event => event.name).filter(name => name.startsWith('task.'))).toEqual([
      'task.planned',
      'task.started',
      'task.completed',
    ])
    expect(told.at(-1)).toMatchObject({ name: 'task.completed', task_id: taskId, subtask_id: null, data: { to: 'completed' } })
    expect(
      told
        .filter(event => event.name === 'subtask.completed')
        .map(event => event.subtask)
        .sort(),
    ).toEqual(['join', 's0', 's1', 's2'])
    expect(await wholeOf(taskId)).toEqual(told) // of a task that has ended, the same at once
  })

  test('resumed behind any event, a stream has no gap and no repeat', async () => {
    const taskId = await submit()
    const whole = (await wholeOf(taskId)).map(event => event.id)
    expect(new Set(whole).size).toBe(whole.length)
    for (const [i, id] of whole.entries()) expect((await wholeOf(taskId, id)).map(event => event.id)).toEqual(whole.slice(i + 1))
  })

  test('many who follow everything under load, and lose their streams all the time, are all told the same', async () => {
    const stop = new AbortController()
    const from = (await local.client.events.list({ limit: 1_000 })).events.at(-1)?.id ?? '0-0'
    const follow = async (breakAfter: number) => {
      const ids: string[] = []
      for (let after = from; ; ) {
        let left = breakAfter
        for await (const event of local.client.events.follow({ after, signal: stop.signal })) {
          ids.push(event.id)
          after = event.id
          if (event.name === 'task.completed' && event.task_id === 'last') return ids
          if (--left === 0) break
        }
      }
    }
    const followers = [3, 7, 1_000].map(follow)
    const busy = await Promise.all(Array.from({ length: 5 }, () => submit(true, 5)))
    for (const taskId of busy) await local.client.tasks.wait(taskId)
    await submit(true, 1, 'last')
    const told = await Promise.all(followers)
    stop.abort()
    for (const ids of told) expect(ids).toEqual(told[0])
    const pages: string[] = []
    for (let after: string | null = from; after !== null; ) {
      const page: Awaited<ReturnType<typeof local.client.events.list>> = await local.client.events.list({ after, limit: 7 })
      pages.push(...page.events.map(event => event.id))
      after = page.next_cursor
    }
    expect(pages.slice(0, told[0]?.length)).toEqual(told[0])
  })

  test.runIf(kind === 'PostgreSQL')('an event whose transaction is slow is told before those that overtook it', async () => {
    const told: string[] = []
    const stop = new AbortController()
    let slow = () => {}
    const committed = new Promise<void>(resolve => {
      slow = resolve
    })
    let begun = () => {}
    const written = new Promise<void>(resolve => {
      begun = resolve
    })
    const insert = (name: string) => ({ text: `insert into events (tenant_id, name) values (1, '${name}')` })
    const after = (await local.client.events.list({ limit: 1_000, names: ['task.*'] })).events.at(-1)?.id
    const transaction = local.database.transaction(async tx => {
      await tx.query(insert('system.paused'))
      begun()
      await committed
    })
    await written
    const following = (async () => {
      for await (const event of local.client.events.follow({ ...(after && { after }), names: ['system.*'], signal: stop.signal })) {
        told.push(event.name)
        if (told.length === 2) return
      }
    })()
    await local.database.query(insert('system.resumed'))
    // By now it is committed; a reader by sequence number alone would tell of it, and never of the other.
    expect((await local.client.events.list({ names: ['system.*'] })).events).toEqual([])
    slow()
    await transaction
    await following
    stop.abort()
    expect(told).toEqual(['system.paused', 'system.resumed'])
  })

  test('what agents stream is told in order, between the events of its task, and is resumed like them', async () => {
    const taskId = `e${++tasks}`
    const subtasks = ['a', 'b'].map(name => ({ name, capability: 'talker', input: { words: 40 } }))
    await local.client.tasks.submit({ task_id: taskId, title: 'x', execute: true, subtasks })
    const whole = await wholeOf(taskId)
    expect(whole.at(-1)?.name).toBe('task.completed')
    for (const { name } of subtasks) {
      const own = whole.filter(event => event.subtask === name)
      const of = (attempt: number) =>
        own
          .filter(event => event.name === 'subtask.output' && event.attempt === attempt)
          .flatMap(event => {
            const { from, chunks } = event.data as { from: number; chunks: string[] }
            return chunks.map((chunk, i) => [from + i, chunk])
          })
      const words = (count: number) => Array.from({ length: count }, (_, n) => [n, `${name} ${n}`])
      expect(of(1)).toEqual(words(21))
      expect(of(2)).toEqual(words(40))
      const names = own.map(event => event.name)
      expect(names.lastIndexOf('subtask.output')).toBeLessThan(names.indexOf('subtask.completed'))
    }
    const ids = whole.map(event => event.id)
    for (const at of [0, 5, ids.length - 2]) expect((await wholeOf(taskId, ids[at])).map(event => event.id)).toEqual(ids.slice(at + 1))
    const listed = await local.client.events.list({ names: ['subtask.output'], limit: 1_000 })
    expect(listed.events).toEqual([]) // only in the stream of its task
  })

  test('filters leave out what was not asked for', async () => {
    const taskId = await submit()
    await wholeOf(taskId) // by then it is settled
    const page = await local.client.events.list({ taskId, names: ['task.*', 'subtask.completed'], limit: 100 })
    expect(page.next_cursor).toBeNull()
    expect(page.events.map(event => event.name)).toEqual([
      'task.planned',
      'task.started',
      ...Array(4).fill('subtask.completed'),
      'task.completed',
    ])
    const { id } = await local.client.orchestrators.create({ name: 'other', agent_id: 'echo' })
    expect((await local.client.events.list({ taskId, orchestratorId: id })).events).toEqual([])
    expect((await local.client.events.list({ taskId, orchestratorId: 'default' })).events).not.toEqual([])
    expect(isEventFilter('task.*') && !isEventFilter('tasks.*') && !isEventFilter('task.done') && isEventFilter('*')).toBe(true)
  })

  test('whoever watches a task is shown how it goes on, told by the stream when to look', async () => {
    const asked: string[] = []
    const client = createClient({
      url: local.url,
      fetch: (input, init) => {
        asked.push(String(input))
        return fetch(input, init)
      },
    })
    const taskId = await submit(false)
    const seen: string[] = []
    for await (const task of client.tasks.watch(taskId)) {
      if (seen.at(-1) !== task.status) seen.push(task.status)
      if (task.status !== 'planned') continue
      await eventually(() => expect(asked).toContain(`${local.url}/events?task_id=${taskId}`))
      await local.client.tasks.execute(taskId)
    }
    expect(seen.filter(status => status !== 'running')).toEqual(['planned', 'completed'])
    expect(asked.filter(url => url.includes('/events'))).toHaveLength(1)
  })

  test('whoever watches may be given what agents stream: all of it, in order, before the end', async () => {
    const taskId = `e${++tasks}`
    await local.client.tasks.submit({
      task_id: taskId,
      title: 'x',
      execute: true,
      subtasks: [{ name: 'a', capability: 'talker', input: { words: 30 } }],
    })
    const told: unknown[] = []
    const onOutput = ({ attempt, data }: EventView) => {
      if (attempt === 2) told.push(...(data as { chunks: string[] }).chunks)
    }
    for await (const { status } of local.client.tasks.watch(taskId, { onOutput })) if (status === 'completed') told.push(status)
    expect(told).toEqual([...Array.from({ length: 30 }, (_, n) => `a ${n}`), 'completed'])
  })

  test('who follows a task that there is not, or from nowhere, is told so', async () => {
    await expect(wholeOf('nobody')).rejects.toMatchObject({ code: 'task_not_found' })
    await expect(local.client.events.list({ orchestratorId: 'nobody' })).rejects.toMatchObject({ code: 'orchestrator_not_found' })
    await expect(local.client.events.follow({ orchestratorId: 'nobody' }).next()).rejects.toMatchObject({ code: 'orchestrator_not_found' })
    const taskId = await submit()
    await expect(wholeOf(taskId, '99999999999-1')).rejects.toMatchObject({ code: 'invalid_request' })
    for (const id of ['abc', '1', '1-', '-1', '1-2-3', '99999999999999999999999-1', '1-99999999999999999999', ' ', '1_000-1']) {
      const refused = await fetch(`${local.url}/tasks/${taskId}/events`, { headers: { 'last-event-id': id } })
      if (id.trim() !== '') expect([id, refused.status]).toEqual([id, 400])
      await refused.body?.cancel()
    }
  })
})
