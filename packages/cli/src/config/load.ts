/**
 * Loads the configuration file and checks it. Whatever is wrong is an `invalid_configuration` that names the file, the
 * place in it and the remedy.
 */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, extname, relative } from 'node:path'
import { type BatonConfig, BatonError, parseStrictJson } from '@baton/shared'
import { checkConfig } from './check.js'

export { findConfig } from './find.js'

export interface LoadedConfig {
  readonly file: string
  /** What relative paths in it are relative to. */
  readonly dir: string
  readonly config: BatonConfig
}

/** Reads the file anew, also when it was loaded before. `cwd` only shortens its name in messages. */
export async function loadConfig(file: string, cwd: string): Promise<LoadedConfig> {
  const name = shortName(file, cwd)
  const value = extname(file) === '.json' ? await readJson(file, name) : await evaluate(file, name)
  return { file, dir: dirname(file), config: checkConfig(value, name) }
}

/** The file as people know it: relative to where they are, when it lies below. */
export function shortName(file: string, cwd: string): string {
  const short = relative(cwd, file)
  return short === '' || short.startsWith('..') ? file : short
}

async function readJson(file: string, name: string): Promise<unknown> {
  const text = await readText(file, name)
  try {
    return parseStrictJson(text)
  } catch (error) {
    if (!(error instanceof BatonError)) throw error
    const [, reason, line] = /^(.*) \(line (\d+), column \d+\)$/s.exec(error.message) ?? []
    throw new BatonError('invalid_configuration', line ? `${name}:${line}: ${reason}` : `${name}: ${error.message}`, { cause: error })
  }
}

async function evaluate(file: string, name: string): Promise<unknown> {
  await readText(file, name)
  const { createJiti } = await import('jiti')
  // Without caches: the file is loaded again when it was saved.
  const jiti = createJiti(import.meta.url, { fsCache: false, moduleCache: false, alias: ownPackages() })
  let module: unknown
  try {
    module = await jiti.import(file)
  } catch (error) {
    throw new BatonError('invalid_configuration', placed(error, file, name), { cause: error })
  }
  if (module !== null && typeof module === 'object' && 'default' in module) return module.default
  throw new BatonError('invalid_configuration', `${name} has no default export; write \`export default { agents: [ … ] }\``)
}

/**
 * Loads a module that a configuration names, TypeScript too, and with Baton's own packages at hand wherever it lies. Each
 * loading reads the file anew.
 */
export async function loadModule(path: string): Promise<unknown> {
  const { createJiti } = await import('jiti')
  return createJiti(import.meta.url, { fsCache: false, moduleCache: false, alias: ownPackages() }).import(path)
}

async function readText(file: string, name: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new BatonError('invalid_configuration', `${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

/** Lets a configuration import Baton's packages where they are not installed. */
function ownPackages(): Record<string, string> {
  const { resolve } = createRequire(import.meta.url)
  const found: Record<string, string> = {}
  for (const name of ['@baton/shared', '@baton/worker'])
    try {
      found[name] = resolve(name)
    } catch {
      // Not built: the configuration has to find it by itself.
    }
  return found
}

/** `baton.config.ts:3: nope is not defined`, for errors of parsing and of running alike. */
function placed(error: unknown, file: string, name: string): string {
  const text = error instanceof Error ? error.message : String(error)
  const trace = error instanceof Error ? `${text}\n${error.stack ?? ''}` : text
  const at = trace.indexOf(`${file}:`)
  const line = at < 0 ? undefined : /^\d+/.exec(trace.slice(at + file.length + 1))?.[0]
  const reason =
    text
      .split('\n')[0]
      ?.replace(/^ParseError: /, '')
      .trim() ?? text
  return `${line ? `${name}:${line}` : name}: ${reason}`
}
