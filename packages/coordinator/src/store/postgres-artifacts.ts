/** Artifacts whose bytes are the chunks that they came in. */
import { createHash } from 'node:crypto'
import { BatonError } from '@baton/shared'
import type { ArtifactStore } from './artifact-store.js'
import { brokenArtifacts, putChunk, readChunks, sweepChunks } from './chunks.js'
import type { Queryable } from './database.js'

export function postgresArtifacts(database: Queryable): ArtifactStore {
  return {
    put: chunk => putChunk(database, chunk),
    async settle({ claimId }, artifacts) {
      const broken = new Set(await brokenArtifacts(database, claimId, artifacts))
      return artifacts.filter(({ name }) => broken.has(name))
    },
    hold: async () => true, // chunks of a running attempt are never swept
    release: async () => undefined,
    async read({ claimId, name, bytes, sha256 }, part) {
      const data = Buffer.from(await readChunks(database, claimId, name))
      if (data.length !== bytes || createHash('sha256').update(data).digest('hex') !== sha256) throw lost(name)
      return part ? data.subarray(part.from, part.to + 1) : data
    },
    async sweep() {
      await sweepChunks(database)
      return false
    },
    check: async () => undefined,
  }
}

function lost(name: string): BatonError {
  return new BatonError('artifact_lost', `the bytes of artifact ${name} in Postgres are not those that were stored`)
}
