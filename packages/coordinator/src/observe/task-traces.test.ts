import { silentLogger } from '@baton/shared/node'
import type { SpanOptions } from '@baton/shared/observe'
import { expect, test } from 'vitest'
import { TaskTraces } from './task-traces.js'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

function traces(inDatabase: Record<string, string> = {}) {
  const asked: string[][] = []
  const started: SpanOptions[] = []
  const taskTraces = new TaskTraces({
    tracing: {
      start: (_name, how = {}) => {
        started.push(how)
        return { traceparent: how.parent, end: () => undefined }
      },
      close: async () => undefined,
    },
    database: {
      query: async (_, params = []) => {
        const ids = params[0] as string[] // what is asked for
        asked.push(ids)
        const rows = ids.flatMap(id =>
          inDatabase[id] ? [{ id, traceparent: inDatabase[id], task_id: 'there', subtask_id: `s${id}` }] : [],
        )
        return { rows: rows as never, rowCount: rows.length }
      },
    },
    log: silentLogger(),
  })
  return { taskTraces, asked, started }
}
const row = (id: string) => ({ id, attempt: 1, dispatch: 1, queue: 'q', route_id: 1 })
const subtasks = (...ids: string[]) => ids.map(id => ({ id, subtask_id: `s${id}` }))

test('what was stored here is dispatched without asking, traced or not', async () => {
  const { taskTraces, asked, started } = traces()
  taskTraces.stored({ task_id: 'plain' }, subtasks('1', '2'), undefined)
  taskTraces.stored({ task_id: 'traced' }, subtasks('3'), traceparent)
  const spans = await taskTraces.dispatch([row('1'), row('2'), row('3')])
  expect(asked).toEqual([])
  expect([...spans.keys()]).toHaveLength(1)
  expect(started).toEqual([
    { parent: traceparent, attributes: { 'baton.task_id': 'traced', 'baton.subtask_id': 's3', 'baton.attempt': 1, 'baton.queue': 'q' } },
  ])
})

test('what others stored, and what is dispatched again, is asked for', async () => {
  const { taskTraces, asked } = traces({ '7': traceparent, '1': traceparent })
  taskTraces.stored({ task_id: 'mine' }, subtasks('1'), traceparent)
  expect((await taskTraces.dispatch([row('1'), row('7'), row('8')])).size).toBe(2)
  expect((await taskTraces.dispatch([row('1')])).size).toBe(1)
  expect(asked).toEqual([['7', '8'], ['1']])
})

test('no more is remembered than a bound; the oldest are asked for', async () => {
  const { taskTraces, asked } = traces()
  taskTraces.stored({ task_id: 'old' }, subtasks('old'), traceparent)
  taskTraces.stored({ task_id: 'large' }, subtasks(...Array.from({ length: 30_000 }, (_, n) => String(n))), undefined)
  await taskTraces.dispatch([row('old'), row('0'), row('29999')])
  expect(asked).toEqual([['old', '29999']])
})
