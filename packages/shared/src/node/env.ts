/**
 * The closed table of environment variables, and the one place that reads the environment. docs/configuration.md is
 * tested against the table in both directions. An empty string counts as unset; a bad start lists every problem.
 */
import { BatonError, type FieldIssue } from '../errors.js'
import { namespaceSchema } from '../names.js'
import { isNetwork } from '../networks.js'
import { urlIssue } from '../urls.js'
import { type ArmedFailpoint, parseFailpoints } from './failpoint.js'
import { type LogLevel, logLevels } from './logger.js'

export const environmentTable = {
  BATON_HOST: { default: '127.0.0.1', says: 'Address that the coordinator listens on.' },
  BATON_PORT: { default: '7420', says: 'Port that the coordinator listens on; `0` takes a free one.' },
  PORT: { default: '', says: 'Taken where `BATON_PORT` is not set.' },
  BATON_URL: { default: 'http://127.0.0.1:7420', says: 'Where the command line and the client find the coordinator.' },
  BATON_API_KEY: {
    default: '',
    says: 'The key that may do everything; others are made with it. Needed to listen on another address than loopback.',
  },
  BATON_DATA_DIR: { default: '.baton', says: 'Where local mode keeps its data.' },
  BATON_ARTIFACTS_DIR: {
    default: '',
    says: 'Directory for the bytes of artifacts, the same one for all coordinators. Unset: they are in Postgres.',
  },
  BATON_ARTIFACTS: {
    default: '',
    says: 'Where new artifacts go: `directory` (the default where there is one) or `postgres`.',
  },
  BATON_CONFIG: { default: '', says: 'The configuration file; else `baton.config.ts|js|json`, looked for upward.' },
  BATON_NAMESPACE: { default: 'baton', says: 'Prefix of everything in Redis and NATS, so that several installations can share them.' },
  BATON_LEASE_MS: { default: '6000', says: "How long an attempt stays its worker's without a heartbeat, in milliseconds." },
  BATON_HEARTBEAT_MS: { default: '2000', says: 'Time between heartbeats, in milliseconds; less than half of the lease.' },
  BATON_WEBHOOK_NETWORKS: {
    default: '',
    says: 'Networks that webhooks may reach though they are not public, such as `10.1.0.0/16,127.0.0.1`, with commas between them.',
  },
  DATABASE_URL: { default: '', says: 'PostgreSQL 14 or later, `postgres://…`. Coordinators only.' },
  REDIS_URL: { default: '', says: 'Redis 6.2 or later or Valkey, `redis://…` or `rediss://…`.' },
  NATS_URL: { default: '', says: 'NATS 2.9 or later, `nats://…` or `tls://…`.' },
  BATON_MODEL_URL: { default: '', says: "Where a model that plans is: a server that speaks OpenAI's protocol, `http://…/v1`." },
  BATON_MODEL: { default: '', says: 'The name of the model at `BATON_MODEL_URL`.' },
  BATON_MODEL_API_KEY: { default: '', says: 'The key of the server at `BATON_MODEL_URL`, or at the `base_url` of the configuration.' },
  BATON_INTAKE: { default: 'on', says: 'Whether a coordinator takes tasks from the queue `baton-tasks`: `on` or `off`.' },
  BATON_LOG_FILE: { default: 'logs/orchestrator.log', says: "A coordinator's log file, beside its other output; `off` for none." },
  BATON_LOG_FILE_MB: { default: '10', says: 'The log file is renamed when it is larger, in megabytes.' },
  BATON_LOG_FILES: { default: '5', says: 'So many renamed log files are kept.' },
  BATON_METRICS_PORT: { default: '', says: "Port of a worker's own metrics, for Prometheus; `0` takes a free one. Unset: none." },
  BATON_METRICS_HOST: { default: '127.0.0.1', says: "Address of a worker's own metrics. They need no key." },
  BATON_FAILPOINT: { default: '', says: 'For tests: `point:action[:pass]`, where the process is to die or fail. Refused in production.' },
  BATON_TIME_SCALE: { default: '1', says: 'For tests: multiplies every built-in duration. Refused in production.' },
  NODE_ENV: { default: '', says: 'Where it is `production`, what is for tests is refused.' },
  OTEL_EXPORTER_OTLP_ENDPOINT: { default: '', says: 'Where traces are sent by OTLP over HTTP. Unset: nothing is traced.' },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: { default: '', says: 'The same, for traces alone, with its path.' },
  OTEL_EXPORTER_OTLP_PROTOCOL: { default: 'http/protobuf', says: '`http/protobuf` or `http/json`.' },
  OTEL_EXPORTER_OTLP_HEADERS: { default: '', says: 'Headers for the receiver, such as a key: `name=value,…`.' },
  OTEL_SERVICE_NAME: { default: '', says: 'The name in traces; else `baton-coordinator` or `baton-worker`.' },
  OTEL_RESOURCE_ATTRIBUTES: { default: '', says: 'What else traces say of the process: `name=value,…`.' },
  OTEL_TRACES_SAMPLER: { default: '', says: 'Which tasks are traced, such as `parentbased_traceidratio`; else all.' },
  OTEL_TRACES_SAMPLER_ARG: { default: '', says: "The sampler's number, such as `0.1`." },
  OTEL_TRACES_EXPORTER: { default: 'otlp', says: '`none`: nothing is traced.' },
  OTEL_SDK_DISABLED: { default: '', says: '`true`: nothing is traced.' },
  LOG_LEVEL: { default: 'info', says: 'One of `trace`, `debug`, `info`, `warn`, `error`, `fatal`, `silent`.' },
} as const
export type EnvironmentVariable = keyof typeof environmentTable

