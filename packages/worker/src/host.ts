/**
 * A worker: hosts agents, consumes the queues of their capabilities, reports. Built on the three seams, so that it runs
 * the same in a process of its own and beside a coordinator.
 *
 * Its life: starting (registered) → ready (consumes its queues) → draining (takes nothing, finishes what it has) → stopped.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type HostedAgent, queueName, subjects, type WorkerInfo, workerWordSchema } from '@baton/shared'
import {
  type Bus,
  type BusSubscription,
  type Consumption,
  Door,
  type Logger,
  type OnJob,
  type QueueConsumer,
  Slots,
} from '@baton/shared/node'
import type { Tracing } from '@baton/shared/observe'
import type { Agent } from './agent.js'
import { Executor, lostClaim } from './executor.js'
import { Heartbeat } from './heartbeat.js'
import { Runners } from './isolation/runners.js'
import { createLanes } from './lanes.js'
import type { WorkerObserver } from './observer.js'
import { Starts } from './starts.js'
import { Uplink } from './uplink.js'
import { version } from './version.js'

export interface HostOptions {
  readonly agents: readonly Agent[]
  readonly bus: Bus
  readonly consumer: QueueConsumer
  readonly namespace: string
  readonly log: Logger
  /** Default `shared`. */
  readonly pool?: string
  /** How long draining waits for running attempts before it gives them back; default 30 s. */
  readonly drainMs?: number
  /** Gives up waiting for the first coordinator. */
  readonly signal?: AbortSignal
  /** Owns what isolated agents run in, and is stopped with the worker; default: one of its own. */
  readonly runners?: Runners
  /** Counts what the worker does. */
  readonly observer?: WorkerObserver | undefined
  /** Spans of runs are given to it. Whoever opened it closes it. */
  readonly tracing?: Tracing | undefined
}

export interface Host {
  readonly id: string
  /** Takes no more work, finishes what runs (or gives it back after `drainMs`), and stops. Idempotent. */
  drain(): Promise<void>
  /** The same; resolves when a coordinator knows that it takes no more. */
  part(): Promise<void>
  /** Gives back what runs, and stops. Idempotent. */
  stop(): Promise<void>
  /** Resolves when the worker has stopped. */
  readonly ended: Promise<{ restart: boolean }>
}

/** Jobs that a worker has fetched and not been granted yet, at most: enough for a batch under way and a large next one. */
const maxUnclaimed = 400

const defaultDrainMs = 30_000
/** How long the reports of released attempts may take. */
const farewellMs = 5_000

