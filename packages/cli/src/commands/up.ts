/**
 * `baton up`: the coordinator, and in local mode the configured agents beside it.
 *
 * Invariant: U1 a configuration with a mistake never replaces one that works.
 */
import { isAbsolute, resolve } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { type BatonConfig, canonicalJson } from '@baton/shared'
import {
  type ArtifactSettings,
  armFailpoints,
  coordinatorMode,
  type Environment,
  type Logger,
  type Mode,
  type ModelEnvironment,
  readEnvironment,
} from '@baton/shared/node'
import type { LoadedConfig } from '../config/load.js'
import { findConfig, loadConfig, loadModule, shortName } from '../config/load.js'
import { contentOf, watchConfig } from '../config/watch.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { aborted, type Io, whileStarting } from '../io.js'
import { errorLines } from '../output/errors.js'
import { commandLogger, openLogFile, serverOutput } from '../output/log.js'
import { printJson, printLines } from '../output/print.js'
import { surviveRejections } from '../output/rejections.js'
import { tryItLines } from '../output/try-it.js'

interface UpOptions {
  readonly config?: string
  readonly data?: string
  readonly host?: string
  readonly port?: string
  readonly json?: boolean
}

interface Running {
  readonly url: string
  readonly mode: 'local' | 'fleet'
  /** Takes a changed configuration over; says what of it needs a restart. */
  replace(config: LoadedConfig, before: BatonConfig): Promise<string[]>
  stop(): Promise<void>
}

/**
 * By how much the old generation may outgrow what lives in it before it is collected. By itself V8 lets it grow up to fourfold
 * where the machine has memory: a task of 100,000 subtasks left a process hundreds of megabytes larger than it needs
 * (`npm run bench -- w4`).
 */
const heapGrowthPercent = 60

export async function up(options: UpOptions, io: Io): Promise<ExitCode> {
  setFlagsFromString(`--heap-growing-percent=${heapGrowthPercent}`)
  // Flags are laid over the environment, so that both are checked together.
  const environment = readEnvironment({
    ...io.env,
    ...(options.host && { BATON_HOST: options.host }),
    ...(options.port && { BATON_PORT: options.port }),
  })
  armFailpoints(environment.failpoints)
  const config = findConfig(io.cwd, options.config ?? environment.config)
  const seen = config === undefined ? undefined : contentOf(config)
  let loaded = config === undefined ? undefined : await loadConfig(config, io.cwd)
  const signal = io.interruption()
  surviveRejections(io)
  const mode = coordinatorMode(environment)
  const data = resolveData(options.data ?? environment.dataDir, io.cwd)
  const { log, people, closeLog } = await openLog(environment, { mode, data, json: options.json, io })
  const running = await start(environment, { mode, loaded, data, signal, log })
  const say = (lines: readonly string[]) => (options.json ? io.stderr.write(`${lines.join('\n')}\n`) : printLines(people, lines))
  announce(running, loaded, { environment, options, io: people })

  const reload = async (changedFile: string) => {
    try {
      const changed = await loadConfig(changedFile, io.cwd)
      const notes = await running.replace(changed, loaded?.config ?? {})
      loaded = changed
      say([`${shortName(changedFile, io.cwd)} was read again: ${agentNames(changed.config)}`, ...notes])
    } catch (error) {
      io.stderr.write(`${[...errorLines(error), 'what ran before goes on'].join('\n')}\n`) // U1
    }
  }
  const unwatch =
    config === undefined ? () => undefined : watchConfig(config, { onChange: () => reload(config), ...(seen !== undefined && { seen }) })
  await aborted(signal)
  unwatch()
  say(['stopping; Ctrl-C again ends it at once'])
  await running.stop()
  await closeLog()
  return exitCodes.done
}

const resolveData = (data: string, cwd: string): string => (data === 'memory' || isAbsolute(data) ? data : resolve(cwd, data))

/** The log, and where to say what is for people: a fleet's log is for whoever gathers stdout. */
async function openLog(
  environment: Environment,
  { mode, data, json = false, io }: { mode: Mode; data: string; json: boolean | undefined; io: Io },
): Promise<{ log: Logger; people: Io; closeLog: () => Promise<void> }> {
  // Local mode keeps together what it has, and where it keeps nothing it writes no file.
  const directory = mode.kind === 'fleet' ? io.cwd : data
  const file = directory === 'memory' ? undefined : await openLogFile(io, environment, directory)
  const to = mode.kind === 'fleet' ? serverOutput(io, { json }) : 'stderr'
  const log = commandLogger(io, environment.logLevel, { to, file })
  const lastWord = (error: Error) => {
    log.fatal({ err: error }, 'an error that nobody caught; the process ends')
    file?.writeNow()
  }
  process.on('uncaughtExceptionMonitor', lastWord)
  return {
    log,
    people: to === 'stdout' ? { ...io, stdout: io.stderr } : io,
    closeLog: async () => {
      process.off('uncaughtExceptionMonitor', lastWord)
      await file?.close()
    },
  }
}

