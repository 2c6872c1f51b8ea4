import { describe, expect, test } from 'vitest'
import { type Surroundings, type WaitingSubtask, whySubtask, whyTask } from './why.js'

const now = new Date('2026-01-01T12:30:00Z')
const free: Surroundings = { orchestratorStatus: 'running', allPaused: null, startsInTurn: null }
const allPaused = { since: new Date('2026-01-01T12:04:00Z'), by: 'ops', reason: null }
const subtask = (changes: Partial<WaitingSubtask> = {}): WaitingSubtask => ({
  state: 'ready',
  capability: 'build',
  pinnedAgent: null,
  requires: [],
  gate: null,
  charged: 1,
  attemptLimit: 3,
  runAfter: new Date('2026-01-01T12:30:08Z'),
  queuedAt: now,
  readyAt: now,
  agent: null,
  workerId: null,
  waitsFor: [],
  reviewedSince: null,
  assignee: null,
  failureMessage: null,
  outOfTime: false,
  waitedOut: null,
  losses: 0,
  cancelling: false,
  ...changes,
})

describe.each(['ready', 'queued', 'retrying'] as const)('a subtask that is %s', state => {
  const why = (surroundings: Partial<Surroundings>, taskStatus: 'running' | 'paused' = 'running') =>
    whySubtask(subtask({ state }), { ...free, ...surroundings, now, taskStatus })

  test('waits for its slot or its time while nothing holds it up', () => {
    expect(why({})).toMatch(state === 'retrying' ? /attempt 2 of 3 starts in 8s/ : /queue of `build`/)
    // Whether slots are free is not known here.
    if (state === 'queued') expect(why({})).toMatch(/; waiting for a worker to take it$/)
  })

  test('says who paused everything and since when, before anything else', () => {
    expect(why({ allPaused, orchestratorStatus: 'paused' }, 'paused')).toBe('everything is paused since 12:04 by ops')
    expect(why({ allPaused: { ...allPaused, reason: 'deploy' } })).toBe('everything is paused since 12:04 by ops (deploy)')
  })

  test('says that its task or its orchestrator is paused', () => {
    expect(why({ orchestratorStatus: 'idle' }, 'paused')).toBe('the task is paused')
    expect(why({ orchestratorStatus: 'paused' })).toBe('its orchestrator is paused')
    expect(why({ orchestratorStatus: 'idle' })).toBe('its orchestrator is idle; it starts nothing until its status is set to running')
  })
})

test('what is in a queue is not said to lack a slot, which nobody here knows', () => {
  expect(whySubtask(subtask({ state: 'queued' }), { ...free, now, taskStatus: 'running' })).toMatch(
    /queue of `build`.*; waiting for a worker to take it$/,
  )
})

test('a task says what holds it up, unless a person has to act', () => {
  expect(whyTask('running', free, undefined, 't')).toBeUndefined()
  expect(whyTask('running', { ...free, allPaused }, undefined, 't')).toBe('everything is paused since 12:04 by ops')
  expect(whyTask('running', { ...free, orchestratorStatus: 'paused' }, undefined, 't')).toBe('its orchestrator is paused')
  expect(whyTask('needs_review', { ...free, allPaused }, { name: 'a', why: 'waiting for approval' }, 't')).toBe('a: waiting for approval')
  expect(whyTask('completed', { ...free, allPaused }, undefined, 't')).toBeUndefined()
})

test('a planned task waits to be started, or for its turn', () => {
  expect(whyTask('planned', free, undefined, 't')).toBe('planned; start it with POST /execute/t')
  expect(whyTask('planned', { ...free, startsInTurn: { atOnce: 1 } }, undefined, 't')).toBe(
    'waits for its turn: its orchestrator runs one task at once',
  )
  expect(whyTask('planned', { ...free, startsInTurn: { atOnce: null } }, undefined, 't')).toBe('waits for its turn')
  const idle = { ...free, orchestratorStatus: 'idle', startsInTurn: { atOnce: 2 } }
  expect(whyTask('planned', idle, undefined, 't')).toBe(
    'waits for its turn: its orchestrator runs 2 tasks at once; its orchestrator is idle; it starts nothing until its status is set to running',
  )
  expect(whySubtask(subtask({ state: 'pending' }), { ...free, allPaused, now, taskStatus: 'planned' })).toBe('its task has not started')
})

test('what is in review says whether its attempts or its deadline ended', () => {
  const inReview = subtask({ state: 'needs_review', charged: 2, attemptLimit: 3, failureMessage: 'it broke', assignee: 'ann' })
  expect(whySubtask(inReview, { ...free, now, taskStatus: 'running' })).toBe(
    '2 of 3 attempts are used up (it broke); waiting for a decision by ann',
  )
  expect(whySubtask({ ...inReview, outOfTime: true }, { ...free, now, taskStatus: 'running' })).toBe(
    'its deadline has passed; waiting for a decision by ann',
  )
})
