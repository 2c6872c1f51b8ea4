/**
 * Bodies, from bytes to JSON values, in one place. What is not JSON in UTF-8 is refused before it is read; what another
 * parser would read differently is refused by the strict parser. `input`, `metadata` and `context` keep their bytes (I16), on
 * the routes that say so other keys instead.
 */
import { BatonError, parseStrictJson, rawRequestKeys } from '@baton/shared'
import type { FastifyInstance, FastifyRequest } from 'fastify'

const jsonType = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i

/** Makes `request.body` the parsed value, or undefined where there was none. */
export function installBodyParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, bytes: Buffer) =>
    parseBody(bytes, request.routeOptions.config),
  )
  app.addHook('preParsing', async request => {
    if (hasBody(request)) refuseOtherTypes(request)
  })
}

export function parseBody(
  bytes: Buffer,
  { rawKeys = rawRequestKeys, separateItems }: { rawKeys?: ReadonlySet<string> | undefined; separateItems?: string | undefined } = {},
): unknown {
  if (bytes.length === 0) return undefined
  return parseStrictJson(decode(bytes), { rawKeys, separateItems })
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BatonError('invalid_json', 'the body is not UTF-8; encode it as UTF-8', { cause })
  }
}

function hasBody(request: FastifyRequest): boolean {
  const { 'content-length': length, 'transfer-encoding': transfer } = request.headers
  return transfer !== undefined || (length !== undefined && length !== '0')
}

function refuseOtherTypes(request: FastifyRequest): void {
  const { 'content-type': type, 'content-encoding': encoding } = request.headers
  if (type === undefined || !jsonType.test(type))
    throw new BatonError('unsupported_media_type', 'send the body as JSON, with Content-Type: application/json')
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    throw new BatonError('unsupported_media_type', 'send the body uncompressed, without Content-Encoding')
}
