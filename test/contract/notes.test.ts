/** What every store of notes does alike. */
import { migrate } from '@baton/coordinator'
import { maxNotes } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { beforeAll, describe, expect, test } from 'vitest'
import { openRedisNotes } from '../../packages/coordinator/src/notes/redis-notes.js'
import type { NoteStore } from '../../packages/coordinator/src/store/note-store.js'
import { postgresNotes } from '../../packages/coordinator/src/store/notes.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { cleanUp, eventually, freshNamespace, servers } from '../harness/index.js'

const kinds: Record<string, () => Promise<NoteStore>> = {
  Postgres: async () => {
    const database = await openPglite({ dataDir: 'memory', log: silentLogger() })
    cleanUp(() => database.close())
    await migrate(database)
    return postgresNotes(database)
  },
  Redis: async () => openRedisNotes({ url: (await servers()).redisUrl, namespace: await freshNamespace(), log: silentLogger() }),
}
const long = 60_000

describe.each(Object.keys(kinds))('notes in %s', kind => {
  let notes: NoteStore
  let task = 0
  beforeAll(async () => {
    const opened = await kinds[kind]?.()
    if (!opened) throw new Error(`there is no ${kind}`)
    notes = opened
    cleanUp(() => notes.close())
  })
  const fresh = () => String(++task)

  test('a note is read, replaced, listed and deleted; another task does not see it', async () => {
    const [own, other] = [fresh(), fresh()]
    expect(await notes.get(own, 'a')).toBeNull()
    expect(await notes.set(own, 'b/2', '{"ü":1.0}', long)).toBe(true)
    expect(await notes.set(own, 'a', '1', long)).toBe(true)
    expect(await notes.set(own, 'a', '2', long)).toBe(true)
    expect(await notes.get(own, 'b/2')).toBe('{"ü":1.0}')
    expect(await notes.get(own, 'a')).toBe('2')
    expect(await notes.list(own)).toEqual(['a', 'b/2'])
    expect([await notes.get(other, 'a'), await notes.list(other)]).toEqual([null, []])
    await notes.delete(own, 'a')
    await notes.delete(own, 'a')
    expect([await notes.get(own, 'a'), await notes.list(own)]).toEqual([null, ['b/2']])
  })

  test('a note runs out, and one that is set again lasts anew', async () => {
    const own = fresh()
    await notes.set(own, 'short', '1', 50)
    await notes.set(own, 'kept', '1', 50)
    await notes.set(own, 'kept', '2', long)
    await eventually(async () => expect(await notes.get(own, 'short')).toBeNull())
    expect([await notes.list(own), await notes.get(own, 'kept')]).toEqual([['kept'], '2'])
  })

  test('a task has so many notes and no more; what has run out makes room', async () => {
    const own = fresh()
    for (let n = 1; n < maxNotes; n++) await notes.set(own, `n${n}`, '1', long)
    expect(await notes.set(own, 'last', '1', 300)).toBe(true)
    expect(await notes.set(own, 'one more', '1', long)).toBe(false)
    expect(await notes.set(own, 'n1', '2', long)).toBe(true)
    await eventually(async () => expect(await notes.set(own, 'one more', '1', long)).toBe(true))
  })
})
