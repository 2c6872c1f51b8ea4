/** What every store of artifacts' bytes does alike; then what holds of the directory alone. */
import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { migrate } from '@baton/coordinator'
import { type ArtifactRef, maxArtifactBytes } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Artifacts } from '../../packages/coordinator/src/artifacts/artifacts.js'
import { directoryArtifacts } from '../../packages/coordinator/src/artifacts/directory-artifacts.js'
import { openArtifactDirectory } from '../../packages/coordinator/src/artifacts/open-directory.js'
import { filePath } from '../../packages/coordinator/src/artifacts/paths.js'
import type { ArtifactPlace, ArtifactStore, Claim } from '../../packages/coordinator/src/store/artifact-store.js'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { postgresArtifacts } from '../../packages/coordinator/src/store/postgres-artifacts.js'
import { eventually, freshDatabase } from '../harness/index.js'
import { freshDirectory, openDirectory, openPool } from './databases.js'

const log = silentLogger()
const hour = 3_600_000
const text = (data: Uint8Array) => Buffer.from(data).toString()

let database: Database
beforeAll(async () => {
  database = await openDirectory('memory')
  await migrate(database)
})

let subtasks = 0
/** A subtask whose attempt runs. */
async function running(database: Database): Promise<Claim> {
  const claim = { subtask: String(++subtasks), claimId: randomUUID() }
  await database.query(
    {
      text: `insert into subtask_states (id, tenant_id, task_pk, route_id, priority, state, unmet, attempt_limit, claim_id) values ($1, 1, $1, 1, 2, 'running', 0, 3, $2)`,
    },
    [claim.subtask, claim.claimId],
  )
  return claim
}
const end = (database: Database, { subtask }: Claim) =>
  database.query({ text: `update subtask_states set state = 'completed' where id = $1` }, [subtask])

const refOf = (name: string, data: Uint8Array): ArtifactRef => ({
  name,
  media_type: 'text/plain',
  bytes: data.length,
  sha256: createHash('sha256').update(data).digest('hex'),
})
const storedOf = ({ claimId }: Claim, { name, bytes, sha256 }: ArtifactRef) => ({ claimId, name, bytes, sha256 })

/** Sends it in pieces of `size`, as a worker does. */
async function send(store: Pick<ArtifactStore, 'put'>, claim: Claim, name: string, content: string, size = 4): Promise<ArtifactRef> {
  const data = Buffer.from(content)
  for (let n = 0, at = 0; at < data.length; n++, at += size)
    expect(await store.put({ ...claim, name, n, data: data.subarray(at, at + size) })).toBe('stored')
  return refOf(name, data)
}

/** As a report does: puts in place, and commits the row. */
async function keep(database: Database, store: ArtifactStore, stored: ArtifactPlace, claim: Claim, ref: ArtifactRef): Promise<void> {
  const artifacts = new Artifacts({ postgres: store, directory: store, into: stored })
  for (;;) {
    const { placed, broken } = await artifacts.settle(claim, [ref])
    expect(broken).toEqual([])
    if (await database.transaction(tx => artifacts.keep(tx, claim, placed))) return
  }
}

async function sweepAll(store: ArtifactStore): Promise<void> {
  while (await store.sweep()) {
    // One part after the other.
  }
}

interface Kind {
  readonly place: ArtifactPlace
  readonly store: ArtifactStore
  /** Other bytes where those of an artifact are; null: none. */
  damage(claim: Claim, ref: ArtifactRef, bytes: string | null): Promise<unknown>
  /** A piece of zeros. */
  fill(claim: Claim, name: string, n: number, bytes: number): Promise<unknown>
  /** Everything that is there is older by two hours. */
  age(): Promise<unknown>
  /** How many pieces and files there are of this content. */
  left(claim: Claim, ref: ArtifactRef): Promise<number>
}

