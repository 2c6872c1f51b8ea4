/** One soak from its start to its verdict: this reads as what it does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { check } from '../faults/history/check.js'
import type { Violation } from '../faults/history/history.js'
import { acrossParts, historyInParts } from '../faults/history/parts.js'
import { type FaultFleet, openFaultFleet, openStage } from '../faults/kit/index.js'
import { eventually } from '../harness/eventually.js'
import { coordinators, everyMs, type Fault, faultText, type Happened, inflict, proxies, schedule, workers } from './chaos.js'
import { connectionsTo, jobsLeft, liveRows, processesNaming, socketsOf } from './leftovers.js'
import { Load } from './load.js'
import { lostUnheard } from './losses.js'
import { type Life, slopeOf } from './memory.js'
import type { SoakReport } from './report.js'
import { readBins, recoveryOf, throughputOf } from './throughput.js'
import { verdictsOf } from './verdicts.js'

const leaseMs = 6_000
const heartbeatMs = 2_000
const drainMs = 180_000
/** Of each invariant. */
const shownViolations = 20

export interface SoakOptions {
  readonly minutes: number
  readonly seed: number
  readonly rate: number
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

export async function soak({ minutes, seed, rate, say, signal }: SoakOptions): Promise<SoakReport> {
  const faults = schedule(seed, Math.max(1, Math.floor((minutes * 60_000) / everyMs)))
  say(`seed ${seed}, ${minutes} minutes, ${rate} subtasks/s, ${coordinators} coordinators, ${workers} workers, lease ${leaseMs / 1_000} s`)
  say(`${availableParallelism()} cores, load before ${loadText()}`)
  say('schedule of faults:')
  for (const [i, fault] of faults.entries()) say(`  ${seconds(everyMs / 2 + i * everyMs)}  ${faultText(fault)}`)

  const scratch = mkdtempSync(join(tmpdir(), 'baton-soak-'))
  const stage = await openStage({ redis: { appendOnly: true } })
  let fleet: FaultFleet | undefined
  let load: Load | undefined
  try {
    fleet = await openFaultFleet(
      stage,
      {
        coordinators,
        workers,
        leaseMs,
        heartbeatMs,
        proxies,
        settings: {
          LOG_LEVEL: 'warn',
          NODE_OPTIONS: `--trace-warnings --import=${pathToFileURL(join(import.meta.dirname, 'memory-process.mjs')).href}`,
          SOAK_MEMORY_DIRECTORY: scratch,
        },
      },
      made => {
        fleet = made
      },
    )
    load = new Load(fleet, { perSecond: rate, seed })
    const lives = new Lives(fleet)
    const start = Date.now()
    load.start()
    const happened = await trouble({ fleet, load, faults, lives, start, say, signal })
    const until = Date.now()
    say(`${seconds(until - start)}  faults are over; draining`)
    fleet.heal()
    await load.stopSubmitting()
    const draining = fleet
    // Reviews that come up meanwhile are decided; whatever then still lives is reported as left over.
    await eventually(async () => (await liveRows(draining)).length === 0, { timeoutMs: drainMs, everyMs: 500 }).catch(() => undefined)
    const drainedMs = Date.now() - until
    await load.stop()
    const jobs = jobsLeft(fleet) // takes its time; meanwhile the history is read
    const leftovers = await liveRows(fleet)
    lives.look()
    say(`${seconds(Date.now() - start)}  at rest; checking the history`)

    const bins = await readBins(fleet, { from: start, until })
    const checking = performance.now()
    const { violations, counts } = await judge(fleet, join(scratch, 'journals'))
    violations.push(...(await lostUnheard(fleet, { happened, leaseMs })))
    const checkedMs = performance.now() - checking
    leftovers.push(...(await jobs))
    const sockets = Object.fromEntries(lives.now().map(({ member, pid }) => [member, socketsOf(pid)]))
    const logged = logLines(fleet)
    leftovers.push(...(await stopInOrder(fleet)))
    leftovers.push(...(await left(stage)))
    const throughput = throughputOf(bins)
    const meanRate = throughput.completed / ((until - start) / 1_000)
    const report = {
      seed,
      minutes,
      rate,
      cores: availableParallelism(),
      loadAfter: loadavg(),
      driverCpu: driverCpu(),
      counts: { ...load.counts, submitted: Math.round(load.counts.submitted), heldBack: Math.round(load.counts.heldBack), ...counts },
      faults: happened.map(each => ({ ...each, text: faultText(each.fault), from: each.from - start, until: each.until - start })),
      throughput,
      recoveries: happened.map(each => recoveryOf(each, { text: faultText(each.fault), bins, start, rate: meanRate })),
      memory: lives.all().map(life => slopeOf(life, { directory: scratch, until })),
      sockets,
      drainedMs,
      checkedMs,
      leftovers,
      violationCount: violations.length,
      violations: firstOfEach(violations),
      logged,
    }
    return { ...report, verdicts: verdictsOf(report) }
  } finally {
    await load?.stop().catch(error => say(String(error)))
    await fleet?.stop()
    await stage.servers.stop()
    await stage.programs.remove()
    rmSync(scratch, { recursive: true, force: true })
  }
}

interface Trouble {
  readonly fleet: FaultFleet
  readonly load: Load
  readonly faults: readonly Fault[]
  readonly lives: Lives
  readonly start: number
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

/** Fault by fault. A restart may take longer than the pause after it: the next fault then comes later. */
async function trouble({ fleet, load, faults, lives, start, say, signal }: Trouble): Promise<Happened[]> {
  const happened: Happened[] = []
  for (const [i, fault] of faults.entries()) {
    await delay(Math.max(0, start + everyMs / 2 + i * everyMs - Date.now()), undefined, { signal }).catch(() => undefined)
    if (signal.aborted) break
    lives.look()
    say(
      `${seconds(Date.now() - start)}  ${faultText(fault)}   (${load.counts.tasks} tasks so far, ${load.unfinished} subtasks unfinished, load ${loadText()})`,
    )
    happened.push(await inflict(fleet, fault, signal))
    lives.look()
  }
  return happened
}

/** The whole history, part by part. */
async function judge(fleet: FaultFleet, scratch: string) {
  const sources = await fleet.sources()
  const violations: Violation[] = []
  const counts = { checkedTasks: 0, checkedSubtasks: 0, checkedEvents: 0, executions: 0, retried: 0, lost: 0 }
  const parts = await historyInParts(sources, { scratch })
  for await (const part of parts) {
    violations.push(...check(part))
    counts.checkedTasks += part.tasks.length
    counts.checkedSubtasks += part.subtasks.length
    counts.checkedEvents += part.events.length
    counts.executions += part.journal.filter(({ event }) => event === 'start').length
    counts.retried += part.subtasks.filter(({ attempt }) => attempt > 1).length
    counts.lost += part.attempts.filter(({ outcome }) => outcome === 'lost').length
    if (part.tasks.length === 0) violations.push(...(await acrossParts(sources, part)))
  }
  return { violations, counts }
}

function firstOfEach(violations: readonly Violation[]): Violation[] {
  const seen = new Map<string, number>()
  return violations.filter(({ invariant }) => {
    const n = (seen.get(invariant) ?? 0) + 1
    seen.set(invariant, n)
    return n <= shownViolations
  })
}

/** Every process that a member ever was. */
class Lives {
  private readonly fleet: FaultFleet
  private readonly seen = new Map<number, Life>()

