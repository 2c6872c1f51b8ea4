import { expect, test } from 'vitest'
import type { NewSubtask, NewTask } from '../store/submit.js'
import { Briefs } from './briefs.js'

const row = (id: string, more: Partial<NewSubtask> = {}) =>
  ({ id, name: `s${id}`, subtask_id: `x::t::${id}`, ordinal: Number(id), input: null, gate: null, ...more }) as NewSubtask // as far as it is looked at
const task = (id: string, context = '{}') => ({ id, task_id: `t${id}`, context }) as NewTask // likewise

test('what completes is known to its dependents, once all of theirs have', () => {
  const briefs = new Briefs()
  briefs.stored(
    task('9'),
    [row('1'), row('2'), row('3')],
    [
      ['1', '3', '9'],
      ['2', '3', '9'],
    ],
  )
  expect(briefs.of('1')?.after).toEqual([])
  briefs.completed('2', '"two"')
  expect(briefs.of('3')).toBeUndefined()
  briefs.completed('1', '"one"')
  expect(briefs.of('3')?.after).toEqual(['1', '2'])
})

test('what follows a subtask is the first of its dependents that then waits for nothing else', () => {
  const briefs = new Briefs()
  const edges = [
    ['1', '4', '9'],
    ['2', '4', '9'],
    ['2', '3', '9'],
    ['1', '5', '9'],
  ] as const
  briefs.stored(task('9'), [row('1'), row('2'), row('3'), row('4'), row('5', { gate: 'approval' })], edges)
  const follower = (id: string, ...others: string[]) => briefs.follower(id, new Set([id, ...others]))?.id
  expect(follower('1')).toBeUndefined() // one waits for 2, the other for a person
  expect(follower('2')).toBe('3')
  expect(follower('1', '2')).toBe('4')
  briefs.completed('2', '1')
  expect(briefs.follower('1', new Set(['1']))).toMatchObject({ id: '4', after: ['1', '2'] })
  expect(follower('3')).toBeUndefined()
  expect(follower('77')).toBeUndefined()
})

test('outputs count, too, when there is too much text', () => {
  const briefs = new Briefs({ characters: 1_000 })
  briefs.stored(task('9'), [row('1'), row('2')], [['1', '2', '9']])
  briefs.stored(task('8'), [row('3'), row('4')], [['3', '4', '8']])
  briefs.completed('3', JSON.stringify('x'.repeat(1_000)))
  expect(briefs.of('1')).toBeUndefined()
})

test('a task that ended is forgotten', () => {
  const briefs = new Briefs()
  briefs.stored(task('9'), [row('1')], [])
  briefs.ended('9')
  expect(briefs.of('1')).toBeUndefined()
})

test('the oldest tasks are forgotten when there are too many subtasks, or too much text', () => {
  const few = new Briefs({ subtasks: 3 })
  few.stored(task('9'), [row('1'), row('2')], [])
  few.stored(task('8'), [row('3'), row('4')], [])
  expect(['1', '2', '3', '4'].filter(id => few.of(id))).toEqual(['3', '4'])
  const briefs = new Briefs({ characters: 100 })
  for (let n = 0; n < 10; n++) briefs.stored(task(String(20 + n)), [row(String(30 + n), { input: '123456789' })], [])
  expect(briefs.of('39')).toBeDefined()
  expect(briefs.of('30')).toBeUndefined()
})

test('a task that is too large is not remembered, nor one whose brief may not fit into a message', () => {
  const briefs = new Briefs({ subtasksOfTask: 1 })
  briefs.stored(task('9'), [row('1'), row('2')], [])
  expect(briefs.of('1')).toBeUndefined()
  briefs.stored(task('8'), [row('3', { input: JSON.stringify('x'.repeat(100_000)) })], [])
  expect(briefs.of('3')).toBeUndefined()
})
