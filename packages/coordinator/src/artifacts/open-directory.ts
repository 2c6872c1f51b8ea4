/**
 * Takes a directory into use: it can be written, and it is this database's. A marker in it says so, because the sweep deletes
 * whatever its own database does not refer to, and because the place of a network file system that is not mounted is empty.
 */
import { readFile, realpath } from 'node:fs/promises'
import { BatonError } from '@baton/shared'
import { z } from 'zod'
import { readInstallation } from '../store/artifacts.js'
import type { Queryable } from '../store/database.js'
import { makeDirectory, putFile } from './durable.js'
import { filesPath, incomingPath, markerPath } from './paths.js'

const markerSchema = z.object({ installation: z.string() })

/** The directory's real path; it is made where the one above it is there. Throws `invalid_configuration`. */
export async function openArtifactDirectory(path: string, database: Queryable): Promise<string> {
  const installation = await readInstallation(database)
  const own = JSON.stringify({ installation: installation.id })
  try {
    await makeDirectory(path)
    const root = await realpath(path)
    const marked = await markOf(root)
    if (marked === undefined && installation.used)
      throw refusal(
        `${path} holds none of the artifacts that the database tells of: mount it, or name the right directory (if they are lost for good, write ${own} into ${markerPath(path)})`,
      )
    if (marked !== undefined && marked !== installation.id)
      throw refusal(`${path} holds the artifacts of another database (${marked}; this one is ${installation.id}): each needs its own`)
    await makeDirectory(incomingPath(root))
    await makeDirectory(filesPath(root))
    // Written at every start: that it can be shows that the directory takes files.
    await putFile(markerPath(root), incomingPath(root), [Buffer.from(`${own}\n`)])
    return root
  } catch (cause) {
    if (cause instanceof BatonError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    if (code === undefined) throw cause
    throw refusal(`${path} ${meanings[code] ?? `cannot be used (${code})`}`, cause)
  }
}

const meanings: Readonly<Record<string, string>> = {
  EACCES: 'may not be written by this user',
  EPERM: 'may not be written by this user',
  EROFS: 'is on a file system that is read-only',
  ENOSPC: 'is on a file system that is full',
  EDQUOT: 'is on a file system whose quota is used up',
  ENOENT: 'cannot be made: the directory above it is not there',
  ENOTDIR: 'is not a directory',
  EEXIST: 'is not a directory',
}

async function markOf(root: string): Promise<string | undefined> {
  let text: string
  try {
    text = await readFile(markerPath(root), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return markerSchema.parse(JSON.parse(text)).installation
  } catch {
    throw refusal(`${markerPath(root)} is not what Baton wrote there`)
  }
}

function refusal(issue: string, cause?: unknown): BatonError {
  return new BatonError('invalid_configuration', `the directory of artifacts ${issue}`, {
    cause,
    fields: [{ path: 'BATON_ARTIFACTS_DIR', issue }],
  })
}
