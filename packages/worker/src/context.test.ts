import { expect, test } from 'vitest'
import { createContext } from './context.js'
import { testRun } from './testing/port.js'

test('a copy of a context has all that the context has', () => {
  const run = testRun(null)
  const context = createContext(run)
  const copy = { ...context, log: run.log }
  expect(Object.keys(copy).sort()).toEqual(
    [
      ...['taskId', 'taskTitle', 'subtaskId', 'name', 'idempotencyKey', 'attempt', 'signal', 'deadline', 'log', 'context'],
      ...['savedProgress', 'progress', 'stream', 'notes', 'dependencies', 'artifacts', 'spawn'],
    ].sort(),
  )
  expect(copy.signal).toBe(run.signal)
  copy.progress({ step: 1 })
  const { spawn } = context
  spawn({ name: 'more', agent: 'other' })
  expect(run.progress).toEqual([{ step: 1 }])
  expect(run.spawned).toHaveLength(1)
})

test('a context may be wrapped', () => {
  const run = testRun(null)
  const context = createContext(run)
  for (const wrapped of [Object.create(context) as typeof context, new Proxy(context, {})]) {
    expect([wrapped.signal, wrapped.log, wrapped.deadline]).toEqual([run.signal, run.log, run.deadline])
    wrapped.progress(1)
  }
  expect(run.progress).toEqual([1, 1])
})

test('what is made when it is asked for is made once', () => {
  const context = createContext(testRun(null))
  expect(context.notes).toBe(context.notes)
  expect(context.stream).toBe(context.stream)
})

// Getters of its own would each time make V8 a hidden class that keeps the attempt alive until the next full collection.
test('all contexts share the functions of their getters', () => {
  const [one, other] = [createContext(testRun(1)), createContext(testRun(2))].map(Object.getOwnPropertyDescriptors)
  for (const name of ['signal', 'deadline', 'log', 'stream', 'notes', 'dependencies', 'artifacts']) {
    expect(one?.[name]?.get).toBeTypeOf('function')
    expect(one?.[name]?.get).toBe(other?.[name]?.get)
  }
})
