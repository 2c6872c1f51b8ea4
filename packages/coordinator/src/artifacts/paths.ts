/**
 * Where what lies in the directory of artifacts: files by the SHA-256 of their bytes, pieces of running attempts by their
 * claim. No part of a path is anybody's text: names of artifacts appear as their hashes only, so that no path leaves the directory.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { BatonError } from '@baton/shared'
import type { Claim } from '../store/artifact-store.js'

/** Files are spread over so many directories, by the first two digits of their names. */
export const parts = 256

export const markerPath = (root: string) => join(root, 'baton-artifacts.json')
export const filesPath = (root: string) => join(root, 'files')
export const incomingPath = (root: string) => join(root, 'incoming')

export const partOf = (sha256: string): number => Number.parseInt(shaped(sha256, /^[0-9a-f]{64}$/).slice(0, 2), 16)
export const partPath = (root: string, part: number) => join(filesPath(root), part.toString(16).padStart(2, '0'))
export const filePath = (root: string, sha256: string) => join(partPath(root, partOf(sha256)), sha256)

export const claimPath = (root: string, { subtask, claimId }: Claim) =>
  join(incomingPath(root), shaped(`${subtask}.${claimId.toLowerCase()}`, claimDirectory))

const claimDirectory = /^(\d{1,19})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/** The claim whose pieces a directory holds; undefined: it is none of ours. */
export function claimOf(directory: string): Claim | undefined {
  const [, subtask, claimId] = claimDirectory.exec(directory) ?? []
  return subtask !== undefined && claimId !== undefined ? { subtask, claimId } : undefined
}

export const isFile = (name: string): boolean => /^[0-9a-f]{64}$/.test(name)

const stem = (artifact: string) => createHash('sha256').update(artifact).digest('hex').slice(0, 32)
export const pieceName = (artifact: string, n: number) => `${stem(artifact)}.${n}`

/** The number of a piece of this artifact; undefined: the file is something else. */
export function pieceOf(artifact: string, file: string): number | undefined {
  const [, of, n] = /^([0-9a-f]{32})\.(\d{1,6})$/.exec(file) ?? []
  return of === stem(artifact) ? Number(n) : undefined
}

function shaped(text: string, shape: RegExp): string {
  if (!shape.test(text)) throw new BatonError('internal', `${JSON.stringify(text)} is no part of a path`)
  return text
}
