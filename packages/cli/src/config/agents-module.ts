/** Agents that a module exports: how `baton fleet` and the demo hand theirs to worker processes. */
import { existsSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BatonError } from '@baton/shared'
import type { Agent } from '@baton/worker'
import { loadModule } from './load.js'

/** `name` is a file, a `file:` URL or a package. Throws `invalid_configuration` when it exports no agents. */
export async function agentsOfModule(name: string, cwd: string): Promise<Agent[]> {
  const file = resolve(cwd, name)
  const isThere = existsSync(file)
  if (!isThere && (isAbsolute(name) || name.startsWith('.'))) throw new BatonError('invalid_configuration', `there is no file ${file}`)
  let module: { agents?: unknown }
  try {
    module = (isThere ? await loadFile(file) : await import(name)) as { agents?: unknown }
  } catch (error) {
    throw new BatonError(
      'invalid_configuration',
      `the module ${name} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
  if (Array.isArray(module.agents) && module.agents.length > 0) return module.agents as Agent[] // made by `defineAgent`, checked by the worker
  throw new BatonError('invalid_configuration', `the module ${name} must export \`agents\`, a list of what \`defineAgent\` made`)
}

/** As Node does; where that cannot, since it is TypeScript or Baton's packages are not installed beside it, as configurations are loaded. */
async function loadFile(file: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(file).href)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_UNKNOWN_FILE_EXTENSION') return loadModule(file)
    throw error
  }
}
