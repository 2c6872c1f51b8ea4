/** What a command is given: a file, or stdin for `-`. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { BatonError, parseStrictJson, RawJson } from '@baton/shared'
import type { Io } from './io.js'

/** Throws `invalid_request` when there is no such file, `invalid_json` when it is not UTF-8. */
export async function readInput(file: string, io: Io): Promise<string> {
  if (file !== '-') {
    try {
      return decode(await readFile(resolve(io.cwd, file)), file)
    } catch (error) {
      if (error instanceof BatonError) throw error
      throw new BatonError('invalid_request', `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of io.stdin) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  return decode(Buffer.concat(chunks), 'stdin')
}

/** JSON whose text stays byte for byte what it was. Throws as `readInput` does, and `invalid_json`. */
export async function readJson(file: string, io: Io): Promise<RawJson> {
  const text = await readInput(file, io)
  try {
    return new RawJson(text.trim(), parseStrictJson(text))
  } catch (error) {
    if (!(error instanceof BatonError)) throw error
    throw new BatonError(error.code, `${file === '-' ? 'stdin' : file}: ${error.message}`, { cause: error })
  }
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes) // a byte order mark is left out
  } catch (error) {
    throw new BatonError('invalid_json', `${name} is not UTF-8 text`, { cause: error })
  }
}
