/** Decides where the attempts of a worker's agents run, and owns the pools of those that run elsewhere. */
import { BatonError, failure, type Isolation, isolations } from '@baton/shared'
import type { Logger } from '@baton/shared/node'
import type { Agent, AgentSource } from '../agent.js'
import { inlineRunner, type Runner } from '../run-agent.js'
import { isInside } from './inside.js'
import { IsolatedPool, type IsolatedPoolOptions } from './pool.js'

interface RunnersOptions {
  readonly log: Logger
  /** Default: as long as a pool says. */
  readonly graceMs?: number
  readonly createPool?: (options: IsolatedPoolOptions) => IsolatedPool
}

export class Runners {
  private readonly options: RunnersOptions
  private readonly made = new Map<string, IsolatedPool>()
  private stopped = false

  constructor(options: RunnersOptions) {
    this.options = options
  }

  get pools(): readonly IsolatedPool[] {
    return [...this.made.values()]
  }

  /** Brings up a child of each isolated agent. Throws `invalid_configuration` when one cannot be isolated. */
  async start(agents: readonly Agent[]): Promise<void> {
    checkIsolation(agents)
    const pools = agents.flatMap(agent => {
      const { isolation, source, kind } = agent
      return kind === 'module' && isIsolated(isolation) && source ? this.poolOf(agent, source, isolation) : []
    })
    await Promise.all(pools.map(pool => pool.start()))
  }

  /** Where an attempt runs: as the subtask asks, and never in less isolation than the agent's own. */
  runnerFor(agent: Agent, asked: Isolation | null): Runner {
    const isolation = stronger(asked ?? 'inline', agent.isolation)
    // What is no module does its work outside of the worker already: in a program, on a server.
    if (!isIsolated(isolation) || agent.kind !== 'module') return inlineRunner(agent)
    if (agent.source) return this.poolOf(agent, agent.source, isolation)
    const message = `agent ${agent.name} cannot run in a ${isolation}: it is a closure. Ask for no isolation, or ${remedy}`
    return { run: async () => ({ kind: 'failed', failure: failure('isolation_unavailable', message) }) }
  }

  /** Ends all children. Idempotent. */
  async stop(): Promise<void> {
    this.stopped = true
    await Promise.all(this.pools.map(pool => pool.stop()))
  }

  private poolOf(agent: Agent, source: AgentSource, isolation: Exclude<Isolation, 'inline'>): IsolatedPool {
    const key = `${isolation} ${agent.name}`
    const known = this.made.get(key)
    if (known) return known
    const { log, graceMs, createPool = options => new IsolatedPool(options) } = this.options
    const pool = createPool({
      agent: agent.name,
      source,
      isolation,
      concurrency: agent.concurrency,
      log,
      ...(graceMs !== undefined && { graceMs }),
    })
    if (this.stopped) void pool.stop()
    this.made.set(key, pool)
    return pool
  }
}

const remedy = 'say where it lives: `defineAgent({ …, module: import.meta.url })` in a module that exports it'

/** Refuses agents that cannot run as they ask to. */
export function checkIsolation(agents: readonly Agent[]): void {
  if (isInside())
    throw new BatonError(
      'invalid_configuration',
      'a module that holds isolated agents starts a worker when it is loaded; move the agents into a module of their own',
    )
  for (const { name, kind, isolation, source } of agents)
    if (isIsolated(isolation) && source === null && kind === 'module')
      throw new BatonError(
        'invalid_configuration',
        `agent ${name}: a closure cannot run in a ${isolation}; leave \`isolation\` out, or ${remedy}`,
      )
}

function isIsolated(isolation: Isolation): isolation is Exclude<Isolation, 'inline'> {
  return isolation !== 'inline'
}

function stronger(a: Isolation, b: Isolation): Isolation {
  return isolations.indexOf(a) > isolations.indexOf(b) ? a : b
}
