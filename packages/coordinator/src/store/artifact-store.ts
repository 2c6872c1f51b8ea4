/**
 * The seam to where the bytes of artifacts lie: in Postgres, or in a directory. What there is to know of an artifact (name,
 * size, media type, SHA-256, whose it is) is in Postgres either way.
 *
 * Invariants: A1 a row refers only to bytes that are in place and durable before the row is committed. A2 what is read is
 * what was stored, byte for byte, or an error. A3 what no row refers to is deleted in time, and nothing else is.
 */
import type { ArtifactRef } from '@baton/shared'
import type { Queryable } from './database.js'

export const artifactPlaces = ['postgres', 'directory'] as const
export type ArtifactPlace = (typeof artifactPlaces)[number]

/** Whose artifacts they are while an attempt runs. */
export interface Claim {
  readonly subtask: string
  readonly claimId: string
}

export interface ArtifactChunk extends Claim {
  readonly name: string
  readonly n: number
  readonly data: Uint8Array
}

/** An artifact that a row tells of. */
export interface StoredArtifact {
  readonly claimId: string
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

export interface ArtifactStore {
  /** Keeps a piece of an artifact of a running attempt, durably; repeated, it replaces itself. `stale`: the claim is not the running one. */
  put(chunk: ArtifactChunk): Promise<'stored' | 'stale' | 'too_large'>
  /** Puts in place what the pieces make up, before a row refers to it; answers with those that did not arrive whole. Repeatable. */
  settle(claim: Claim, artifacts: readonly ArtifactRef[]): Promise<ArtifactRef[]>
  /** In the transaction that inserts the rows: keeps what was settled from being swept until its end. False: it is gone, settle again. */
  hold(tx: Queryable, artifacts: readonly ArtifactRef[]): Promise<boolean>
  /** The pieces are not needed any more: the rows are committed, or will never be. Never throws. */
  release(claim: Claim): Promise<void>
  /** The bytes, or those from `from` to `to`, both included. Throws `artifact_lost`, `unavailable`. */
  read(artifact: StoredArtifact, part?: { readonly from: number; readonly to: number }): Promise<Buffer>
  /** Deletes some of what no row refers to and nobody uploads; true: there may be more, of this round. */
  sweep(): Promise<boolean>
  /** Throws when artifacts can be neither read nor stored. */
  check(): Promise<void>
}
