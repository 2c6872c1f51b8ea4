/**
 * A fleet under test: coordinators and workers as processes from source, on the servers of the stage, with a database and
 * a namespace of its own. It is gone when the test ends.
 *
 * All durations follow the lease: what takes 6 s with the default lease takes 1 s with one of 1,000 ms.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServerName, Servers } from '@baton/cli/servers'
import { type Isolation, subjects, type WorkerRequest } from '@baton/shared'
import { type Bus, type BusSubscription, connectNatsBus, silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll } from 'vitest'
import { childEnvironment } from '../../../packages/cli/src/env.js'
import { durationsAt } from '../../../packages/coordinator/src/durations.js'
import type { Database } from '../../../packages/coordinator/src/store/database.js'
import { openPostgres } from '../../../packages/coordinator/src/store/postgres.js'
import { cleanUp } from '../../harness/clean-up.js'
import { redisCommand } from '../../harness/redis-command.js'
import { check } from '../history/check.js'
import { collectHistory, readJobs, readJournals, type Sources } from '../history/collect.js'
import type { Disturbance, History, JournalLine, Violation } from '../history/history.js'
import { settled } from '../history/settled.js'
import { Driver } from './driver.js'
import { Ghost, type GhostOptions } from './ghost.js'
import { CoordinatorMember, type FaultMember, type MemberOptions, WorkerMember } from './member.js'
import type { Stage } from './stage.js'

/** `coordinator0`, `worker2`: how members are named in options and messages. */
export type MemberName = `coordinator${number}` | `worker${number}`

export interface FaultAgent {
  readonly name: string
  /** Default: its name. */
  readonly capabilities?: readonly string[]
  /** Default 50. */
  readonly concurrency?: number
  readonly sla?: string
  /** Default `inline`. The fleet's workers start so that its children can be run from their sources. */
  readonly isolation?: Isolation
}

export interface FaultFleetOptions {
  /** Default 1. */
  readonly coordinators?: number
  /** Default 2. */
  readonly workers?: number
  /** What every worker hosts; default: one agent `fault` for 50 attempts at once. What it does, its input says. */
  readonly agents?: readonly FaultAgent[]
  /** Default 1,000. */
  readonly leaseMs?: number
  /** Default: three of them and a bit fit into a lease. */
  readonly heartbeatMs?: number
  /** More variables of the environment, for all members. */
  readonly settings?: Readonly<Record<string, string>>
  /** Before which stores of a member a proxy stands: `{ coordinator0: ['postgres'] }`. */
  readonly proxies?: Partial<Record<MemberName, readonly ServerName[]>>
  /** `{ coordinator0: 'dispatch.after-enqueue:kill' }`. Such a member may be dead when the fleet has started. */
  readonly failpoints?: Partial<Record<MemberName, string>>
}

export interface AddOptions {
  readonly failpoint?: string
  readonly proxies?: readonly ServerName[]
  readonly settings?: Readonly<Record<string, string>>
  /** Of a worker; default: those of the fleet. */
  readonly agents?: readonly FaultAgent[]
  /** Arguments for Node itself, such as `--import file:///…`. */
  readonly nodeArguments?: readonly string[]
}

/** Lets children of isolated agents run from their sources. */
const sourceLoader = new URL('../../harness/source-loader.mjs', import.meta.url).href

/** The lease for which the built-in durations are made. */
const ordinaryLeaseMs = 6_000

export async function startFaultFleet(stage: () => Stage, options: FaultFleetOptions = {}): Promise<FaultFleet> {
  return openFaultFleet(stage(), options, fleet => cleanUp(() => fleet.stop()))
}

/** The same outside of tests: whoever opens it stops it. `made` is told of the fleet before any of its processes starts. */
export async function openFaultFleet(stage: Stage, options: FaultFleetOptions, made: (fleet: FaultFleet) => void): Promise<FaultFleet> {
  const fleet = new FaultFleet(stage, options, await createDatabase(stage.servers))
  made(fleet)
  const { coordinators = 1, workers = 2, proxies = {}, failpoints = {} } = options
  const ofMember = (name: MemberName) => ({
    ...(proxies[name] && { proxies: proxies[name] }),
    ...(failpoints[name] && { failpoint: failpoints[name] }),
  })
  // One after the other is faster here: a worker that finds no coordinator pauses before it asks again.
  await Promise.all(Array.from({ length: coordinators }, (_, i) => fleet.addCoordinator(ofMember(`coordinator${i}`))))
  await Promise.all(Array.from({ length: workers }, (_, i) => fleet.addWorker(ofMember(`worker${i}`))))
  return fleet
}

/**
 * One fleet for all rows of a file, to be called once, outside of tests, after `faultStage`. A row leaves behind what the
 * next ones need: the first members, in order, with nothing of its own still running.
 */
