/** Artifacts wherever they lie: new ones go to one place, those that are stored are read from where they are. */
import { type ArtifactRef, BatonError } from '@baton/shared'
import type { ArtifactChunk, ArtifactPlace, ArtifactStore, Claim, StoredArtifact } from '../store/artifact-store.js'
import { keepArtifacts } from '../store/artifacts.js'
import type { Queryable } from '../store/database.js'

export type PlacedArtifact = ArtifactRef & { readonly stored: ArtifactPlace }

/** What a report's artifacts came to, before its transaction. */
export interface Settled {
  readonly placed: readonly PlacedArtifact[]
  /** Names of those that did not arrive whole. */
  readonly broken: readonly string[]
}

interface ArtifactsOptions {
  readonly postgres: ArtifactStore
  /** None: no directory was named. */
  readonly directory?: ArtifactStore | undefined
  /** Where new ones go. */
  readonly into: ArtifactPlace
}

export class Artifacts {
  private readonly stores: Readonly<Record<ArtifactPlace, ArtifactStore | undefined>>
  private readonly into: ArtifactPlace

  constructor({ postgres, directory, into }: ArtifactsOptions) {
    this.stores = { postgres, directory }
    this.into = into
  }

  put(chunk: ArtifactChunk): ReturnType<ArtifactStore['put']> {
    return this.at(this.into).put(chunk)
  }

  /** Puts in place what was sent. While coordinators are told one after the other of another place, some went to the former one. */
  async settle(claim: Claim, artifacts: readonly ArtifactRef[]): Promise<Settled> {
    const placed: PlacedArtifact[] = []
    let broken = artifacts
    for (const place of [this.into, this.into === 'postgres' ? 'directory' : 'postgres'] as const) {
      const store = this.stores[place]
      if (!store || broken.length === 0) continue
      const left = new Set(await store.settle(claim, broken))
      placed.push(...broken.filter(artifact => !left.has(artifact)).map(artifact => ({ ...artifact, stored: place })))
      broken = [...left]
    }
    return { placed, broken: broken.map(({ name }) => name) }
  }

  /** In the report's transaction: makes them part of the result. False: the sweep was faster; settle them again. */
  async keep(tx: Queryable, { subtask, claimId }: Claim, placed: readonly PlacedArtifact[]): Promise<boolean> {
    for (const place of ['postgres', 'directory'] as const) {
      const there = placed.filter(({ stored }) => stored === place)
      if (there.length > 0 && !(await this.at(place).hold(tx, there))) return false
    }
    await keepArtifacts(tx, subtask, claimId, placed)
    return true
  }

  async release(claim: Claim): Promise<void> {
    await this.stores.directory?.release(claim)
  }

  read(artifact: StoredArtifact & { readonly stored: ArtifactPlace }, part?: { from: number; to: number }): Promise<Buffer> {
    return this.at(artifact.stored).read(artifact, part)
  }

  /** Deletes a piece of what nothing refers to in the directory; Postgres is swept by the watcher. True: there may be more. */
  async sweep(): Promise<boolean> {
    return (await this.stores.directory?.sweep()) ?? false
  }

  async check(): Promise<void> {
    await this.stores.directory?.check()
  }

  private at(place: ArtifactPlace): ArtifactStore {
    const store = this.stores[place]
    if (store) return store
    throw new BatonError('unavailable', 'the bytes lie in a directory that this coordinator was not told of: set BATON_ARTIFACTS_DIR', {
      extra: { retry_after_seconds: 60 },
    })
  }
}
