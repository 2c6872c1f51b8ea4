/** Hands a running attempt what did not fit into its grant. */
import { assertNever, chunkBytes, type ReadReply, type WorkerRequest } from '@baton/shared'
import type { Artifacts } from '../artifacts/artifacts.js'
import type { Database } from '../store/database.js'
import { holdsClaim, pageArtifact, pageDependencies, pageInput, pageOutput, pageSize, type TextPage } from '../store/read-claim.js'

type ReadRequest = Extract<WorkerRequest, { type: 'read' }>

export async function answerRead(
  database: Database,
  artifacts: Pick<Artifacts, 'read'>,
  { subtask, claim_id: claimId, what, offset }: ReadRequest,
): Promise<ReadReply> {
  if (!(await holdsClaim(database, subtask, claimId))) return { status: 'stale', data: '', next_offset: null }
  switch (what.kind) {
    case 'input':
      return textReply(await pageInput(database, subtask, claimId, offset), offset)
    case 'output':
      return textReply(await pageOutput(database, subtask, claimId, what.name, offset), offset)
    case 'artifact': {
      const page = await pageArtifact(database, subtask, claimId, { dependency: what.name, artifact: what.artifact }, offset)
      if (!page) return notFound
      if (page.stored !== 'postgres') {
        const [from, bytes] = [offset * chunkBytes, Number(page.bytes)]
        const to = Math.min(from + chunkBytes, bytes) - 1
        const stored = { claimId: page.claim_id, name: what.artifact, bytes, sha256: page.sha256, stored: page.stored }
        const data = from > to ? Buffer.alloc(0) : await artifacts.read(stored, { from, to })
        const next = to + 1 < bytes && from <= to ? offset + 1 : null
        return { status: 'ok', data: data.toString('base64'), next_offset: next, media_type: page.media_type }
      }
      const more = page.last !== null && offset < page.last
      return {
        status: 'ok',
        data: Buffer.from(page.data ?? []).toString('base64'),
        next_offset: more ? offset + 1 : null,
        media_type: page.media_type,
      }
    }
    case 'dependencies': {
      const { list, more } = await pageDependencies(database, subtask, claimId, what.after)
      return { status: 'ok', data: '', next_offset: more ? 1 : null, dependencies: list }
    }
    default:
      return assertNever(what)
  }
}

const notFound: ReadReply = { status: 'not_found', data: '', next_offset: null }

function textReply(page: TextPage | undefined, offset: number): ReadReply {
  if (!page || page.data === null) return notFound
  const next = offset + pageSize
  return { status: 'ok', data: page.data, next_offset: next < page.total ? next : null }
}
