/** `baton worker`: the configured agents as a worker of a fleet. It never sees Postgres. */
import { BatonError } from '@baton/shared'
import { readEnvironment, workerUrls } from '@baton/shared/node'
import { agentsOfModule } from '../config/agents-module.js'
import { findConfig, loadConfig, loadModule } from '../config/load.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { aborted, type Io, whileStarting } from '../io.js'
import { commandLogger, serverOutput } from '../output/log.js'
import { printJson, printLines } from '../output/print.js'
import { surviveRejections } from '../output/rejections.js'

interface WorkerOptions {
  readonly config?: string
  readonly agents?: string
  readonly json?: boolean
}

export async function worker(options: WorkerOptions, io: Io): Promise<ExitCode> {
  const environment = readEnvironment(io.env)
  const urls = workerUrls(environment)
  const { agentsFromConfig, startWorker } = await import('@baton/worker')
  const agents = options.agents ? await agentsOfModule(options.agents, io.cwd) : await configured()
  const signal = io.interruption()
  surviveRejections(io)
  const to = serverOutput(io, options)
  const log = commandLogger(io, environment.logLevel, { to })
  const running = await whileStarting(signal, starting =>
    startWorker({ agents, ...urls, namespace: environment.namespace, log, signal: starting, handleSignals: false }),
  )
  const names = agents.map(agent => agent.name)
  if (options.json) printJson(io, { id: running.id, pid: process.pid, agents: names })
  else
    printLines(to === 'stdout' ? { ...io, stdout: io.stderr } : io, [
      `worker ${running.id} hosts ${names.join(', ')}; Ctrl-C drains it, a second one ends it at once`,
    ])

  const reason = await Promise.race([aborted(signal).then(() => 'told' as const), running.ended])
  if (reason === 'told') await running.drain()
  const { restart } = await running.ended
  return restart ? exitCodes.restart : exitCodes.done

  async function configured() {
    const file = findConfig(io.cwd, options.config ?? environment.config)
    if (file === undefined)
      throw new BatonError(
        'invalid_configuration',
        'a worker needs agents, and no configuration was found; `baton init` writes one, --config names one',
      )
    const { config, dir } = await loadConfig(file, io.cwd)
    if (!config.agents?.length) throw new BatonError('invalid_configuration', `${file} declares no agents; a worker needs at least one`)
    return agentsFromConfig(config, dir, loadModule)
  }
}