export async function startHost(options: HostOptions): Promise<Host> {
  const { agents, bus, consumer, namespace, log, pool = 'shared' } = options
  const id = `${hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .slice(0, 40)}-${process.pid}-${randomBytes(4).toString('hex')}`
  const named = subjects(namespace)
  const stopping = new AbortController()
  const uplink = new Uplink({ bus, subjects: named, log })
  const standing = () => starts.standing()
  const lanes = createLanes(uplink, id, stopping.signal, standing)
  const runners = options.runners ?? new Runners({ log })
  const executor = new Executor({ workerId: id, uplink, lanes, runners, log, observer: options.observer, tracing: options.tracing })
  const starts = new Starts(executor, () => heartbeat.isHeard)
  const info: WorkerInfo = {
    id,
    host: hostname(),
    pid: process.pid,
    version,
    pool,
    concurrency: agents.reduce((sum, a) => sum + a.concurrency, 0),
    agents: agents.map(hosted),
  }

  const consumptions: Consumption[] = []
  let restart = false
  let ending: Promise<void> | undefined
  let draining: Promise<void> | undefined
  let resolveEnded: (how: { restart: boolean }) => void = () => undefined
  const ended = new Promise<{ restart: boolean }>(resolve => {
    resolveEnded = resolve
  })
  const end = (drainMs: number): Promise<void> => {
    ending ??= (async () => {
      log.info({ worker_id: id, active: executor.active.size }, 'the worker takes no more work, and ends when what it has is done')
      executor.drain()
      draining = heartbeat.drain()
      const stopped = Promise.all(consumptions.map(c => c.stop()))
      const release = setTimeout(() => executor.releaseAll(), drainMs)
      // Whoever does not answer by then is not waited for: what was not reported is replaced when its lease runs out.
      const giveUp = setTimeout(() => stopping.abort(), drainMs + farewellMs)
      await stopped
      clearTimeout(release)
      clearTimeout(giveUp)
      await runners.stop()
      await heartbeat.stop()
      stopping.abort()
      for (const subscription of subscriptions) await subscription.unsubscribe()
      log.info({ worker_id: id }, 'worker stopped')
      resolveEnded({ restart })
    })()
    return ending
  }
  /** A coordinator may ask for the drain before everything has started; then it begins when everything has. */
  const starting = { done: false, drainAsked: false }
  const onDrain = () => {
    if (starting.done) void end(options.drainMs ?? defaultDrainMs)
    else starting.drainAsked = true
  }
  const heartbeat = new Heartbeat({ worker: () => info, uplink, executor, standing, log, onDrain })

  const onWord = (payload: string) => {
    const word = workerWordSchema.safeParse(safeJson(payload))
    if (!word.success) return
    if (word.data.type === 'abort') for (const claimId of word.data.claim_ids) executor.abort(claimId, lostClaim())
    else {
      restart = word.data.restart ?? false
      onDrain()
    }
  }
  const subscriptions: BusSubscription[] = []
  try {
    await runners.start(agents)
    subscriptions.push(await bus.subscribe(named.worker(id), {}, onWord), await bus.subscribe(named.workers, {}, onWord))
    subscriptions.push(await bus.serve(named.starts(id), {}, payload => starts.answer(payload)))
    await heartbeat.start(options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal)
  } catch (error) {
    await runners.stop()
    throw error
  }

  const door = new Door(maxUnclaimed)
  for (const agent of agents) {
    const slots = new Slots(agent.concurrency, door)
    const onJob: OnJob = (_id, delivery, turn) => {
      let inside = true
      const pass = () => {
        if (inside) slots.passed()
        inside = false
      }
      return executor.deliver(agent, delivery, { onClaimed: pass, hasSpare: () => slots.free > 0, turn }).finally(pass)
    }
    const queues = [
      queueName(pool, { kind: 'agent', name: agent.name }),
      ...agent.capabilities.map(name => queueName(pool, { kind: 'capability', name })),
    ]
    for (const queue of queues) {
      const consumption = await consumer.consume(queue, slots, onJob)
      consumptions.push(consumption)
      starts.add(queue, { agent, slots, consumption })
    }
  }
  const giveUp = () => void heartbeat.stop()
  options.signal?.addEventListener('abort', giveUp, { once: true })
  await heartbeat.ready()
  options.signal?.removeEventListener('abort', giveUp)
  log.info({ worker_id: id, agents: agents.map(a => a.name) }, 'worker ready')
  starting.done = true
  if (starting.drainAsked) onDrain()
  return {
    id,
    drain: () => end(options.drainMs ?? defaultDrainMs),
    part: async () => {
      void end(options.drainMs ?? defaultDrainMs)
      await draining
    },
    stop: () => {
      const done = end(0)
      executor.releaseAll()
      return done
    },
    ended,
  }
}

function hosted(agent: Agent): HostedAgent {
  return {
    name: agent.name,
    description: agent.description,
    domain: agent.domain,
    capabilities: [...agent.capabilities],
    skills: [...agent.skills],
    concurrency: agent.concurrency,
    sla_ms: agent.slaMs,
    queue_wait_ms: agent.queueWaitMs,
    deadline_ms: agent.deadlineMs,
    lease_ms: agent.leaseMs,
    kind: agent.kind,
  }
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
