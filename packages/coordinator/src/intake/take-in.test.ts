import { BatonError } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import type { SubmitOutcome } from '../commands/api.js'
import { readSubmissionText } from '../http/index.js'
import { takeIn } from './take-in.js'

const caller = { tenantId: 1, actor: 'intake' }
const text = JSON.stringify({ task_id: 't-1', title: 'T', subtasks: [{ name: 'a', capability: 'c' }] })

const taking = (data: string, outcome: Partial<SubmitOutcome> | Error) =>
  takeIn(data, {
    caller,
    read: readSubmissionText,
    api: {
      submit: async () => {
        if (outcome instanceof Error) throw outcome
        return [outcome as SubmitOutcome] // as far as it is looked at
      },
    },
  })
const refused = (error: BatonError) => taking(text, { kind: 'refused', error })

test('a task that was stored, or is known, is taken', async () => {
  const task = { task_id: 't-1', status: 'planned' } as Extract<SubmitOutcome, { kind: 'created' }>['task'] // as far as it is looked at
  expect(await taking(text, { kind: 'created', task })).toEqual({ kind: 'taken', taskId: 't-1', outcome: 'created', status: 'planned' })
  expect(await taking(text, { kind: 'existing', task })).toMatchObject({ kind: 'taken', outcome: 'existing' })
})

describe('refused for good is', () => {
  test.each([
    ['what is no JSON', '{"task_id": NaN}', 'invalid_json'],
    ['nothing', '', 'invalid_request'],
    ['a number', '1e400', 'invalid_json'],
    ['a key that stands twice', '{"task_id":"a","task_id":"b","title":"T"}', 'invalid_json'],
    ['what is too deep', `${'['.repeat(100)}${']'.repeat(100)}`, 'invalid_json'],
    ['an unknown key', JSON.stringify({ ...JSON.parse(text), surprise: 1 }), 'invalid_request'],
  ])('%s', async (_, data, code) => {
    const taken = await taking(data, new Error('not asked'))
    expect(taken).toMatchObject({ kind: 'refused', taskId: undefined })
    expect(JSON.parse((taken as { reason: string }).reason)).toMatchObject({ code, detail: expect.any(String) })
  })

  test('another body under a known id, with the fields that differ', async () => {
    const taken = await refused(new BatonError('task_conflict', 'it differs', { fields: [{ path: 'title', issue: 'differs' }] }))
    expect(taken).toEqual({
      kind: 'refused',
      taskId: 't-1',
      reason: '{"code":"task_conflict","detail":"it differs","fields":[{"path":"title","issue":"differs"}]}',
    })
  })
})

describe('put off is', () => {
  test('what Postgres cannot commit at present', async () => {
    expect(await taking(text, new BatonError('unavailable', 'away'))).toEqual({ kind: 'later', afterMs: 2_000 })
  })

  test('a task of an orchestrator that is full, for as long as it says', async () => {
    const full = new BatonError('task_limit_reached', 'full', { extra: { retry_after_seconds: 5 } })
    expect(await refused(full)).toEqual({ kind: 'later', afterMs: 5_000 })
  })
})

test('a fault of ours is thrown, and nobody is told its words', async () => {
  await expect(taking(text, new Error('a secret'))).rejects.toThrow('a secret')
})
