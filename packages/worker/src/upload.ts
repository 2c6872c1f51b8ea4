/** Sends what is too large for a message in chunks that are committed one by one. */
import { createHash } from 'node:crypto'
import { type ArtifactRef, BatonError, type ChunkReply, chunkBytes, maxArtifactBytes } from '@baton/shared'
import type { Uplink } from './uplink.js'

interface Claim {
  readonly subtask: string
  readonly claimId: string
  readonly workerId: string
}

/** Stores `data` under `name` for this claim. Throws `result_too_large`, or `attempt_aborted` when the claim is lost. */
export async function upload(
  uplink: Uplink,
  claim: Claim,
  name: string,
  data: Uint8Array,
  signal: AbortSignal,
): Promise<Pick<ArtifactRef, 'bytes' | 'sha256'>> {
  if (data.byteLength > maxArtifactBytes)
    throw new BatonError(
      'result_too_large',
      `${name} has ${data.byteLength} bytes; at most ${maxArtifactBytes} can be stored. Put it elsewhere and return a reference`,
    )
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  for (let n = 0, at = 0; at < buffer.length; n++, at += chunkBytes) {
    const reply = await uplink.ask<ChunkReply>(
      {
        type: 'chunk',
        worker_id: claim.workerId,
        subtask: claim.subtask,
        claim_id: claim.claimId,
        name,
        n,
        data: buffer.subarray(at, at + chunkBytes).toString('base64'),
      },
      signal,
    )
    if (reply.status === 'stale') throw new BatonError('attempt_aborted', "the attempt is no longer this worker's")
    if (reply.status === 'rejected') throw new BatonError('result_too_large', reply.failure.message)
  }
  return { bytes: data.byteLength, sha256: createHash('sha256').update(data).digest('hex') }
}
