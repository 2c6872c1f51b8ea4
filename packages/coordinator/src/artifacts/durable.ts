/** Files that are there as a whole and for good, or not at all: written aside, synced, renamed, the directory synced. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Writes `data` to `path` by way of a temporary name in `aside`, which is on the same file system. Replaces what is there.
 * False: `accepts`, asked when all is written, did not take it, and nothing is there.
 */
export async function putFile(
  path: string,
  aside: string,
  data: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  accepts: () => boolean = () => true,
): Promise<boolean> {
  const temporary = join(aside, `${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  let done = false
  try {
    const file = await open(temporary, 'wx', 0o640)
    try {
      for await (const piece of data) await writeAll(file, piece)
      if (!accepts()) return false
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    done = true
  } finally {
    if (!done) await rm(temporary, { force: true }).catch(() => undefined) // the first error counts
  }
  await syncDirectory(dirname(path))
  return true
}

/** Makes a directory in one that is there, and its name durable. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o750 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw error
  }
  await syncDirectory(dirname(path))
}

async function writeAll(file: FileHandle, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; ) at += (await file.write(data, at)).bytesWritten
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error // some network file systems keep names durable by themselves
  } finally {
    await directory.close()
  }
}
