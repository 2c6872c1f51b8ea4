/** What running attempts do with their task's notes. Only who holds a running claim may. */
import { assertNever, type NoteReply, parseStrictJson, type WorkerRequest } from '@baton/shared'
import type { Database } from '../store/database.js'
import type { NoteStore } from '../store/note-store.js'
import { taskOfClaim } from '../store/notes.js'

type NoteRequest = Extract<WorkerRequest, { type: 'note' }>

export async function answerNote(database: Database, notes: NoteStore, { subtask, claim_id, ask }: NoteRequest): Promise<NoteReply> {
  const task = await taskOfClaim(database, subtask, claim_id)
  if (task === undefined) return { status: 'stale', value: null, names: [] }
  switch (ask.do) {
    case 'set':
      parseStrictJson(ask.value) // others parse it
      return (await notes.set(task, ask.name, ask.value, ask.ttl_ms)) ? done : { ...done, status: 'full' }
    case 'get':
      return { ...done, value: await notes.get(task, ask.name) }
    case 'delete':
      await notes.delete(task, ask.name)
      return done
    case 'list':
      return { ...done, names: await notes.list(task) }
    default:
      return assertNever(ask)
  }
}

const done: NoteReply = { status: 'ok', value: null, names: [] }
