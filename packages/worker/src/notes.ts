/** The notes of a running attempt's task. What an agent hands over wrongly is refused here, where it calls. */
import {
  BatonError,
  defaultNoteTtlMs,
  formatDuration,
  jsonProblem,
  maxNoteBytes,
  maxNotes,
  maxNoteTtlMs,
  type NoteAsk,
  type NoteReply,
  noteNameSchema,
  parseDuration,
} from '@baton/shared'
import type { AgentContext } from './agent.js'

/** Asks on behalf of the claim: the worker itself, or an isolated child through its worker. */
export interface NotePort {
  note(ask: NoteAsk): Promise<NoteReply>
}

export function createNotes(port: NotePort): AgentContext['notes'] {
  const asked = async (ask: NoteAsk): Promise<NoteReply> => {
    const reply = await port.note(ask)
    if (reply.status === 'stale') throw new BatonError('attempt_aborted', "the attempt is no longer this worker's")
    if (reply.status === 'full')
      throw new BatonError(
        'result_too_large',
        `a task may have at most ${maxNotes} notes at once; delete some, or give them a shorter \`ttl\``,
      )
    return reply
  }
  return {
    set: async (name, value, { ttl } = {}) => {
      checkName(name)
      const problem = jsonProblem(value)
      const text = problem ? '' : (JSON.stringify(value) ?? 'null')
      if (problem) throw new BatonError('result_invalid', `the note ${problem}`)
      if (Buffer.byteLength(text) > maxNoteBytes)
        throw new BatonError('result_too_large', `a note may have at most ${maxNoteBytes} bytes of JSON; store more as an artifact`)
      await asked({ do: 'set', name, value: text, ttl_ms: ttl === undefined ? defaultNoteTtlMs : ttlMs(ttl) })
    },
    get: async name => {
      checkName(name)
      const { value } = await asked({ do: 'get', name })
      return value === null ? undefined : (JSON.parse(value) as unknown)
    },
    delete: async name => {
      checkName(name)
      await asked({ do: 'delete', name })
    },
    list: async () => (await asked({ do: 'list' })).names,
  }
}

function ttlMs(ttl: string): number {
  const ms = parseDuration(ttl)
  if (ms === undefined || ms < 1 || ms > maxNoteTtlMs)
    throw new BatonError(
      'result_invalid',
      `${JSON.stringify(ttl)} is not how long a note can be kept; such as \`10m\`, at most ${formatDuration(maxNoteTtlMs)}`,
    )
  return ms
}

function checkName(name: string): void {
  if (!noteNameSchema.safeParse(name).success)
    throw new BatonError(
      'result_invalid',
      `${JSON.stringify(name)} is not a name for a note; use letters, digits, \`_\`, \`.\`, \`:\`, \`/\` and \`-\`, at most 200`,
    )
}
