import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { type Migration, migrate, readMigrations } from '../../packages/coordinator/src/store/migrate.js'
import { freshDatabase } from '../harness/index.js'
import { databaseKinds, openPool } from './databases.js'

const first: Migration = { version: 1, name: '0001_first.sql', sql: '-- a remark;\ncreate table a (n int);\ninsert into a\nvalues (1);\n' }
const second: Migration = { version: 2, name: '0002_second.sql', sql: 'create table b (n int);\nalter table a add column m int;' }
const broken: Migration = { ...second, sql: 'create table b (n int);\nalter table nowhere add column m int;' }
const numbered = (version: number): Migration => ({ version, name: `${version}`, sql: `create table t${version} ();` })

const present = async (db: Database) =>
  (await db.query<{ name: string }>({ text: 'select name from baton_migrations order by version' })).rows.map(r => r.name)
const exists = async (db: Database, table: string) =>
  (await db.query<{ there: boolean }>({ text: 'select to_regclass($1) is not null as there' }, [table])).rows[0]?.there

describe.each(databaseKinds)('$name', ({ open }) => {
  let db: Database
  beforeAll(async () => {
    db = await open()
  })
  beforeEach(() => db.script('drop schema public cascade; create schema public;'))

  test('the migrations of this version are applied once; the second time there is nothing to do', async () => {
    const shipped = readMigrations()
    expect(await migrate(db)).toBe(shipped.length)
    expect(await migrate(db)).toBe(0)
    expect(await present(db)).toEqual(shipped.map(m => m.name))
    expect(await exists(db, 'subtask_states')).toBe(true)
  })

  test('what failed half-way leaves nothing of itself, and the next start goes on from there', async () => {
    await expect(migrate(db, [first, broken])).rejects.toThrow(/"nowhere" does not exist/)
    expect(await present(db)).toEqual([first.name])
    expect(await exists(db, 'b')).toBe(false)
    expect(await migrate(db, [first, second])).toBe(1)
    expect(await present(db)).toEqual([first.name, second.name])
    expect(await exists(db, 'b')).toBe(true)
  })

  test('one version ahead is served, further ahead is refused before anything is changed', async () => {
    expect(await migrate(db, [1, 2].map(numbered))).toBe(2)
    expect(await migrate(db, [1].map(numbered))).toBe(0)
    expect(await migrate(db, [1, 2, 3].map(numbered))).toBe(1)
    await expect(migrate(db, [1].map(numbered))).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: 'the database is at migration 3, this version of Baton knows 1: start a newer version',
    })
  })

  test('a migration may take longer than other statements may', async () => {
    await migrate(db, [{ version: 1, name: 'slow', sql: "create table limits as select current_setting('statement_timeout') as ms;" }])
    expect((await db.query({ text: 'select ms from limits' })).rows).toEqual([{ ms: '0' }])
  })
})

test('several coordinators that start at once apply each migration once', async () => {
  const url = await freshDatabase()
  const pools = await Promise.all([openPool(url), openPool(url), openPool(url)])
  const counts = await Promise.all(pools.map(pool => migrate(pool)))
  expect(counts.reduce((sum, n) => sum + n, 0)).toBe(readMigrations().length)
})

test('a coordinator that dies in the middle of a migration leaves the way free for the next one', async () => {
  const url = await freshDatabase()
  const [dying, next] = await Promise.all([openPool(url), openPool(url)])
  const suicidal: Migration = { ...second, sql: 'create table b (n int);\nselect pg_terminate_backend(pg_backend_pid());' }
  const died = migrate(dying, [first, suicidal]).then(
    () => 'applied',
    () => 'died',
  )
  expect(await died).toBe('died')
  expect(await exists(next, 'b')).toBe(false)
  expect(await migrate(next, [first, second])).toBe(1)
})