const inPostgres = async (): Promise<Kind> => {
  const where = (claim: Claim, ref: ArtifactRef) => [claim.claimId, ref.name]
  return {
    place: 'postgres',
    store: postgresArtifacts(database),
    damage: (claim, ref, bytes) =>
      bytes === null
        ? database.query({ text: 'delete from chunks where claim_id = $1 and name = $2' }, where(claim, ref))
        : database.query({ text: 'update chunks set data = $3 where claim_id = $1 and name = $2' }, [
            ...where(claim, ref),
            Buffer.from(bytes),
          ]),
    fill: (
      { claimId },
      name,
      n,
      bytes, // sent as a parameter it would take seconds
    ) =>
      database.query({ text: `insert into chunks (claim_id, name, n, data) values ($1, $2, $3, decode(repeat('00', $4), 'hex'))` }, [
        claimId,
        name,
        n,
        bytes,
      ]),
    age: () => database.query({ text: `update chunks set created_at = created_at - interval '2 hours'` }),
    left: async (claim, ref) =>
      (await database.query({ text: 'select from chunks where claim_id = $1 and name = $2' }, where(claim, ref))).rowCount,
  }
}

async function directoryOf(database: Database, path?: string, graceMs = hour) {
  const root = await openArtifactDirectory(path ?? (await freshDirectory()), database)
  return { root, store: directoryArtifacts({ root, database, graceMs, log }) }
}

const inDirectory = async (): Promise<Kind> => {
  const { root, store } = await directoryOf(database)
  return {
    place: 'directory',
    store,
    damage: (_, { sha256 }, bytes) => (bytes === null ? rm(filePath(root, sha256)) : writeFile(filePath(root, sha256), bytes)),
    fill: (claim, name, n, bytes) => store.put({ ...claim, name, n, data: Buffer.alloc(bytes) }),
    age: async () => {
      const before = (Date.now() - 2 * hour) / 1_000
      for (const entry of await readdir(root, { recursive: true })) await utimes(join(root, entry), before, before)
    },
    left: async (claim, { sha256 }) => {
      const entries = await readdir(root, { recursive: true })
      return entries.filter(entry => entry.endsWith(sha256) || entry.includes(claim.claimId)).length
    },
  }
}

const kinds: Record<string, () => Promise<Kind>> = { Postgres: inPostgres, 'a directory': inDirectory }

