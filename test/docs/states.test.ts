/** docs/states.md says what states.ts says, both ways. The rule of the status is tested beside core/rollup.ts. */
import {
  activeSubtaskStates,
  onFailurePolicies,
  reviewingSubtaskStates,
  type SubtaskState,
  subtaskStates,
  subtaskTransitions,
  taskStatuses,
  taskTransitions,
  terminalSubtaskStates,
  terminalTaskStatuses,
} from '@baton/shared'
import { expect, test } from 'vitest'
import { repositoryFile, tableUnder } from './markdown-table.js'

const text = repositoryFile('docs/states.md')

function kindOf(state: SubtaskState): string {
  const among = (list: readonly SubtaskState[]) => list.includes(state)
  if (among(terminalSubtaskStates)) return 'terminal'
  if (among(activeSubtaskStates)) return 'active'
  if (among(reviewingSubtaskStates)) return 'in review'
  return state === 'blocked' ? 'blocked' : 'waiting'
}

/** As the documents write a table of transitions. */
function rowsOf(transitions: Record<string, { from: readonly string[]; to: string; when: string }>): string[][] {
  return Object.entries(transitions).map(([name, { from, to, when }]) => [name, from.join(', '), to, when.replaceAll('`', '')])
}

test('the documented states of subtasks are those of the code, of the same kinds', () => {
  expect(tableUnder(text, 'States of a subtask').map(row => row.slice(0, 2))).toEqual(subtaskStates.map(state => [state, kindOf(state)]))
})

test('the documented statuses of tasks are those of the code', () => {
  const terminal: readonly string[] = terminalTaskStatuses
  expect(tableUnder(text, 'Statuses of a task').map(row => row.slice(0, 2))).toEqual(
    taskStatuses.map(status => [status, terminal.includes(status) ? 'yes' : 'no']),
  )
})

test('the documented transitions are those of the code', () => {
  expect(tableUnder(text, 'Transitions of a subtask')).toEqual(rowsOf(subtaskTransitions))
  expect(tableUnder(text, 'Transitions of a task')).toEqual(rowsOf(taskTransitions))
})

test('every policy of a failure is documented', () => {
  const policies = tableUnder(text, 'When a subtask has failed for good').map(([policy]) => policy?.split(' ')[0])
  expect(policies).toEqual([...onFailurePolicies])
})

test('every state but the first can be reached, and terminal ones cannot be left', () => {
  const transitions = Object.values(subtaskTransitions)
  const reached = new Set<string>(transitions.map(transition => transition.to))
  expect(subtaskStates.filter(state => !reached.has(state))).toEqual(['pending'])
  const left = new Set<string>(transitions.flatMap(transition => transition.from))
  expect(terminalSubtaskStates.filter(state => left.has(state))).toEqual([])
  // A finished task runs again by a rerun, and in no other way.
  const { rerun: _, ...others } = taskTransitions
  const leftByTasks = new Set<string>(Object.values(others).flatMap(transition => transition.from))
  expect(terminalTaskStatuses.filter(status => leftByTasks.has(status))).toEqual([])
})
