import { startTcpProxy } from '@baton/cli/servers'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { Columns } from '../../packages/coordinator/src/store/columns.js'
import { type Database, isTransient, isUnavailable, type Queryable, sqlState } from '../../packages/coordinator/src/store/database.js'
import { cleanUp, eventually, freshDatabase } from '../harness/index.js'
import { databaseKinds, openPool } from './databases.js'

interface Row {
  readonly id: string
  readonly word: string | null
  readonly words: readonly string[] | null
  readonly ids: readonly string[] | null
  readonly n: number | null
  readonly small: number | null
  readonly yes: boolean | null
  readonly uuid: string | null
  readonly at: string | null
}

/** The one value of a query. */
async function value(db: Queryable, text: string, ...params: unknown[]): Promise<unknown> {
  const { rows } = await db.query<{ value: unknown }>({ text }, params)
  return rows[0]?.value
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('should have been refused'),
    (error: unknown) => error,
  )
}

describe.each(databaseKinds)('$name', ({ open }) => {
  let db: Database
  beforeAll(async () => {
    db = await open()
    await db.script('create table words (id int primary key, word text not null); create table pairs (a int, b text, unique (a, b));')
  })

  describe('rows by columns', () => {
    const columns = new Columns<Row>({
      ...{ id: 'bigint', word: 'text', words: 'text[]', ids: 'bigint[]', n: 'int', small: 'smallint', yes: 'boolean', uuid: 'uuid' },
      ...{ at: 'timestamptz' },
    })
    const back = async (rows: readonly Row[]) => {
      const text = `select id, word, words, ids::text[] as ids, n, small, yes, uuid, at from (${columns.rows(2)}) r where $1::int = 7`
      return (await db.query<Row>({ text }, [7, ...columns.params(rows)])).rows
    }
    const some = <T>(values: fc.Arbitrary<T>) => fc.option(values, { freq: 3 })
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }).map(word => word.replaceAll('\u0000', '')),
      fc.constantFrom('', ' ', 'NULL', 'null', '{}', '{', '"', '\\', '\\"', ',', 'a,b', '\n', '\t', "'", '🧪', '$1', '\\N', '{"a"}'),
    )
    const id = fc.bigInt({ min: 1n, max: 2n ** 62n }).map(String)

    test('come back as they were, in order', async () => {
      const row = fc.record({
        id,
        word: some(text),
        words: some(fc.array(text, { maxLength: 3 })),
        ids: some(fc.array(id, { maxLength: 3 })),
        n: some(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
        small: some(fc.integer({ min: -5, max: 5 })),
        yes: some(fc.boolean()),
        uuid: some(fc.uuid()),
        at: some(fc.constant(new Date('2026-11-20T09:00:00.123Z'))),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(row, { maxLength: 6 }), async rows => {
          expect(await back(rows.map(each => ({ ...each, at: each.at?.toISOString() ?? null }) as Row))).toEqual(rows)
        }),
        { numRuns: 150, seed: 1 },
      )
    })

    test('what no row has is null in all, and no rows are none', async () => {
      const bare = { id: '1' } as Row
      const nothing = { word: null, words: null, ids: null, n: null, small: null, yes: null, uuid: null, at: null }
      expect(await back([bare, bare])).toEqual([
        { id: '1', ...nothing },
        { id: '1', ...nothing },
      ])
      expect(await back([])).toEqual([])
    })

    test('a text that is none is refused as the database would, and not mended', () => {
      const spoiled = { id: '1', word: 'a \ud800' } as Row
      expect(() => columns.params([spoiled])).toThrow(expect.objectContaining({ code: '22P05' }))
    })
  })

  describe('types', () => {
    test.each([
      ['a bigint is text, whatever its size', "select '9007199254740993'::int8 as value", '9007199254740993'],
      ['a count is text', 'select count(*) as value from pg_class where false', '0'],
      ['an int is a number', 'select 7 as value', 7],
      ['a float is a number', 'select 0.1::float8 as value', 0.1],
      ['numeric is text', "select '12345678901234567890.5'::numeric as value", '12345678901234567890.5'],
      ['a boolean is a boolean', 'select false as value', false],
      ['NULL is null', 'select null::text as value', null],
      ['text is text', "select E'\u00e4 \u{1f9ea}\\n\\\\' as value", 'ä 🧪\n\\'],
      [
        'a timestamp with time zone is a Date',
        "select '2026-11-20 10:00:00.123+01'::timestamptz as value",
        new Date('2026-11-20T09:00:00.123Z'),
      ],
      ['json is parsed', `select '{"b":[1,null],"a":"x"}'::json as value`, { b: [1, null], a: 'x' }],
      ['jsonb is parsed', `select '[{"a":1}]'::jsonb as value`, [{ a: 1 }]],
      ['JSON null is null', `select 'null'::json as value`, null],
      ['a uuid is text', "select 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid as value", 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
      [
        'text[] is an array',
        `select array['a b', 'c,"d"', null, '', 'null', '{x}', 'e\\f'] as value`,
        ['a b', 'c,"d"', null, '', 'null', '{x}', 'e\\f'],
      ],
      ['an empty array is an array', `select '{}'::text[] as value`, []],
      ['bigint[] is an array of text', `select '{9007199254740993,1}'::int8[] as value`, ['9007199254740993', '1']],
      ['int[] is an array of numbers', `select '{3,null}'::int[] as value`, [3, null]],
      [
        'a json aggregate is parsed',
        `select json_agg(json_build_object('n', n)) as value from generate_series(1, 2) n`,
        [{ n: 1 }, { n: 2 }],
      ],
    ])('%s', async (_, text, expected) => {
      expect(await value(db, text)).toEqual(expected)
    })

    test('bytea is a Uint8Array', async () => {
      const bytes = await value(db, `select '\\x00ff10'::bytea as value`)
      expect(bytes).toBeInstanceOf(Uint8Array)
      expect([...(bytes as Uint8Array)]).toEqual([0, 255, 16])
    })
  })

  describe.each([
    ['parameters', undefined],
    ['parameters of a statement with a name', 'named'],
  ])('%s', (_, prefix) => {
    /** The one value of a query; a name is the text's own. */
    async function bound(text: string, ...params: unknown[]): Promise<unknown> {
      const { rows } = await db.query<{ value: unknown }>({ ...(prefix && { name: `${prefix} ${text}` }), text }, params)
      return rows[0]?.value
    }

    test.each([
      ['text', 'text', 'ä 🧪\n\'"\\ $1'],
      ['null', 'text', null],
      ['a number for an int', 'int', -3],
      ['a number for a float', 'float8', 0.1],
      ['a boolean', 'boolean', true],
      ['text for a bigint', 'bigint', '9007199254740993'],
      ['text for a uuid', 'uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
      ['a Date for a timestamp', 'timestamptz', new Date('2026-11-20T09:00:00.123Z')],
      ['an array of text', 'text[]', ['a b', 'c,"d"', '', 'NULL', 'null', '{x}', 'e\\f', null, 'ä🧪', ' ', '\n']],
      ['an empty array', 'text[]', []],
      ['an array of bigints as text', 'bigint[]', ['9007199254740993', '-1']],
      ['an array of numbers', 'int[]', [1, -2, 3]],
      ['an array of booleans', 'boolean[]', [true, false]],
      ['an array of uuids', 'uuid[]', ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']],
    ])('%s', async (_, type, given) => {
      expect(await bound(`select $1::${type} as value`, given)).toEqual(given)
    })

    test('JSON text is taken byte for byte', async () => {
      const text = '{"b":1.0,  "a":[12345678901234567890]}'
      expect(await bound('select ($1::json)::text as value', text)).toBe(text)
    })

    test.each([
      ['a Buffer', Buffer.from([0, 1, 254, 255])],
      ['a Uint8Array that is part of another', new Uint8Array([9, 9, 1, 2, 9]).subarray(2, 4)],
      ['no bytes', Buffer.alloc(0)],
    ])('%s for bytea', async (_, bytes) => {
      expect([...((await bound('select $1::bytea as value', bytes)) as Uint8Array)]).toEqual([...bytes])
    })

    test('arrays side by side become rows', async () => {
      const { rows, rowCount } = await db.query({ text: 'select * from unnest($1::int[], $2::text[]) as t(n, word) order by n' }, [
        [2, 1],
        ['two', null],
      ])
      expect(rows).toEqual([
        { n: 1, word: null },
        { n: 2, word: 'two' },
      ])
      expect(rowCount).toBe(2)
    })

    test('1 MiB of text, JSON and bytes come back as they went', async () => {
      const text = 'äöü🧪'.repeat(1024 * 100)
      expect(Buffer.byteLength(text)).toBeGreaterThan(1024 * 1024 - 50_000)
      expect(await bound('select $1::text as value', text)).toBe(text)
      expect(await bound('select $1::json as value', JSON.stringify([text]))).toEqual([text])
      const bytes = Buffer.alloc(1024 * 1024, 'baton')
      expect(bytes.equals((await bound('select $1::bytea as value', bytes)) as Uint8Array)).toBe(true)
    })

    test('a NUL in text is refused, and the next statement is answered', async () => {
      const failure = await failureOf(bound('select $1::text as value', 'a\u0000b'))
      expect([isTransient(failure), isUnavailable(failure)]).toEqual([false, false])
      expect(await bound('select $1::text as value', 'ab')).toBe('ab')
    })
  })

  describe('statements', () => {
    test('a statement with a name may meet its first use many times at once, also beside a transaction', async () => {
      const first = { name: 'first_use', text: 'select $1::int as value' }
      const uses = [1, 2, 3, 4].map(n => db.query<{ value: number }>(first, [n]))
      const inside = db.transaction(tx => tx.query<{ value: number }>(first, [5]))
      const answers = await Promise.all([...uses, inside, db.query<{ value: number }>(first, [6])])
      expect(answers.map(({ rows }) => rows[0]?.value)).toEqual([1, 2, 3, 4, 5, 6])
    })

    test('a named one is reused with other parameters, in and outside of transactions', async () => {
      const statement = { name: 'add_one', text: 'select $1::int + 1 as value' }
      const add = async (on: Queryable, n: number) => (await on.query<{ value: number }>(statement, [n])).rows[0]?.value
      expect(await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(n => add(db, n)))).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
      expect(await db.transaction(async tx => [await add(tx, 10), await add(tx, 20)])).toEqual([11, 21])
    })

    test('the count is of the rows returned or changed', async () => {
      const count = async (text: string, ...params: unknown[]) => (await db.query({ text }, params)).rowCount
      expect(await count("insert into pairs select n, 'x' from generate_series(1, 5) n")).toBe(5)
      expect(await count('select a from pairs where a > 2')).toBe(3)
      expect(await count('select a from pairs where false')).toBe(0)
      expect(await count('update pairs set b = b where a = any($1::int[])', [1, 2])).toBe(2)
      expect(await count('update pairs set b = b where false returning a')).toBe(0)
      expect(await count("insert into pairs values (1, 'x'), (9, 'x') on conflict do nothing")).toBe(1)
      expect(await count('with gone as (delete from pairs returning a) select a from gone where a < 3')).toBe(2)
      expect(await count('select a from pairs')).toBe(0)
    })

    test('a script runs many statements, and functions with their bodies', async () => {
      await db.script(`
        create table scripted (n int); -- a remark; with a semicolon
        insert into scripted values (1), (2);
        create function twice(n int) returns int language plpgsql as $$ begin return 2 * n; end $$;
      `)
      expect(await value(db, 'select sum(twice(n))::int as value from scripted')).toBe(6)
    })

    test('many at once are all answered, each its own', async () => {
      const numbers = Array.from({ length: 200 }, (_, n) => n)
      expect(await Promise.all(numbers.map(n => value(db, 'select $1::int as value', n)))).toEqual(numbers)
    })
  })

  describe('transactions', () => {
    test('commit when the work is done, and give its result', async () => {
      const result = await db.transaction(async tx => {
        await tx.query({ text: 'insert into words values ($1, $2)' }, [1, 'kept'])
        expect(await value(tx, 'select word as value from words where id = 1')).toBe('kept')
        return 'done'
      })
      expect(result).toBe('done')
      expect(await value(db, 'select word as value from words where id = 1')).toBe('kept')
    })

    test('roll back when the work throws, and throw the same', async () => {
      const thrown = new Error('changed my mind')
      const failure = failureOf(
        db.transaction(async tx => {
          await tx.query({ text: "insert into words values (2, 'lost')" })
          throw thrown
        }),
      )
      expect(await failure).toBe(thrown)
      expect(await value(db, 'select word as value from words where id = 2')).toBeUndefined()
    })

    test('roll back and throw when a statement failed, even when the work goes on', async () => {
      const failure = await failureOf(
        db.transaction(async tx => {
          await tx.query({ text: "insert into words values (3, 'lost')" })
          await tx.query({ text: 'select 1 / 0' }).catch(() => undefined)
        }),
      )
      expect(sqlState(failure)).toBe('22012')
      expect(await value(db, 'select word as value from words where id = 3')).toBeUndefined()
    })

    test('take no further statement after one that failed', async () => {
      await failureOf(
        db.transaction(async tx => {
          await tx.query({ text: 'select 1 / 0' }).catch(() => undefined)
          expect(sqlState(await failureOf(tx.query({ text: 'select 1' })))).toBe('25P02')
        }),
      )
    })

    test('many at once are all carried out', async () => {
      await db.script('create table counter (n int); insert into counter values (0);')
      await Promise.all(
        Array.from({ length: 20 }, () =>
          db.transaction(async tx => {
            const n = await value(tx, 'select n as value from counter for update')
            await tx.query({ text: 'update counter set n = $1' }, [Number(n) + 1])
          }),
        ),
      )
      expect(await value(db, 'select n as value from counter')).toBe(20)
    })

    test('are of no use after their end', async () => {
      let kept: Queryable | undefined
      await db.transaction(async tx => {
        kept = tx
      })
      await expect(kept?.query({ text: "insert into words values (6, 'late')" })).rejects.toThrow(/closed|ended/)
      expect(await value(db, 'select word as value from words where id = 6')).toBeUndefined()
    })
  })

  describe('errors', () => {
    test.each([
      ['a duplicate key', "insert into words values (100, 'a'), (100, 'b')", '23505'],
      ['a missing value', 'insert into words values (101, null)', '23502'],
      ['text that is no number', "select 'x'::int", '22P02'],
      ['a NUL in JSON text', `select ('{"a":"\\u0000"}'::jsonb)`, '22P05'],
      ['a division by zero', 'select 1 / 0', '22012'],
      ['an unknown table', 'select * from nowhere', '42P01'],
      ['a syntax error', 'selct', '42601'],
    ])('%s has its SQLSTATE', async (_, text, state) => {
      const failure = await failureOf(db.query({ text }))
      expect(sqlState(failure)).toBe(state)
      expect([isTransient(failure), isUnavailable(failure)]).toEqual([false, false])
    })

    test.each(['40001', '40P01', '55P03'])('%s may go well when it is repeated', async state => {
      const failure = await failureOf(db.query({ text: `do $$ begin raise exception 'x' using errcode = '${state}'; end $$` }))
      expect([sqlState(failure), isTransient(failure), isUnavailable(failure)]).toEqual([state, true, false])
    })
  })

  describe('notifications', () => {
    test('arrive after the commit, with their payload, on their channel only', async () => {
      const heard: string[] = []
      await db.listen('Some Channel', payload => heard.push(payload))
      await eventually(async () => {
        await db.query({ text: 'select pg_notify($1, $2)' }, ['Some Channel', 'hello'])
        return heard.includes('hello')
      })
      heard.length = 0
      await db.transaction(async tx => {
        await tx.query({ text: 'select pg_notify($1, $2)' }, ['other', 'not heard'])
        await tx.query({ text: 'select pg_notify($1, $2)' }, ['Some Channel', 'committed'])
      })
      await db
        .transaction(async tx => {
          await tx.query({ text: 'select pg_notify($1, $2)' }, ['Some Channel', 'rolled back'])
          throw new Error('no')
        })
        .catch(() => undefined)
      await db.query({ text: 'select pg_notify($1, $2)' }, ['Some Channel', 'last'])
      await eventually(() => heard.includes('last'))
      expect(heard.filter(word => word !== 'hello')).toEqual(['committed', 'last'])
    })
  })

  // The last of all, because opening takes its time.
  test('close waits for what runs, may be called twice, and everything after it is refused as unavailable', async () => {
    const closed = db
    await closed.listen('channel', () => undefined)
    const running = closed.transaction(async tx => {
      await value(tx, 'select 1 as value')
      return value(tx, 'select 2 as value')
    })
    await Promise.all([closed.close(), closed.close()])
    await closed.close()
    expect(await running).toBe(2)
    for (const use of [
      () => closed.query({ text: 'select 1' }),
      () => closed.transaction(async () => undefined),
      () => closed.script('select 1'),
      () => closed.listen('channel', () => undefined),
    ])
      expect(isUnavailable(await failureOf(use()))).toBe(true)
  })
})