  constructor(fleet: FaultFleet) {
    this.fleet = fleet
    this.look()
  }

  now(): Life[] {
    return [...this.fleet.coordinators, ...this.fleet.workers].flatMap(({ name, pid }) =>
      pid === undefined ? [] : [{ member: name, pid }],
    )
  }

  look(): void {
    for (const life of this.now()) this.seen.set(life.pid, life)
  }

  all(): Life[] {
    return [...this.seen.values()].sort((a, b) => a.member.localeCompare(b.member))
  }
}

/** By SIGTERM, workers first; what does not end by itself, or not well, is told of. */
async function stopInOrder(fleet: FaultFleet): Promise<string[]> {
  const problems: string[] = []
  for (const members of [fleet.workers, fleet.coordinators])
    await Promise.all(
      members.map(async member => {
        const exit = await member.stop()
        if (exit?.code !== 0) problems.push(`${member.name} ended with ${exit?.signal ?? exit?.code ?? 'nothing'} when it was told to stop`)
      }),
    )
  await fleet.stop()
  return problems
}

async function left({ servers, programs }: Awaited<ReturnType<typeof openStage>>): Promise<string[]> {
  const ports = [servers.postgres.port, servers.redis.port, servers.nats.port]
  await eventually(() => connectionsTo(ports) === 0, { timeoutMs: 5_000, everyMs: 100 }).catch(() => undefined)
  const connections = connectionsTo(ports)
  return [...(connections > 0 ? [`${connections} connections to the servers`] : []), ...processesNaming(programs.baton)]
}

/** What the fleet warned of, by message. */
function logLines(fleet: FaultFleet): Record<string, number> {
  const counted = new Map<string, number>()
  for (const { name, lines } of [...fleet.coordinators, ...fleet.workers])
    for (const line of lines) {
      const loop = /"loop":"([^"]*)"/.exec(line)?.[1]
      const said = /"msg":"([^"]*)"/.exec(line)?.[1] ?? line.replace(/^\(node:\d+\)/, '(node)').slice(0, 100)
      const cause = loop && `${loop}, ${/"message":"([^"]*)"/.exec(line)?.[1] ?? '?'}`.slice(0, 100)
      const message = `${name.replace(/\d+$/, '')}: ${said}${cause ? ` (${cause})` : ''}`
      counted.set(message, (counted.get(message) ?? 0) + 1)
    }
  return Object.fromEntries([...counted].sort((a, b) => b[1] - a[1]).slice(0, 30))
}

/** Of this process, in percent of one core since it began: near 100 it would be what limits the load. */
function driverCpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e4 / process.uptime()
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1).padStart(7)} s`
const loadText = () =>
  loadavg()
    .map(n => n.toFixed(1))
    .join(' ')