type Source = Readonly<Record<string, string | undefined>>

export interface FleetUrls {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly natsUrl: string
}

/** Where a process keeps its three stores. */
export type Mode = { readonly kind: 'local' } | ({ readonly kind: 'fleet' } & FleetUrls)

/** Where the bytes of artifacts are. */
export interface ArtifactSettings {
  readonly directory: string
  /** Where new ones go; those in the directory are read from there either way. */
  readonly into: 'directory' | 'postgres'
}

/** What the configuration leaves out of the model that plans. */
export interface ModelEnvironment {
  readonly baseUrl?: string | undefined
  readonly model?: string | undefined
  readonly apiKey?: string | undefined
}

export interface Environment {
  readonly host: string
  readonly port: number
  readonly url: string
  readonly apiKey: string | undefined
  readonly dataDir: string
  /** Undefined: they are in Postgres. */
  readonly artifacts: ArtifactSettings | undefined
  readonly config: string | undefined
  readonly namespace: string
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly logLevel: LogLevel
  /** The model that plans, as far as the environment says. */
  readonly plannerModel: ModelEnvironment
  /** Whether traces are to be sent. */
  readonly tracing: boolean
  /** Whether a coordinator takes tasks from the intake queue. */
  readonly intake: boolean
  /** The log's file, `path` as it was given; undefined: none. */
  readonly logFile: { readonly path: string; readonly maxBytes: number; readonly keep: number } | undefined
  /** Where a worker shows its metrics. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined
  /** Networks that webhooks may reach though they are not public; undefined: what the configuration says. */
  readonly webhookNetworks: readonly string[] | undefined
  /** Where this process is to fail; to be handed to `armFailpoints`. */
  readonly failpoints: readonly ArmedFailpoint[]
  /** Multiplies every duration that no other setting gives. */
  readonly timeScale: number
  readonly databaseUrl: string | undefined
  readonly redisUrl: string | undefined
  readonly natsUrl: string | undefined
}

/** What a header can carry as one word. */
const headerText = /^[\x21-\x7e]+$/
const openTelemetryProtocols: ReadonlySet<string> = new Set(['http/protobuf', 'http/json'])

/** How traces are written. What else `OTEL_*` say, OpenTelemetry reads by itself. */
export function openTelemetryProtocol(source: Source = process.env): string {
  return source.OTEL_EXPORTER_OTLP_PROTOCOL || environmentTable.OTEL_EXPORTER_OTLP_PROTOCOL.default
}