interface Start {
  readonly mode: Mode
  readonly loaded: LoadedConfig | undefined
  readonly data: string
  readonly signal: AbortSignal
  readonly log: Logger
}

async function start(environment: Environment, { mode, loaded, data, signal, log }: Start): Promise<Running> {
  const { host, port, apiKey, namespace, leaseMs, heartbeatMs, timeScale, plannerModel, webhookNetworks, artifacts } = environment
  const common = {
    host,
    port,
    leaseMs,
    heartbeatMs,
    timeScale,
    plannerModel,
    artifacts,
    log,
    ...(apiKey && { apiKey }),
    ...(webhookNetworks && { webhookNetworks }),
    ...(loaded && { config: loaded.config }),
  }
  if (mode.kind === 'local') return startInOneProcess({ ...common, dataDir: data, traced: environment.tracing }, loaded)
  const { startCoordinator } = await import('@baton/coordinator')
  const coordinator = await whileStarting(signal, starting =>
    startCoordinator({ ...common, mode, namespace, intake: environment.intake, tracing: environment.tracing, signal: starting }),
  )
  return {
    url: coordinator.url,
    mode: 'fleet',
    replace: async () => ['a coordinator of a fleet takes it over when it is restarted, workers when they are'],
    stop: () => coordinator.stop(),
  }
}

interface Common {
  readonly host: string
  readonly port: number
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly timeScale: number
  readonly plannerModel: ModelEnvironment
  readonly artifacts: ArtifactSettings | undefined
  readonly log: Logger
  readonly apiKey?: string
  readonly webhookNetworks?: readonly string[]
  readonly config?: BatonConfig
  readonly dataDir: string
  readonly traced: boolean
}

async function startInOneProcess({ traced, ...common }: Common, loaded: LoadedConfig | undefined): Promise<Running> {
  const { startLocal } = await import('@baton/local')
  // Without a configuration there is one agent to try things with.
  const agents = loaded === undefined ? (await import('../fleet/echo-agents.js')).agents : []
  const tracing = traced ? await (await import('@baton/shared/observe')).openTracing('baton') : undefined
  const local = await startLocal({ ...common, ...(tracing && { tracing }), agents, loadModule, ...(loaded && { configDir: loaded.dir }) })
  return {
    url: local.url,
    mode: 'local',
    async replace(changed, before) {
      const { agentsFromConfig } = await import('@baton/worker')
      await local.replaceAgents(await agentsFromConfig(changed.config, changed.dir, loadModule))
      const rest = ({ agents: _agents, ...others }: BatonConfig) => canonicalJson(others)
      return rest(changed.config) === rest(before) ? [] : ['playbooks, rules, planner and defaults are taken over by a restart']
    },
    stop: async () => {
      await local.stop()
      await tracing?.close()
    },
  }
}

interface Announcement {
  readonly environment: Environment
  readonly options: UpOptions
  readonly io: Io
}

function announce({ url, mode }: Running, loaded: LoadedConfig | undefined, { environment, options, io }: Announcement): void {
  // Without a configuration, local mode has one agent to try things with.
  const agents = loaded?.config.agents ?? (mode === 'local' ? [{ name: 'echo' }] : [])
  if (options.json) {
    printJson(io, { url, mode, pid: process.pid, agents: agents.map(agent => agent.name), config: loaded?.file ?? null })
    return
  }
  printLines(io, [
    `Baton is up at ${url} (${mode} mode${mode === 'local' ? `, data in ${options.data ?? environment.dataDir}` : ''})`,
    loaded
      ? `${shortName(loaded.file, io.cwd)}: ${agentNames(loaded.config)}`
      : `no configuration was found (\`baton init\` writes one)${mode === 'local' ? '; the agent echo is there to try things with' : ''}`,
    ...(mode === 'fleet' ? ['workers run on their own: `baton worker`; `baton agents` shows what they offer'] : []),
    '',
    // Of a fleet's agents a coordinator's configuration need not know.
    ...(mode === 'fleet' && agents.length === 0
      ? []
      : [
          ...tryItLines({
            url,
            agents,
            keyed: environment.apiKey !== undefined,
            suffix: Date.now().toString(36),
            defaultUrl: url === environment.url,
          }),
          '',
        ]),
  ])
}

function agentNames({ agents = [] }: BatonConfig): string {
  return agents.length === 0 ? 'no agents' : `${agents.length === 1 ? 'agent' : 'agents'} ${agents.map(agent => agent.name).join(', ')}`
}
