/** `GET /tasks/:task_id/artifacts` and their bytes. What an agent made is downloaded, never shown as a page of ours. */
import { BatonError } from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi } from '../../commands/api.js'
import { rangeOf } from '../byte-range.js'
import { namesTag, strongTag } from '../entity-tags.js'
import { maxPage } from '../limits.js'
import { cursor, wholeNumber } from '../query.js'
import { defineRoute, type Route } from '../route.js'
import { namedSchemas } from '../view-schemas.js'
import { artifactPath, taskPath } from './path-parameters.js'

const mediaTypePattern = /^[\w!#$&^.+-]{1,100}\/[\w!#$&^.+-]{1,100}(?:\s*;\s*[\w-]{1,50}=(?:[\w.+-]{1,100}|"[\w .+-]{1,100}"))*$/

export function artifactRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/tasks/:task_id/artifacts',
      id: 'listArtifacts',
      summary: 'List the artifacts of a task.',
      params: taskPath,
      query: z.strictObject({
        limit: wholeNumber(1, maxPage, `Items of a page; default ${maxPage}.`).optional(),
        cursor: cursor.optional(),
      }),
      answers: { 200: { description: 'A page of artifacts.', schema: namedSchemas.ArtifactList } },
      errors: ['task_not_found'],
      async answer({ params, query, caller }) {
        return { json: await api.artifacts(caller, params.task_id, { limit: query.limit ?? maxPage, cursor: query.cursor }) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/tasks/:task_id/artifacts/:subtask_id/:name',
      id: 'getArtifact',
      summary: 'The bytes of an artifact, as a download.',
      params: artifactPath,
      answers: {
        200: { description: 'The bytes, with the media type that the agent gave them; `ETag` is their SHA-256.', mediaType: '*/*' },
        206: { description: 'The bytes that `Range` asks for; one range only.', mediaType: '*/*' },
        304: { description: 'Still the bytes that If-None-Match names.' },
      },
      errors: ['task_not_found', 'artifact_not_found', 'artifact_lost', 'range_not_satisfiable'],
      async answer({ params, caller, ifNoneMatch, range, ifRange }) {
        const { mediaType, sha256, bytes, read } = await api.artifact(caller, params.task_id, params.subtask_id, params.name)
        const headers = { etag: strongTag(sha256), 'cache-control': 'private, no-cache', 'accept-ranges': 'bytes' }
        if (namesTag(ifNoneMatch, headers.etag)) return { status: 304, headers }
        const part = ifRange === undefined || ifRange === headers.etag ? rangeOf(range, bytes) : undefined
        if (part === 'unsatisfiable')
          throw new BatonError('range_not_satisfiable', `artifact ${params.name} has ${bytes} bytes; ask for some of these`, {
            extra: { bytes },
          })
        return {
          ...(part && { status: 206 }),
          headers: {
            ...headers,
            ...(part && { 'content-range': `bytes ${part.from}-${part.to}/${bytes}` }),
            'content-type': mediaTypePattern.test(mediaType) ? mediaType : 'application/octet-stream', // the agent's word
            'content-disposition': disposition(params.name),
          },
          content: await read(part),
        }
      },
    }),
  ]
}

/** Names hold letters, digits, `_`, `.`, `-`, blanks and slashes; the last part is the file's name. */
function disposition(name: string): string {
  return `attachment; filename="${name.slice(name.lastIndexOf('/') + 1) || 'artifact'}"`
}
