import { maxNoteBytes, type NoteAsk, type NoteReply } from '@baton/shared'
import { expect, test } from 'vitest'
import { createNotes } from './notes.js'

function stage(reply: Partial<NoteReply> = {}) {
  const asked: NoteAsk[] = []
  const notes = createNotes({
    note: async ask => {
      asked.push(ask)
      return { status: 'ok', value: null, names: [], ...reply }
    },
  })
  return { asked, notes }
}

test('a note travels as JSON, with the time that it is kept', async () => {
  const { asked, notes } = stage()
  await notes.set('draft', { at: 3 }, { ttl: '2h' })
  await notes.set('nothing', undefined)
  expect(asked).toEqual([
    { do: 'set', name: 'draft', value: '{"at":3}', ttl_ms: 7_200_000 },
    { do: 'set', name: 'nothing', value: 'null', ttl_ms: 86_400_000 },
  ])
})

test('what is there is read; what is not there is undefined', async () => {
  expect(await stage({ value: '{"at":3}' }).notes.get('draft')).toEqual({ at: 3 })
  expect(await stage().notes.get('draft')).toBeUndefined()
  expect(await stage({ names: ['a', 'b'] }).notes.list()).toEqual(['a', 'b'])
})

const loop: Record<string, unknown> = {}
loop.self = loop
test.each<[string, Parameters<ReturnType<typeof createNotes>['set']>, RegExp]>([
  ['a name that is none', ['ä b', 1], /not a name for a note/],
  ['a name of 201 characters', ['a'.repeat(201), 1], /not a name for a note/],
  ['a value that nests without end', ['a', loop], /nests deeper/],
  ['a number that JSON does not know', ['a', Number.NaN], /NaN/],
  ['too much', ['a', 'x'.repeat(maxNoteBytes)], /at most 65536 bytes/],
  ['a time that is none', ['a', 1, { ttl: 'soon' }], /how long a note can be kept/],
  ['a time beyond a week', ['a', 1, { ttl: '8d' }], /at most 7d/],
])('%s is refused before it travels', async (_, args, message) => {
  const { asked, notes } = stage()
  await expect(notes.set(...args)).rejects.toThrow(message)
  expect(asked).toEqual([])
})

test('a task that is full of notes, and an attempt that was replaced, are told apart', async () => {
  await expect(stage({ status: 'full' }).notes.set('a', 1)).rejects.toMatchObject({ code: 'result_too_large' })
  await expect(stage({ status: 'stale' }).notes.get('a')).rejects.toMatchObject({ code: 'attempt_aborted' })
})