/** Reads and checks the environment; throws `invalid_configuration` with every problem at once. */
export function readEnvironment(source: Source = process.env): Environment {
  const problems: FieldIssue[] = []
  const get = (name: EnvironmentVariable): string | undefined => source[name] || undefined
  const or = (name: EnvironmentVariable): string => get(name) ?? environmentTable[name].default
  const integer = (name: EnvironmentVariable, text: string, min: number, max: number): number => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < min || value > max)
      problems.push({ path: name, issue: `must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}` })
    return value
  }
  const url = (name: EnvironmentVariable, protocols: readonly string[]): string | undefined => {
    const text = get(name)
    if (text === undefined) return undefined
    const issue = urlIssue(text, protocols)
    if (issue !== undefined) problems.push({ path: name, issue })
    return text
  }
  const portName = get('BATON_PORT') === undefined && get('PORT') !== undefined ? 'PORT' : 'BATON_PORT'
  const [artifactsDir, artifactsInto] = [get('BATON_ARTIFACTS_DIR'), get('BATON_ARTIFACTS')]
  const failpoints = parseFailpoints(or('BATON_FAILPOINT'))
  const [modelUrl, modelName] = [url('BATON_MODEL_URL', ['http:', 'https:']), get('BATON_MODEL')]
  const environment: Environment = {
    host: or('BATON_HOST'),
    port: integer(portName, or(portName), 0, 65_535),
    url: url('BATON_URL', ['http:', 'https:']) ?? or('BATON_URL'),
    apiKey: get('BATON_API_KEY'),
    dataDir: or('BATON_DATA_DIR'),
    artifacts:
      artifactsDir === undefined ? undefined : { directory: artifactsDir, into: artifactsInto === 'postgres' ? 'postgres' : 'directory' },
    config: get('BATON_CONFIG'),
    namespace: or('BATON_NAMESPACE'),
    leaseMs: integer('BATON_LEASE_MS', or('BATON_LEASE_MS'), 200, 3_600_000),
    heartbeatMs: integer('BATON_HEARTBEAT_MS', or('BATON_HEARTBEAT_MS'), 50, 600_000),
    logLevel: or('LOG_LEVEL') as LogLevel, // checked below
    tracing:
      url('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', ['http:', 'https:']) !== undefined ||
      url('OTEL_EXPORTER_OTLP_ENDPOINT', ['http:', 'https:']) !== undefined
        ? or('OTEL_TRACES_EXPORTER') !== 'none' && or('OTEL_SDK_DISABLED').toLowerCase() !== 'true'
        : false,
    intake: or('BATON_INTAKE') === 'on',
    logFile:
      or('BATON_LOG_FILE') === 'off'
        ? undefined
        : {
            path: or('BATON_LOG_FILE'),
            maxBytes: integer('BATON_LOG_FILE_MB', or('BATON_LOG_FILE_MB'), 1, 10_000) * 1_000_000,
            keep: integer('BATON_LOG_FILES', or('BATON_LOG_FILES'), 1, 1_000),
          },
    metrics:
      get('BATON_METRICS_PORT') === undefined
        ? undefined
        : { host: or('BATON_METRICS_HOST'), port: integer('BATON_METRICS_PORT', or('BATON_METRICS_PORT'), 0, 65_535) },
    webhookNetworks: get('BATON_WEBHOOK_NETWORKS')
      ?.split(',')
      .map(part => part.trim())
      .filter(part => part !== ''),
    failpoints: failpoints.points,
    timeScale: Number(or('BATON_TIME_SCALE')),
    plannerModel: { baseUrl: modelUrl, model: modelName, apiKey: get('BATON_MODEL_API_KEY') },
    databaseUrl: url('DATABASE_URL', ['postgres:', 'postgresql:']),
    redisUrl: url('REDIS_URL', ['redis:', 'rediss:']),
    natsUrl: url('NATS_URL', ['nats:', 'tls:']),
  }
  if ((modelUrl === undefined) !== (modelName === undefined))
    problems.push({ path: modelUrl === undefined ? 'BATON_MODEL_URL' : 'BATON_MODEL', issue: 'is missing; a model that plans needs both' })
  if (artifactsInto !== undefined && artifactsInto !== 'directory' && artifactsInto !== 'postgres')
    problems.push({ path: 'BATON_ARTIFACTS', issue: `must be directory or postgres, not ${JSON.stringify(artifactsInto)}` })
  if (artifactsInto === 'directory' && artifactsDir === undefined)
    problems.push({ path: 'BATON_ARTIFACTS_DIR', issue: 'is missing; BATON_ARTIFACTS=directory needs it' })
  for (const issue of failpoints.problems) problems.push({ path: 'BATON_FAILPOINT', issue })
  if (!/^\d+(\.\d+)?$/.test(or('BATON_TIME_SCALE')) || environment.timeScale < 0.01 || environment.timeScale > 10)
    problems.push({ path: 'BATON_TIME_SCALE', issue: `must be a number from 0.01 to 10, not ${JSON.stringify(or('BATON_TIME_SCALE'))}` })
  for (const name of ['BATON_FAILPOINT', 'BATON_TIME_SCALE'] as const)
    if (get('NODE_ENV') === 'production' && or(name) !== environmentTable[name].default)
      problems.push({ path: name, issue: 'is for tests; unset it, or NODE_ENV=production' })
  if (!['on', 'off'].includes(or('BATON_INTAKE')))
    problems.push({ path: 'BATON_INTAKE', issue: `must be on or off, not ${JSON.stringify(or('BATON_INTAKE'))}` })
  if (!openTelemetryProtocols.has(or('OTEL_EXPORTER_OTLP_PROTOCOL')))
    problems.push({ path: 'OTEL_EXPORTER_OTLP_PROTOCOL', issue: 'must be http/protobuf or http/json; gRPC is not spoken' })
  for (const network of environment.webhookNetworks ?? [])
    if (!isNetwork(network))
      problems.push({ path: 'BATON_WEBHOOK_NETWORKS', issue: `${JSON.stringify(network)} is not a network such as 10.1.0.0/16` })
  if (!logLevels.includes(environment.logLevel)) problems.push({ path: 'LOG_LEVEL', issue: `must be one of ${logLevels.join(', ')}` })
  if (!namespaceSchema.safeParse(environment.namespace).success)
    problems.push({ path: 'BATON_NAMESPACE', issue: 'must be 1 to 64 lower-case letters, digits, `_` or `-`' })
  const timesAreNumbers = !problems.some(({ path }) => path === 'BATON_LEASE_MS' || path === 'BATON_HEARTBEAT_MS')
  if (timesAreNumbers && environment.heartbeatMs * 2 >= environment.leaseMs)
    problems.push({
      path: 'BATON_HEARTBEAT_MS',
      issue: `must be less than half of BATON_LEASE_MS (${environment.leaseMs}), so that one lost heartbeat loses no lease`,
    })
  if (environment.apiKey !== undefined && environment.apiKey.length < 16)
    problems.push({ path: 'BATON_API_KEY', issue: 'must have at least 16 characters' })
  if (environment.apiKey !== undefined && !headerText.test(environment.apiKey))
    problems.push({ path: 'BATON_API_KEY', issue: 'must be of letters, digits and signs of ASCII, without spaces: it travels in a header' })
  refuse(problems)
  return environment
}

