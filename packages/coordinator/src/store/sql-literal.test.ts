import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from './database.js'
import { openPglite } from './pglite.js'

let database: Database
beforeAll(async () => {
  database = await openPglite({ dataDir: 'memory', log: silentLogger() })
})
afterAll(() => database?.close())

test.each(["it's", "'; drop table x; --", '\\', "\\'", 'a\nb', '$1', '', '{"a": "b\\u0041"}', '日本', '"'])(
  'the text %j arrives as it is',
  async text => {
    const statement = { name: 'echo_text', text: 'select $1::text as value' }
    expect((await database.query<{ value: string }>(statement, [text])).rows[0]?.value).toBe(text)
  },
)

test('arrays of awkward texts, nulls, dates, bytes and numbers arrive as they are', async () => {
  const texts = ['a', 'b"c', "d'e", 'f\\g', '{h}', ',', '', 'null']
  const statement = {
    name: 'echo_all',
    text: 'select $1::text[] as texts, $2::timestamptz as at, $3::bytea as bytes, $4::int as n, $5::text as nothing, $6::bool as yes, $7::int[] as ids, $8::bigint as big',
  }
  const at = new Date('2026-01-02T03:04:05.678Z')
  const bytes = Buffer.from([0, 1, 39, 92, 255])
  const { rows } = await database.query<Record<string, unknown>>(statement, [texts, at, bytes, -7, null, true, [1, -2], '9007199254740993'])
  expect(rows[0]).toMatchObject({ texts, at, n: -7, nothing: null, yes: true, ids: [1, -2], big: '9007199254740993' })
  expect(Buffer.from(rows[0]?.bytes as Uint8Array).equals(bytes)).toBe(true)
})
