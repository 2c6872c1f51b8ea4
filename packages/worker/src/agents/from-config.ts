/** Agents that a configuration file declares. */
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type AgentConfig, assertNever, type BatonConfig, BatonError } from '@baton/shared'
import { type Agent, defineAgent } from '../agent.js'
import { findAgent } from '../isolation/load-agent.js'
import { commandAgent } from './command.js'
import { httpAgent } from './http.js'

/** Makes the agents of a configuration; paths in it are relative to `baseDir`. Throws `invalid_configuration`. */
export async function agentsFromConfig(
  config: BatonConfig,
  baseDir: string,
  load: (path: string) => Promise<unknown> = importModule,
): Promise<Agent[]> {
  return Promise.all((config.agents ?? []).map(agent => fromConfig(agent, baseDir, load)))
}

async function fromConfig(config: AgentConfig, baseDir: string, load: (path: string) => Promise<unknown>): Promise<Agent> {
  switch (config.kind) {
    case 'command': {
      const { kind, cwd, queue_wait: queueWait, ...rest } = config
      return commandAgent({
        ...defined({ ...rest, queueWait }),
        command: config.command,
        name: config.name,
        cwd: resolve(baseDir, cwd ?? '.'),
      })
    }
    case 'http': {
      const { kind, queue_wait: queueWait, ...rest } = config
      return httpAgent({ ...defined({ ...rest, queueWait }), url: config.url, name: config.name })
    }
    case 'module': {
      const path = isAbsolute(config.module) ? config.module : resolve(baseDir, config.module)
      const loaded = await load(path).catch(error => {
        const reason = error instanceof Error ? error.message : String(error)
        throw new BatonError('invalid_configuration', `agent ${config.name}: ${path} cannot be loaded: ${reason}`, { cause: error })
      })
      const found = exportedAgent(loaded, config.name)
      if (!found)
        throw new BatonError(
          'invalid_configuration',
          `agent ${config.name}: the default export of ${path} is not an agent made by defineAgent, and none that it exports is named so`,
        )
      const { kind, module: _, queue_wait: queueWait, ...overrides } = config
      const agent = defineAgent({ ...asOptions(found.agent), ...defined({ ...overrides, queueWait }), name: config.name }, 'module')
      return { ...agent, source: { file: path, export: found.export, name: found.agent.name } }
    }
    default:
      return assertNever(config)
  }
}

/** An agent's own declaration, for a configuration to override. */
function asOptions(agent: Agent) {
  return {
    name: agent.name,
    description: agent.description,
    ...(agent.domain !== null && { domain: agent.domain }),
    capabilities: agent.capabilities,
    skills: agent.skills,
    concurrency: agent.concurrency,
    ...inDurations({ sla: agent.slaMs, queueWait: agent.queueWaitMs, deadline: agent.deadlineMs, lease: agent.leaseMs }),
    ...(agent.input && { input: agent.input }),
    ...(agent.output && { output: agent.output }),
    isolation: agent.isolation,
    run: agent.run,
  }
}

function inDurations(times: Record<string, number | null>): Record<string, string> {
  return Object.fromEntries(Object.entries(times).flatMap(([key, ms]) => (typeof ms === 'number' ? [[key, `${ms}ms`]] : [])))
}

/** The default export, else whichever is the agent of this name. */
function exportedAgent(loaded: unknown, name: string): ReturnType<typeof findAgent> {
  return findAgent(loaded, { name, export: 'default' }) ?? findAgent(loaded, { name, export: null })
}

async function importModule(path: string): Promise<unknown> {
  return import(pathToFileURL(path).href)
}

/** Without the keys that are undefined, so that they do not override. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T // keys are only left out
}