/** The coordinator's mode: local when no store URL is set, fleet when all three are; a mixture is refused by name. */
export function coordinatorMode(environment: Environment): Mode {
  const urls = { DATABASE_URL: environment.databaseUrl, REDIS_URL: environment.redisUrl, NATS_URL: environment.natsUrl }
  const missing = Object.entries(urls)
    .filter(([, value]) => value === undefined)
    .map(([name]) => name)
  if (missing.length === 3) return { kind: 'local' }
  const { databaseUrl, redisUrl, natsUrl } = environment
  if (databaseUrl && redisUrl && natsUrl) return { kind: 'fleet', databaseUrl, redisUrl, natsUrl }
  const given = Object.keys(urls).filter(name => !missing.includes(name))
  throw new BatonError(
    'invalid_configuration',
    `${given.join(' and ')} ${given.length === 1 ? 'is' : 'are'} set, but ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not: set all three for fleet mode, or none for local mode`,
    {
      fields: missing.map(path => ({ path, issue: 'is missing' })),
    },
  )
}

/** What a fleet worker needs: Redis and NATS, never Postgres. */
export function workerUrls(environment: Environment): { redisUrl: string; natsUrl: string } {
  const { redisUrl, natsUrl } = environment
  if (redisUrl && natsUrl) return { redisUrl, natsUrl }
  const missing = [!redisUrl && 'REDIS_URL', !natsUrl && 'NATS_URL'].filter(name => name !== false)
  throw new BatonError(
    'invalid_configuration',
    `a worker needs ${missing.join(' and ')}; in local mode \`baton up\` runs the agents itself`,
    {
      fields: missing.map(path => ({ path, issue: 'is missing' })),
    },
  )
}

function refuse(problems: readonly FieldIssue[]): void {
  if (problems.length === 0) return
  throw new BatonError(
    'invalid_configuration',
    `the environment has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}: ${problems.map(p => `${p.path} ${p.issue}`).join('; ')}`,
    { fields: problems },
  )
}

/** The value of a variable that the configuration names, such as one that holds a key; undefined where it is not set. */
export function namedVariable(name: string, source: Source = process.env): string | undefined {
  return source[name] || undefined
}

/** What a program that an agent runs inherits: everything but the keys to Baton's own stores. */
export function childEnvironment(source: Source = process.env): Record<string, string> {
  const withheld: ReadonlySet<string> = new Set<EnvironmentVariable>([
    'DATABASE_URL',
    'REDIS_URL',
    'NATS_URL',
    'BATON_API_KEY',
    'BATON_MODEL_API_KEY',
  ])
  return Object.fromEntries(
    Object.entries(source).filter((entry): entry is [string, string] => entry[1] !== undefined && !withheld.has(entry[0])),
  )
}