export function sharedFleet(stage: () => Stage, options: FaultFleetOptions = {}): () => FaultFleet {
  let fleet: FaultFleet | undefined
  beforeAll(async () => {
    fleet = await startFaultFleet(stage, options)
  })
  afterAll(() => fleet?.stop()) // before the servers of the stage, which was called before
  return () => {
    if (!fleet) throw new Error('the fleet is started before the tests of the file, not outside of them')
    return fleet
  }
}

interface OwnDatabase {
  readonly url: string
  drop(): Promise<void>
}

async function createDatabase({ databaseUrl }: Servers): Promise<OwnDatabase> {
  const name = `fault_${randomBytes(6).toString('hex')}`
  const run = async (statement: string) => {
    const admin = await openPostgres({ url: databaseUrl, log: silentLogger(), max: 1, signal: AbortSignal.timeout(10_000) })
    await admin.script(statement).finally(() => admin.close())
  }
  await run(`create database ${name}`)
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(`drop database if exists ${name} with (force)`) }
}

export class FaultFleet {
  readonly coordinators: CoordinatorMember[] = []
  readonly workers: WorkerMember[] = []
  readonly ghosts: Ghost[] = []
  /** The test's own way to the API: whatever it does is in the history. */
  readonly driver: Driver
  /** Those of the stage: `redis.kill()`, `postgres.restart()`, `nats.signal('SIGSTOP')`. What is done is to be undone. */
  readonly servers: Servers
  readonly databaseUrl: string
  readonly namespace: string
  readonly leaseMs: number
  /** As the coordinators have them. */
  readonly durations: ReturnType<typeof durationsAt>
  /** Journals of the workers and files of `release`. */
  readonly directory: string
  readonly disturbances: Disturbance[] = []
  private readonly stage: Stage
  private readonly options: FaultFleetOptions
  private readonly own: OwnDatabase
  private readonly settings: Readonly<Record<string, string>>
  private opened: Promise<Database> | undefined
  private spoken: Promise<Bus> | undefined
  private started = { coordinators: 0, workers: 0 }
  private readonly starting = new Set<Promise<FaultMember>>()
  private stopped: Promise<void> | undefined
  /** Violations that were answered, as JSON. */
  private readonly told = new Set<string>()

  constructor(stage: Stage, options: FaultFleetOptions, own: OwnDatabase) {
    this.stage = stage
    this.options = options
    this.own = own
    this.servers = stage.servers
    this.databaseUrl = own.url
    this.namespace = `fault-${randomBytes(6).toString('hex')}`
    this.leaseMs = options.leaseMs ?? 1_000
    const scale = Math.max(0.01, this.leaseMs / ordinaryLeaseMs)
    this.durations = durationsAt(scale)
    this.directory = mkdtempSync(join(tmpdir(), 'baton-fault-'))
    this.driver = new Driver(() => this.coordinators.filter(member => member.pid !== undefined).map(member => member.url))
    this.settings = {
      LOG_LEVEL: 'info',
      BATON_LOG_FILE: 'off',
      BATON_NAMESPACE: this.namespace,
      BATON_LEASE_MS: String(this.leaseMs),
      BATON_HEARTBEAT_MS: String(options.heartbeatMs ?? Math.round(this.leaseMs / 3.3)),
      BATON_TIME_SCALE: scale.toFixed(4),
      FAULT_DIRECTORY: this.directory,
      ...options.settings,
    }
  }

  async addCoordinator(options: AddOptions = {}): Promise<CoordinatorMember> {
    const n = this.started.coordinators++
    const command = ['up', '--host', '127.0.0.1', '--port', '0']
    const member = await this.begin(CoordinatorMember.start(this.member(`coordinator${n}`, command, options)))
    this.coordinators[n] = member
    return member
  }

  async addWorker(options: AddOptions = {}): Promise<WorkerMember> {
    const n = this.started.workers++
    const agents = options.agents ?? this.options.agents ?? [{ name: 'fault' }]
    const settings = { ...options.settings, FAULT_AGENTS: JSON.stringify(agents) }
    const command = ['worker', '--agents', this.stage.programs.agents]
    const nodeArguments = [...(agents.some(agent => agent.isolation) ? ['--import', sourceLoader] : []), ...(options.nodeArguments ?? [])]
    const member = await this.begin(WorkerMember.start(this.member(`worker${n}`, command, { ...options, settings, nodeArguments })))
    this.workers[n] = member
    return member
  }

  /** A worker that is played by the test. Its agent is nobody else's. */
  async addGhost(options: GhostOptions): Promise<Ghost> {
    const ghost = await Ghost.join(
      {
        name: `ghost${this.ghosts.length}`,
        namespace: this.namespace,
        natsUrl: this.servers.natsUrl,
        leaseMs: this.leaseMs,
        heartbeatMs: this.leaseMs / 4,
        coordinator: n => subjects(this.namespace).coordinator(this.coordinator(n).id),
        rows: (text, params) => this.rows(text, params),
        disturbances: this.disturbances,
      },
      options,
    )
    this.ghosts.push(ghost)
    return ghost
  }