describe('PostgreSQL when connections break', () => {
  test('a statement on a broken connection fails as unavailable, and the next one has a new connection', async () => {
    const url = await freshDatabase()
    const db = await openPool(url)
    const failure = await failureOf(
      db.transaction(async tx => {
        const pid = await value(tx, 'select pg_backend_pid() as value')
        await db.query({ text: 'select pg_terminate_backend($1)' }, [pid])
        await tx.query({ text: 'select 1' })
      }),
    )
    expect([isUnavailable(failure), isTransient(failure)]).toEqual([true, false])
    const answers = await Promise.all(Array.from({ length: 8 }, () => value(db, 'select 1 as value')))
    expect(answers).toEqual(Array(8).fill(1))
  })

  test('a listener hears again', async () => {
    const url = await freshDatabase()
    const db = await openPool(url)
    const heard: string[] = []
    await db.listen('words', payload => heard.push(payload))
    const say = (word: string) => db.query({ text: 'select pg_notify($1, $2)' }, ['words', word])
    await eventually(async () => say('before').then(() => heard.includes('before')))
    await db.query({
      text: "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'baton listen'",
    })
    await eventually(async () => say('after').then(() => heard.includes('after')))
  })

  test('a server that does not answer holds up the close for a few seconds only', async () => {
    const url = new URL(await freshDatabase())
    const proxy = await startTcpProxy({ target: { host: url.hostname, port: Number(url.port || 5432) } })
    cleanUp(() => proxy.stop())
    url.host = `127.0.0.1:${proxy.port}`
    const db = await openPool(url.href)
    await db.listen('words', () => undefined)
    proxy.stall()
    const hanging = failureOf(db.query({ text: 'select 1' }))
    const begin = performance.now()
    await db.close()
    expect(performance.now() - begin).toBeLessThan(8_000)
    proxy.cut()
    expect(isUnavailable(await hanging)).toBe(true)
  })

  test('a URL that cannot work is refused at once, without its password', async () => {
    const url = new URL(await freshDatabase())
    url.pathname = '/nowhere'
    url.password = 'secret'
    const failure = await failureOf(openPool(url.href))
    expect(failure).toMatchObject({ code: 'invalid_configuration', message: expect.stringMatching(/"nowhere" does not exist/) })
    expect(String(failure)).not.toContain('secret')
  })
})

test.each([
  ['ECONNREFUSED', true],
  ['ECONNRESET', true],
  ['EPIPE', true],
  ['ETIMEDOUT', true],
  ['ENOTFOUND', true],
  ['EAI_AGAIN', true],
  ['57P01', true],
  ['57P03', true],
  ['53300', true],
  ['53100', true],
  ['58030', true],
  ['08006', true],
  ['E2BIG', false],
  ['EPERM', false],
  ['57014', false],
  ['23505', false],
])('an error with the code %s is unavailable: %s', (code, expected) => {
  expect(isUnavailable(Object.assign(new Error('x'), { code }))).toBe(expected)
})
