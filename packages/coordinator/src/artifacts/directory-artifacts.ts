/**
 * Artifacts whose bytes are files, named by their SHA-256. Several coordinators share the directory; none locks anything in
 * it.
 *
 * Invariants: D1 a file has its whole content, synced, when it gets its name. D2 a file is deleted only under the lock of its
 * part of the directory and when no row refers to it; rows are inserted under the same lock, shared, with the file in place.
 * So a crash leaves at most a file without a row, which the sweep deletes, and an upload of bytes that are just being
 * deleted puts them there again. D3 nobody gets at bytes by knowing their hash: they have to be sent.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type ArtifactRef, BatonError, maxArtifactBytes } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { ArtifactStore, Claim } from '../store/artifact-store.js'
import { holdParts, ownPart, runningClaims, unreferencedFiles } from '../store/artifacts.js'
import { readNumberedChunks } from '../store/chunks.js'
import { type Database, isUnavailable } from '../store/database.js'
import { holdsClaim } from '../store/read-claim.js'
import { makeDirectory, putFile } from './durable.js'
import { claimOf, claimPath, filePath, incomingPath, isFile, markerPath, partOf, partPath, parts, pieceName, pieceOf } from './paths.js'
import { Verified } from './verified.js'

export interface DirectoryArtifactsOptions {
  /** Its marker was checked (`openArtifactDirectory`). */
  readonly root: string
  readonly database: Database
  /** What is younger is left alone by the sweep. Spares work; correctness does not hang on it. */
  readonly graceMs: number
  readonly log: Logger
}

const readBytes = 1024 * 1024
const namesPerSweep = 1_000
/** Longer than one file can take to be written. */
const writeMs = 3_600_000
const sayAgainMs = 60_000

export function directoryArtifacts({ root, database, graceMs, log }: DirectoryArtifactsOptions): ArtifactStore {
  const verified = new Verified()
  let sweeping = -1 // the part that was swept last; -1: what attempts left is next
  let saidAt = Number.NEGATIVE_INFINITY

  return {
    async put({ subtask, claimId, name, n, data }) {
      const claim = { subtask, claimId }
      if (!(await holdsClaim(database, subtask, claimId))) return 'stale'
      return onDisk(async () => {
        const directory = claimPath(root, claim)
        const others = (await piecesOf(directory, name)).filter(piece => piece.n !== n)
        const sizes = await Promise.all(others.map(piece => stat(piece.path)))
        if (sizes.reduce((sum, { size }) => sum + size, data.length) > maxArtifactBytes) return 'too_large'
        await makeDirectory(directory)
        await putFile(join(directory, pieceName(name, n)), directory, [data])
        return 'stored'
      })
    },

    async settle(claim, artifacts) {
      const broken: ArtifactRef[] = []
      for (const artifact of artifacts) if (!(await place(claim, artifact))) broken.push(artifact)
      return broken
    },

    async hold(tx, artifacts) {
      const held = [...new Set(artifacts.map(({ sha256 }) => partOf(sha256)))].sort((a, b) => a - b)
      await holdParts(tx, held) // D2
      const there = await onDisk(() =>
        Promise.all(artifacts.map(async ({ sha256, bytes }) => (await statOrNone(filePath(root, sha256)))?.size === bytes)),
      )
      return there.every(Boolean)
    },

    async release(claim) {
      await rm(claimPath(root, claim), { recursive: true, force: true }).catch(error =>
        log.debug({ err: error, ...claim }, 'what was sent could not be deleted; it will be swept'),
      )
    },

    async read({ name, bytes, sha256 }, part) {
      const path = filePath(root, sha256)
      const file = await onDisk(() => openOrNone(path))
      if (!file) {
        await check() // a directory that is not there has lost nothing
        throw lost(name, 'is not there')
      }
      try {
        return await onDisk(async () => {
          const before = await file.stat()
          if (before.size !== bytes) throw lost(name, `has ${before.size} bytes instead of ${bytes}`)
          const { from, to } = part ?? { from: 0, to: bytes - 1 }
          if (part && verified.has(sha256, before)) return await readPart(file, from, to)
          const { hash, kept } = await readWhole(file, from, to)
          if (hash !== sha256) throw lost(name, 'has other bytes than those that were stored')
          verified.add(sha256, before)
          return kept
        })
      } finally {
        await file.close()
      }
    },

    async sweep() {
      if (sweeping < 0) await onDisk(sweepIncoming)
      else await onDisk(() => sweepPart(sweeping))
      sweeping = sweeping + 1 < parts ? sweeping + 1 : -1
      return sweeping >= 0
    },

    check,
  }

  /** What the disk refuses may pass: it is full, away, or not ours to write in. Said once, and again now and then. */
  async function onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException
      // A connection to Postgres fails in a system call, too.
      if (error instanceof BatonError || isUnavailable(error) || code === undefined || syscall === undefined) throw error
      if (performance.now() - saidAt >= sayAgainMs) {
        saidAt = performance.now()
        log.warn({ err: error, root }, 'the directory of artifacts cannot be used; what needs it waits')
      }
      throw new BatonError('unavailable', `the directory of artifacts cannot be used at present (${code})`, {
        cause: error,
        extra: { retry_after_seconds: 5 },
      })
    }
  }

  async function check(): Promise<void> {
    await onDisk(() => readFile(markerPath(root)))
  }

  /** Puts together what was sent, here and while artifacts went to Postgres; false: it is not what was announced. */
  async function place(claim: Claim, artifact: ArtifactRef): Promise<boolean> {
    const found = await onDisk(() => piecesOf(claimPath(root, claim), artifact.name))
    const pieces = new Map(found.map(({ n, path }) => [n, () => readFile(path)]))
    if (await placePieces(pieces, artifact)) return true
    const elsewhere = (await readNumberedChunks(database, claim.claimId, artifact.name)).filter(({ n }) => !pieces.has(n))
    for (const { n, data } of elsewhere) pieces.set(n, async () => Buffer.from(data))
    return elsewhere.length > 0 && placePieces(pieces, artifact)
  }

  function placePieces(pieces: Pieces, { bytes, sha256 }: ArtifactRef): Promise<boolean> {
    const hash = createHash('sha256')
    let size = 0
    async function* hashed() {
      for (const [, read] of [...pieces].sort(([a], [b]) => a - b)) {
        const piece = await read()
        hash.update(piece)
        size += piece.length
        yield piece
      }
    }
    return onDisk(async () => {
      await makeDirectory(partPath(root, partOf(sha256)))
      // D1; one that is there already may be damaged, and is replaced.
      return putFile(filePath(root, sha256), incomingPath(root), hashed(), () => size === bytes && hash.digest('hex') === sha256)
    })
  }

  /** Pieces of attempts that run no more. */
  async function sweepIncoming(): Promise<void> {
    const old: { claim: Claim; path: string }[] = []
    for (const entry of await readdir(incomingPath(root))) {
      const path = join(incomingPath(root), entry)
      const claim = claimOf(entry)
      if (claim && (await isOld(path, graceMs))) old.push({ claim, path })
      // Left by a coordinator that was killed. Whoever still writes to one begins anew when it is gone.
      else if (!claim && entry.endsWith('.tmp') && (await isOld(path, writeMs))) await rm(path, { force: true })
    }
    for (let at = 0; at < old.length; at += namesPerSweep) {
      const some = old.slice(at, at + namesPerSweep)
      const running = await runningClaims(
        database,
        some.map(each => each.claim),
      )
      for (const { claim, path } of some) if (!running.has(claim.claimId)) await rm(path, { recursive: true, force: true })
    }
  }

  async function sweepPart(part: number): Promise<void> {
    const directory = partPath(root, part)
    const names = (await namesIn(directory)).filter(isFile)
    for (let at = 0; at < names.length; at += namesPerSweep) {
      const candidates = await unreferencedFiles(database, names.slice(at, at + namesPerSweep))
      const old: string[] = []
      for (const name of candidates) if (await isOld(join(directory, name), graceMs)) old.push(name)
      if (old.length === 0) continue
      const deleted = await database.transaction(async tx => {
        await ownPart(tx, part) // D2
        const still = await unreferencedFiles(tx, old)
        for (const name of still) await rm(join(directory, name), { force: true })
        return still.length
      })
      if (deleted > 0) log.info({ files: deleted }, 'files of artifacts that nothing refers to were deleted')
    }
  }
}