  /** Coordinator n, from 0. */
  coordinator(n: number): CoordinatorMember {
    return present(this.coordinators[n], `coordinator${n}`)
  }

  worker(n: number): WorkerMember {
    return present(this.workers[n], `worker${n}`)
  }

  /** The test's own connection to the fleet's database. Waits for Postgres while it is away. */
  database(): Promise<Database> {
    this.opened ??= openPostgres({ url: this.databaseUrl, log: silentLogger(), max: 2 })
    return this.opened
  }

  /** Rows of a query of the test's own. */
  async rows<R>(text: string, params: readonly unknown[] = []): Promise<R[]> {
    return (await (await this.database()).query<R>({ text }, params)).rows
  }

  /** The test's own connection to NATS. */
  bus(): Promise<Bus> {
    this.spoken ??= connectNatsBus({ url: this.servers.natsUrl, name: 'test', log: silentLogger() })
    return this.spoken
  }

  /** Hears what workers say to coordinator n by its name, as it hears it. */
  async overhear(n: number, listener: (request: WorkerRequest) => void): Promise<BusSubscription> {
    const subject = subjects(this.namespace).coordinator(this.coordinator(n).id)
    return (await this.bus()).subscribe(subject, {}, text => listener(JSON.parse(text) as WorkerRequest)) // our workers' words
  }

  /** One command to the private Redis, such as `FLUSHALL`. */
  redis(...command: readonly string[]): Promise<string> {
    return redisCommand(this.servers.redisUrl, ...command)
  }

  /** Ids of the jobs that wait or are active. */
  jobs(): Promise<string[]> {
    return readJobs(this.servers.redisUrl, this.namespace)
  }

  /** Lets agents go on whose input has `hold: name`. */
  release(name: string): void {
    writeFileSync(join(this.directory, `release-${name}`), '')
  }

  /** Continues whoever is stopped, lets every proxy through. The dead stay dead, servers as they are. */
  heal(): void {
    for (const member of this.members()) member.heal()
  }

  /** What the workers wrote down so far. */
  journal(): JournalLine[] {
    return readJournals(this.directory)
  }

  /** Waits until every task has ended or waits for a person. Rejects with what is left, and why. */
  async drain(options: { readonly timeoutMs?: number; readonly open?: History['open'] } = {}): Promise<void> {
    await settled(await this.database(), options)
  }

  /** Everything that is known of what happened. Meant for when the fleet has come to rest. */
  async history(open: History['open'] = {}): Promise<History> {
    return collectHistory(await this.sources(open))
  }

  /** Where a history is read from. */
  async sources(open: History['open'] = {}): Promise<Sources> {
    return {
      database: await this.database(),
      redisUrl: this.servers.redisUrl,
      namespace: this.namespace,
      directory: this.directory,
      operations: this.driver.operations,
      disturbances: this.disturbances,
      open,
    }
  }

  /**
   * Heals, drains and checks; the answer is to be empty. `open`: tasks that may stay in other statuses than the last ones.
   * A violation is told once, so that where rows share a fleet it fails the row that brought it.
   */
  async violations(options: { readonly timeoutMs?: number; readonly open?: History['open'] } = {}): Promise<Violation[]> {
    this.heal()
    await this.drain(options)
    const found = check(await this.history(options.open)).filter(violation => !this.told.has(JSON.stringify(violation)))
    for (const violation of found) this.told.add(JSON.stringify(violation))
    return found
  }

  stop(): Promise<void> {
    this.stopped ??= (async () => {
      await Promise.allSettled(this.starting)
      await Promise.all(this.ghosts.map(ghost => ghost.leave()))
      await Promise.all(this.members().map(member => member.dispose()))
      await (await this.opened?.catch(() => undefined))?.close()
      await (await this.spoken?.catch(() => undefined))?.close()
      await this.own.drop()
      rmSync(this.directory, { recursive: true, force: true })
    })()
    return this.stopped
  }

  private members(): FaultMember[] {
    return [...this.coordinators, ...this.workers].filter(member => member !== undefined) // slots of those that never started
  }

  private begin<M extends FaultMember>(starting: Promise<M>): Promise<M> {
    this.starting.add(starting)
    return starting
  }

  private member(name: MemberName, args: readonly string[], options: AddOptions): MemberOptions {
    const { redisUrl, natsUrl } = this.servers
    const isWorker = name.startsWith('worker')
    return {
      name,
      command: [process.execPath, ...(options.nodeArguments ?? []), this.stage.programs.baton, ...args, '--json'],
      settings: { ...this.settings, ...options.settings },
      stores: { redis: redisUrl, nats: natsUrl, ...(!isWorker && { postgres: this.databaseUrl }) },
      proxied: options.proxies ?? [],
      failpoint: options.failpoint,
      environment: settings => childEnvironment(process.env, settings),
      disturbances: this.disturbances,
    }
  }
}

function present<M>(member: M | undefined, name: string): M {
  if (member === undefined) throw new RangeError(`there is no ${name}`)
  return member
}
