/** `baton fleet`: a fleet on this machine to try things with, breaking it included. */
import { configSchema } from '@baton/shared'
import { readEnvironment } from '@baton/shared/node'
import { findConfig, loadConfig } from '../config/load.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import { startFleet } from '../fleet/start-fleet.js'
import { aborted, type Io, whileStarting } from '../io.js'
import { printJson, printLines } from '../output/print.js'
import { tryItLines } from '../output/try-it.js'

interface FleetCommandOptions {
  readonly workers: number
  readonly config?: string
  readonly json?: boolean
}

export async function fleet(options: FleetCommandOptions, io: Io): Promise<ExitCode> {
  const environment = readEnvironment(io.env)
  const file = findConfig(io.cwd, options.config ?? environment.config)
  const configured = file === undefined ? undefined : (await loadConfig(file, io.cwd)).config
  const usesConfig = (configured?.agents?.length ?? 0) > 0
  const signal = io.interruption()
  const log = (line: string) => void io.stderr.write(`${line}\n`)
  if (!options.json) log('starting Postgres, Redis, NATS, a coordinator and workers')
  const running = await whileStarting(signal, starting =>
    startFleet({ workers: options.workers, env: io.env, cwd: io.cwd, log, signal: starting, ...(usesConfig && file && { config: file }) }),
  )
  try {
    if (options.json) {
      const { url, coordinator, workers, servers } = running
      printJson(io, {
        url,
        coordinator,
        workers,
        database_url: servers.databaseUrl,
        redis_url: servers.redisUrl,
        nats_url: servers.natsUrl,
      })
    } else {
      const agents = usesConfig
        ? (configured?.agents ?? [])
        : (configSchema.parse({ agents: [{ name: 'echo', kind: 'module', module: 'built-in' }] }).agents ?? [])
      const [first] = running.workers
      printLines(io, [
        `coordinator  pid ${running.coordinator.pid}  ${running.url}`,
        ...running.workers.map(({ id, pid }, i) => `worker ${i + 1}     pid ${pid}  ${id}`),
        `postgres     ${running.servers.databaseUrl}`,
        `redis        ${running.servers.redisUrl}`,
        `nats         ${running.servers.natsUrl}`,
        '',
        ...tryItLines({
          url: running.url,
          agents,
          keyed: environment.apiKey !== undefined,
          suffix: Date.now().toString(36),
          defaultUrl: false,
          ...(!usesConfig && { input: { seconds: 20 } }),
        }),
        '',
        `meanwhile \`baton workers --url ${running.url}\` shows which worker has it. To see its work go on elsewhere, kill that one, for example:`,
        `  kill -9 ${first?.pid}`,
        '',
        'to bring up another worker or coordinator, with these variables set:',
        `  export DATABASE_URL=${running.servers.databaseUrl} REDIS_URL=${running.servers.redisUrl} NATS_URL=${running.servers.natsUrl}`,
        '  baton worker, or: baton up --port 0',
        '',
        'Ctrl-C stops everything',
      ])
    }
    await aborted(signal)
    log('stopping')
  } finally {
    await running.stop()
  }
  return exitCodes.done
}
