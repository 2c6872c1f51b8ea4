import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lockDirectory } from '../../packages/coordinator/src/store/directory-lock.js'
import { startSource } from '../harness/index.js'
import { freshDirectory, openDirectory } from './databases.js'

const holder = new URL('directory-holder.ts', import.meta.url)

async function words(dataDir: string): Promise<string[]> {
  const db = await openDirectory(dataDir)
  const { rows } = await db.query<{ word: string }>({ text: 'select word from words order by word' })
  await db.close()
  return rows.map(row => row.word)
}

test('the same process cannot open a directory twice; after a close it can, and finds what was stored', async () => {
  const dataDir = join(await freshDirectory(), 'not', 'there', 'yet')
  const db = await openDirectory(dataDir)
  await db.script("create table words (word text); insert into words values ('kept')")
  await expect(openDirectory(dataDir)).rejects.toMatchObject({
    code: 'data_directory_locked',
    message: expect.stringContaining(`in use by process ${process.pid} (since `),
  })
  await db.close()
  expect(existsSync(join(dataDir, 'holder.json'))).toBe(false)
  expect(await words(dataDir)).toEqual(['kept'])
})

test('another process is kept out until the holder is killed; what the holder committed is there', async () => {
  const dataDir = await freshDirectory()
  const first = startSource(holder, dataDir, 'first')
  expect(await first.line()).toBe('starting')
  expect(await first.line()).toBe('stored')
  await expect(openDirectory(dataDir)).rejects.toThrow(`in use by process ${first.pid} (since `)
  const second = startSource(holder, dataDir, 'second')
  expect(await second.line()).toBe('starting')
  await expect(second.line()).rejects.toThrow(`in use by process ${first.pid} (since `)

  await first.kill()
  expect(await words(dataDir)).toEqual(['first'])
})

test('a directory whose name is too long for a socket is locked all the same', async () => {
  const directory = join(await freshDirectory(), 'long'.repeat(40))
  mkdirSync(directory)
  const unlock = await lockDirectory(directory)
  await expect(lockDirectory(directory)).rejects.toMatchObject({ code: 'data_directory_locked' })
  await unlock()
  await (await lockDirectory(directory))()
})

test('of many that find a lock whose holder died, one gets it', async () => {
  const directory = await freshDirectory()
  const dead = startSource(new URL('lock-holder.ts', import.meta.url), directory)
  expect(await dead.line()).toBe('locked')
  await dead.kill()
  const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(directory)))
  const got = tries.flatMap(t => (t.status === 'fulfilled' ? [t.value] : []))
  for (const unlock of got) await unlock()
  expect(got).toHaveLength(1)
})

test('a process killed while it makes the database leaves a directory that can be opened', async () => {
  const dataDir = await freshDirectory()
  const maker = startSource(holder, dataDir, 'lost')
  await maker.line()
  // In the middle: PGlite takes the directory for a database, and most of it is missing.
  while (!existsSync(join(dataDir, 'pgdata', 'PG_VERSION'))) await new Promise(resolve => setImmediate(resolve))
  await maker.kill()
  const db = await openDirectory(dataDir)
  expect((await db.query({ text: 'select 1 as n' })).rows).toEqual([{ n: 1 }])
})