describe.each(Object.keys(kinds))('artifacts in %s', name => {
  let kind: Kind
  beforeAll(async () => {
    const opened = await kinds[name]?.()
    if (!opened) throw new Error(`there is no ${name}`)
    kind = opened
  })

  test('what was sent in pieces is read as a whole and in ranges', async () => {
    const { store, place } = kind
    const claim = await running(database)
    const other = await send(store, claim, 'other', 'not these')
    expect(await store.put({ ...claim, name: 'a b/c', n: 2, data: Buffer.from('ij') })).toBe('stored')
    const ref = await send(store, claim, 'a b/c', 'abcdefghij')
    const empty = await send(store, claim, 'empty', '')
    for (const each of [ref, empty]) await keep(database, store, place, claim, each)
    const stored = storedOf(claim, ref)
    expect(text(await store.read(stored, { from: 2, to: 5 }))).toBe('cdef')
    expect(text(await store.read(stored))).toBe('abcdefghij')
    expect(text(await store.read(stored, { from: 9, to: 9 }))).toBe('j')
    expect(text(await store.read(storedOf(claim, empty)))).toBe('')
    await store.release(claim)
    expect(text(await store.read(stored, { from: 0, to: 0 }))).toBe('a')
    expect(other.bytes).toBe(9)
    await store.check()
  })

  test('a piece that is sent again replaces itself, and settling again changes nothing', async () => {
    const { store, place } = kind
    const claim = await running(database)
    await store.put({ ...claim, name: 'x', n: 1, data: Buffer.from('wrong') })
    const ref = await send(store, claim, 'x', 'first and second', 8)
    expect(await store.settle(claim, [ref])).toEqual([])
    await send(store, claim, 'x', 'first and second', 8)
    await keep(database, store, place, claim, ref)
    expect(text(await store.read(storedOf(claim, ref)))).toBe('first and second')
  })

  test('what did not arrive whole is named: a piece is missing, the hash or the size is another, or it was never sent', async () => {
    const { store, place } = kind
    const [claim, stranger] = [await running(database), await running(database)]
    const ref = await send(store, claim, 'good', 'the good content')
    await keep(database, store, place, claim, ref)
    const missing = refOf('missing', Buffer.from('abcdefgh'))
    await store.put({ ...claim, name: 'missing', n: 1, data: Buffer.from('efgh') })
    const other = { ...(await send(store, claim, 'other', 'content')), sha256: '0'.repeat(64) }
    const longer = { ...(await send(store, claim, 'longer', 'content')), bytes: 8 }
    const named = (refs: ArtifactRef[]) => refs.map(each => each.name).sort()
    expect(named(await store.settle(claim, [missing, other, ref, longer]))).toEqual(['longer', 'missing', 'other'])
    // Whoever knows a hash has not sent the bytes.
    expect(named(await store.settle(stranger, [{ ...ref, name: 'guessed' }]))).toEqual(['guessed'])
  })

  test('the pieces of an attempt that runs no more are stale, and an artifact has a largest size', async () => {
    const { store, fill } = kind
    const claim = await running(database)
    const half = Buffer.from('half')
    await fill(claim, 'large', 0, maxArtifactBytes - half.length)
    for (let again = 0; again < 2; again++) expect(await store.put({ ...claim, name: 'large', n: 1, data: half })).toBe('stored')
    expect(await store.put({ ...claim, name: 'large', n: 2, data: half })).toBe('too_large')
    expect(await store.put({ ...claim, name: 'small', n: 2, data: half })).toBe('stored')
    expect(await store.put({ ...claim, claimId: randomUUID(), name: 'x', n: 0, data: half })).toBe('stale')
    await end(database, claim)
    expect(await store.put({ ...claim, name: 'x', n: 0, data: half })).toBe('stale')
  })

  test.each([
    ['longer bytes', 'the content, damaged'],
    ['other bytes of the same length', 'THE CONTENT'],
    ['none', null],
  ])('where there are %s, they are reported as lost, not handed out', async (_, bytes) => {
    const { store, place, damage } = kind
    const claim = await running(database)
    const ref = await send(store, claim, 'x', 'the content', 100)
    await keep(database, store, place, claim, ref)
    const stored = storedOf(claim, ref)
    await damage(claim, ref, bytes)
    for (const part of [undefined, { from: 0, to: 2 }])
      await expect(store.read(stored, part)).rejects.toMatchObject({ code: 'artifact_lost', message: expect.stringContaining('x') })
  })

  test('the sweep takes what nothing refers to once it is old: pieces of ended attempts, bytes without a row', async () => {
    const { store, place, age, left } = kind
    const [runs, ended, kept, forgotten] = await Promise.all([1, 2, 3, 4].map(() => running(database)))
    if (!runs || !ended || !kept || !forgotten) throw new Error('four were asked for')
    const refs = {
      runs: await send(store, runs, 'r', 'of an attempt that runs'),
      ended: await send(store, ended, 'e', 'of one that ended without a report'),
      kept: await send(store, kept, 'k', 'of a result'),
      forgotten: await send(store, forgotten, 'f', 'of a task that was deleted'),
    }
    await keep(database, store, place, kept, refs.kept)
    await keep(database, store, place, forgotten, refs.forgotten)
    for (const claim of [ended, kept, forgotten]) await end(database, claim)
    await database.query({ text: 'delete from artifacts where claim_id = $1' }, [forgotten.claimId])
    await sweepAll(store)
    expect(await left(forgotten, refs.forgotten)).toBeGreaterThan(0) // it is young
    await age()
    await sweepAll(store)
    expect(await left(ended, refs.ended)).toBe(0)
    expect(await left(forgotten, refs.forgotten)).toBe(0)
    expect(text(await store.read(storedOf(kept, refs.kept)))).toBe('of a result')
    expect(await store.settle(runs, [refs.runs])).toEqual([])
  })
})

