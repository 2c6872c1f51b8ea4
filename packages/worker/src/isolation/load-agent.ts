/**
 * Finds an agent in a module. JavaScript is imported by Node itself; TypeScript, and JavaScript that Node cannot import
 * where it lies (Baton's packages are not installed there, or it is no ES module by name), by jiti.
 */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { BatonError } from '@baton/shared'
import type { Agent, AgentSource } from '../agent.js'

export async function loadAgent(source: AgentSource): Promise<Agent> {
  const found = findAgent(await importModule(source.file), source)
  if (found) return found.agent
  const what = source.export === null ? `no agent named ${source.name}` : `no agent as ${source.export}`
  throw new BatonError(
    'invalid_configuration',
    `${source.file} exports ${what}; export what \`defineAgent\` made, or a list of them as \`agents\``,
  )
}

/** The agent, and under which name it is exported itself (null: it stands in a list). */
export function findAgent(
  loaded: unknown,
  { name, export: exported }: Pick<AgentSource, 'name' | 'export'>,
): { agent: Agent; export: string | null } | undefined {
  if (typeof loaded !== 'object' || loaded === null) return undefined
  const exports = Object.entries(loaded)
  if (exported !== null) {
    const value = exports.find(([key]) => key === exported)?.[1] as unknown
    return isAgent(value) ? { agent: value, export: exported } : undefined
  }
  for (const [key, value] of exports) if (isAgent(value) && value.name === name) return { agent: value, export: key }
  for (const [, value] of exports) {
    const agent = Array.isArray(value) ? (value as unknown[]).filter(isAgent).find(each => each.name === name) : undefined
    if (agent) return { agent, export: null }
  }
  return undefined
}

export function isAgent(value: unknown): value is Agent {
  return (
    typeof value === 'object' && value !== null && typeof (value as Agent).run === 'function' && typeof (value as Agent).name === 'string'
  )
}

async function importModule(file: string): Promise<unknown> {
  if (/\.[cm]?tsx?$/.test(file)) return importByJiti(file)
  try {
    return await import(pathToFileURL(file).href)
  } catch (error) {
    // Both come before anything of the module has run.
    const unlinked = error instanceof SyntaxError || (error as { code?: unknown } | null)?.code === 'ERR_MODULE_NOT_FOUND'
    if (!unlinked) throw error
    return importByJiti(file)
  }
}

async function importByJiti(file: string): Promise<unknown> {
  const { createJiti } = await import('jiti')
  return createJiti(import.meta.url, { alias: ownPackages() }).import(file)
}

/** Lets a module import Baton's packages where they are not installed. */
function ownPackages(): Record<string, string> {
  const { resolve } = createRequire(import.meta.url)
  const found: Record<string, string> = {}
  for (const name of ['@baton/shared', '@baton/shared/node', '@baton/worker'])
    try {
      found[name] = resolve(name)
    } catch {
      // Not built: the module has to find it by itself.
    }
  return found
}
