/** Where the configuration file is. */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { BatonError } from '@baton/shared'

export const configNames = ['baton.config.ts', 'baton.config.js', 'baton.config.json'] as const

/**
 * The file that was named, or the nearest one from `from` upward; undefined when there is none. Throws
 * `invalid_configuration` when the named one does not exist.
 */
export function findConfig(from: string, named?: string): string | undefined {
  if (named !== undefined) {
    const file = resolve(from, named)
    if (!existsSync(file))
      throw new BatonError('invalid_configuration', `there is no configuration file ${file}; \`baton init\` writes one`)
    return file
  }
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    for (const name of configNames) if (existsSync(join(folder, name))) return join(folder, name)
    if (dirname(folder) === folder) return undefined
  }
}