describe('the directory of artifacts', () => {
  beforeEach(() => database.query({ text: 'delete from artifacts' }))

  test('holds each content once, and whole files only', async () => {
    const { root, store } = await directoryOf(database)
    const [a, b] = [await running(database), await running(database)]
    for (const claim of [a, b]) {
      await keep(database, store, 'directory', claim, await send(store, claim, 'same', 'the same content'))
      await store.release(claim)
    }
    const { sha256 } = refOf('', Buffer.from('the same content'))
    const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter(entry => entry.isFile())
    expect(files.map(file => file.name).sort()).toEqual([sha256, 'baton-artifacts.json'].sort())
    expect(await readFile(filePath(root, sha256), 'utf8')).toBe('the same content')
  })

  test('is never left by a path, whatever a name or an id says', async () => {
    const outer = await freshDirectory()
    const { store } = await directoryOf(database, join(outer, 'here'))
    const claim = await running(database)
    for (const name of ['a/../../../../../escaped', 'x/../..', `${'a/'.repeat(99)}b`])
      await keep(database, store, 'directory', claim, await send(store, claim, name, name))
    expect(await readdir(outer)).toEqual(['here'])
    const ref = { ...refOf('x', Buffer.from('')), sha256: '../../../../../etc/passwd' }
    await expect(store.read(storedOf(claim, ref))).rejects.toMatchObject({ code: 'internal' })
    await expect(store.settle({ subtask: '1', claimId: '../..' }, [refOf('x', Buffer.from(''))])).rejects.toMatchObject({
      code: 'internal',
    })
  })

  test('that is away or cannot be written is no reason to refuse anything for good', async () => {
    const { root, store } = await directoryOf(database)
    const claim = await running(database)
    const ref = await send(store, claim, 'x', 'content')
    await keep(database, store, 'directory', claim, ref)
    await rename(root, `${root}-away`)
    const unavailable = { code: 'unavailable', message: expect.stringContaining('ENOENT') }
    for (const attempted of [
      () => store.put({ ...claim, name: 'y', n: 0, data: Buffer.from('y') }),
      () => store.settle(claim, [refOf('y', Buffer.from(''))]),
      () => store.read(storedOf(claim, ref)),
      () => store.check(),
      () => store.sweep(),
    ])
      await expect(attempted()).rejects.toMatchObject(unavailable)
    await rename(`${root}-away`, root)
    expect(text(await store.read(storedOf(claim, ref)))).toBe('content')
  })

  test('is refused at start when it is of another database, does not look like what was there, or cannot be written', async () => {
    const path = await freshDirectory()
    await directoryOf(database, path)
    await directoryOf(database, path)
    const refused = (part: string) => ({
      code: 'invalid_configuration',
      message: expect.stringContaining(part),
      fields: [{ path: 'BATON_ARTIFACTS_DIR', issue: expect.any(String) }],
    })
    await database.query({ text: 'update installation set id = gen_random_uuid()' })
    await expect(openArtifactDirectory(path, database)).rejects.toMatchObject(refused('another database'))
    await writeFile(join(path, 'baton-artifacts.json'), '{}')
    await expect(openArtifactDirectory(path, database)).rejects.toMatchObject(refused('is not what Baton wrote'))
    const { root, store } = await directoryOf(database)
    const claim = await running(database)
    await keep(database, store, 'directory', claim, await send(store, claim, 'x', 'content'))
    await expect(openArtifactDirectory(await freshDirectory(), database)).rejects.toMatchObject(refused('mount it'))
    await expect(openArtifactDirectory(join(root, 'baton-artifacts.json'), database)).rejects.toMatchObject(refused('is not a directory'))
    await expect(openArtifactDirectory(join(root, 'not', 'there'), database)).rejects.toMatchObject(refused('the directory above it'))
    await expect(openArtifactDirectory('/proc/none', database)).rejects.toMatchObject(refused('the directory above it'))
  })

  test('takes over what was sent while artifacts went to Postgres, whole or in part; and the other way round', async () => {
    const { store } = await directoryOf(database)
    const postgres = postgresArtifacts(database)
    const claim = await running(database)
    const earlier = await send(postgres, claim, 'earlier', 'sent before')
    const later = await send(store, claim, 'later', 'sent after')
    const mixed = refOf('mixed', Buffer.from('halfhalf'))
    await postgres.put({ ...claim, name: 'mixed', n: 0, data: Buffer.from('half') })
    await store.put({ ...claim, name: 'mixed', n: 1, data: Buffer.from('half') })
    const never = refOf('never', Buffer.from('never'))
    const all = [earlier, later, mixed, never]
    for (const [into, places] of [
      ['directory', { earlier: 'directory', later: 'directory', mixed: 'directory' }],
      ['postgres', { earlier: 'postgres', later: 'directory', mixed: 'directory' }],
    ] as const) {
      const { placed, broken } = await new Artifacts({ postgres, directory: store, into }).settle(claim, all)
      expect([Object.fromEntries(placed.map(each => [each.name, each.stored])), broken]).toEqual([places, ['never']])
      for (const { stored, ...ref } of placed)
        expect((await { postgres, directory: store }[stored].read(storedOf(claim, ref))).length).toBe(ref.bytes)
    }
    const without = new Artifacts({ postgres, into: 'postgres' })
    await expect(async () => without.read({ ...storedOf(claim, later), stored: 'directory' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('BATON_ARTIFACTS_DIR'),
    })
  })

  test('what was put in place and swept before its row is committed is put there again', async () => {
    const { root, store } = await directoryOf(database, undefined, 0)
    const claim = await running(database)
    const ref = await send(store, claim, 'x', 'content')
    const artifacts = new Artifacts({ postgres: postgresArtifacts(database), directory: store, into: 'directory' })
    const { placed } = await artifacts.settle(claim, [ref])
    await sweepAll(store)
    await expect(stat(filePath(root, ref.sha256))).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await database.transaction(tx => artifacts.keep(tx, claim, placed))).toBe(false)
    await keep(database, store, 'directory', claim, ref)
    await sweepAll(store)
    expect(text(await store.read(storedOf(claim, ref)))).toBe('content')
  })

  test('a sweep waits for whoever is about to commit a row that refers to the file', async () => {
    const url = await freshDatabase()
    const [one, two] = [await openPool(url), await openPool(url)]
    await migrate(one)
    const path = await freshDirectory()
    const { store } = await directoryOf(one, path, 0)
    const { store: sweeper } = await directoryOf(two, path, 0)
    const claim = await running(one)
    const ref = await send(store, claim, 'x', 'content')
    const artifacts = new Artifacts({ postgres: postgresArtifacts(one), directory: store, into: 'directory' })
    const { placed } = await artifacts.settle(claim, [ref])
    let sweeping: Promise<void> | undefined
    await one.transaction(async tx => {
      expect(await artifacts.keep(tx, claim, placed)).toBe(true)
      sweeping = sweepAll(sweeper)
      await eventually(async () => {
        const { rowCount } = await one.query({ text: `select from pg_locks where locktype = 'advisory' and not granted` })
        return rowCount === 1
      })
    })
    await sweeping
    expect(text(await store.read(storedOf(claim, ref)))).toBe('content')
    await one.query({ text: 'delete from artifacts' })
    await sweepAll(sweeper)
    await expect(store.read(storedOf(claim, ref))).rejects.toMatchObject({ code: 'artifact_lost' })
  })
})
