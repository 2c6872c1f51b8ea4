/** Notes in Redis: a key with a time to live for each, and an index of names, for lists and for the limit. */
import { BatonError, maxNotes, maxNoteTtlMs, noteKeys } from '@baton/shared'
import { type Logger, redisConnection } from '@baton/shared/node'
import { Redis } from 'ioredis'
import type { NoteStore } from '../store/note-store.js'

interface RedisNotesOptions {
  readonly url: string
  readonly namespace: string
  readonly log: Logger
}

/** How long a note waits for a Redis that is away; the agent is told then. */
const patienceMs = 5_000

/** One step, so that two coordinators cannot both take the last place. ARGV: name, value, ttl, now, limit, longest ttl. */
const setNote = `
redis.call('zremrangebyscore', KEYS[2], '-inf', ARGV[4])
if not redis.call('zscore', KEYS[2], ARGV[1]) and redis.call('zcard', KEYS[2]) >= tonumber(ARGV[5]) then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('zadd', KEYS[2], ARGV[4] + ARGV[3], ARGV[1])
redis.call('pexpire', KEYS[2], ARGV[6])
return 1`

/** Connects when the first note is asked for. */
export function openRedisNotes({ url, namespace, log }: RedisNotesOptions): NoteStore {
  const connection = new Redis({
    ...redisConnection(url, 'baton-notes'),
    lazyConnect: true,
    maxRetriesPerRequest: null,
    commandTimeout: patienceMs,
  })
  connection.on('error', error => log.debug({ reason: error.message }, 'the connection for notes is away'))
  const ask = <T>(work: Promise<T>): Promise<T> =>
    work.catch(cause => {
      throw new BatonError('unavailable', 'Redis, which keeps the notes, does not answer', { cause })
    })
  return {
    async set(taskPk, name, value, ttlMs) {
      const { note, index } = noteKeys(namespace, taskPk)
      const args = [name, value, ttlMs, Date.now(), maxNotes, maxNoteTtlMs]
      return (await ask(connection.eval(setNote, 2, note(name), index, ...args))) === 1
    },
    get: (taskPk, name) => ask(connection.get(noteKeys(namespace, taskPk).note(name))),
    async delete(taskPk, name) {
      const { note, index } = noteKeys(namespace, taskPk)
      await ask(connection.multi().del(note(name)).zrem(index, name).exec())
    },
    async list(taskPk) {
      const names = await ask(connection.zrangebyscore(noteKeys(namespace, taskPk).index, `(${Date.now()}`, '+inf'))
      return names.sort()
    },
    async close() {
      connection.disconnect()
    },
  }
}
