/** Agents that a module exports: how `baton fleet` and the demo hand theirs to worker processes. */
import { existsSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BatonError } from '@baton/shared'
import type { Agent } from '@baton/worker'

/** `name` is a file, a `file:` URL or a package. Throws `invalid_configuration` when it exports no agents. */
export async function agentsOfModule(name: string, cwd: string): Promise<Agent[]> {
  const file = resolve(cwd, name)
  const specifier = isAbsolute(name) || existsSync(file) ? pathToFileURL(file).href : name
  let module: { agents?: unknown }
  try {
    module = (await import(specifier)) as { agents?: unknown }
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
