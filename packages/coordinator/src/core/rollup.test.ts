import { subtaskStates, taskStatuses, terminalSubtaskStates } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { count, rollUp } from './rollup.js'

describe('the status of a task', () => {
  test('that is planned, paused or finished stays', () => {
    const counters = count(subtaskStates.map(state => ({ state })))
    const stay = taskStatuses.filter(status => rollUp(status, counters) === status && status !== 'running')
    expect(stay).toEqual(['planned', 'paused', 'completed', 'failed', 'cancelled'])
  })

  test.each([
    ['running', ['needs_review', 'blocked', 'ready', 'pending']],
    ['running', ['retrying', 'completed']],
    ['needs_review', ['blocked', 'awaiting_approval', 'pending']],
    ['needs_review', ['needs_review', 'completed']],
    ['blocked', ['blocked', 'pending', 'completed']],
    ['completed', [...terminalSubtaskStates]],
    ['completed', []],
  ] as const)('is %s with %j', (status, states) => {
    for (const before of ['running', 'blocked', 'needs_review'] as const)
      expect(rollUp(before, count(states.map(state => ({ state }))))).toBe(status)
  })

  test('waits for a person where what is blocked is in review', () => {
    expect(rollUp('running', count([{ state: 'blocked', reviewed: true }, { state: 'blocked' }]))).toBe('needs_review')
  })

  test('is failed when everything ended and something needed was cancelled', () => {
    expect(rollUp('running', count([{ state: 'completed' }, { state: 'cancelled' }]), true)).toBe('failed')
    expect(rollUp('running', count([{ state: 'ready' }, { state: 'cancelled' }]), true)).toBe('running')
  })
})