interface Piece {
  readonly n: number
  readonly path: string
}

async function piecesOf(directory: string, artifact: string): Promise<Piece[]> {
  const pieces = (await namesIn(directory)).flatMap(file => {
    const n = pieceOf(artifact, file)
    return n === undefined ? [] : [{ n, path: join(directory, file) }]
  })
  return pieces.sort((a, b) => a.n - b.n)
}

type Pieces = ReadonlyMap<number, () => Promise<Uint8Array>>

/** Reads and hashes all of it; keeps what is from `from` to `to`, both included. */
async function readWhole(file: FileHandle, from: number, to: number): Promise<{ hash: string; kept: Buffer }> {
  const hash = createHash('sha256')
  const kept: Buffer[] = []
  for (let at = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(readBytes), 0, readBytes, at)
    if (bytesRead === 0) return { hash: hash.digest('hex'), kept: Buffer.concat(kept) }
    const read = buffer.subarray(0, bytesRead)
    hash.update(read)
    if (at <= to && at + bytesRead > from) kept.push(read.subarray(Math.max(0, from - at), to - at + 1))
    at += bytesRead
  }
}

async function readPart(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(to - from + 1)
  for (let at = 0; at < buffer.length; ) {
    const { bytesRead } = await file.read(buffer, at, buffer.length - at, from + at)
    if (bytesRead === 0) throw new BatonError('artifact_lost', 'the file of an artifact became shorter while it was read')
    at += bytesRead
  }
  return buffer
}

async function isOld(path: string, ageMs: number): Promise<boolean> {
  const found = await statOrNone(path)
  return found !== undefined && Date.now() - found.mtimeMs >= ageMs
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

/** Undefined, or an empty list: it is not there. */
const openOrNone = (path: string) => open(path, 'r').catch(error => (isMissing(error) ? undefined : Promise.reject(error)))
const statOrNone = (path: string) => stat(path).catch(error => (isMissing(error) ? undefined : Promise.reject(error)))
const namesIn = (path: string) => readdir(path).catch(error => (isMissing(error) ? [] : Promise.reject(error)))

function lost(name: string, how: string): BatonError {
  return new BatonError('artifact_lost', `the file of artifact ${name} ${how}; run its subtask again to make it anew`)
}
