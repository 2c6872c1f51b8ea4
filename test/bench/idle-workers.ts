/** Workers that have nothing to do, as a coordinator sees them: registrations and heartbeats over NATS, without processes. */
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  answerWithinMs,
  type HeartbeatReply,
  protocolVersion,
  type RegisterReply,
  type Reply,
  subjects,
  type WorkerInfo,
} from '@baton/shared'
import { type Bus, connectNatsBus, silentLogger } from '@baton/shared/node'

const { coordinators, coordinator } = subjects('baton')
/** Workers that share a connection: what is measured is the coordinator, and not NATS with many clients. */
const workersPerConnection = 100
const registeringAtOnce = 20

export interface IdleWorkers {
  /** Heartbeats that were answered so far. */
  readonly answered: () => number
  /** Throws the first problem that one of them met. */
  stop(): Promise<void>
}

/** Resolves when all are registered; they beat as often as they are told, evenly spread. */
export async function startIdleWorkers({ natsUrl, count }: { natsUrl: string; count: number }): Promise<IdleWorkers> {
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal) // each of them waits on it
  const buses: Bus[] = []
  for (let n = 0; n * workersPerConnection < count; n++)
    buses.push(await connectNatsBus({ url: natsUrl, name: `idle-workers-${n}`, log: silentLogger(), signal: stopping.signal }))
  let answered = 0
  let problem: unknown
  const beating: Promise<void>[] = []

  const beat = async (bus: Bus, id: string, { coordinator: name, heartbeat_ms, lease_ms }: RegisterReply, firstMs: number) => {
    const request = { v: protocolVersion, type: 'heartbeat', worker_id: id, state: 'ready', active: [], load: {}, loop_lag_ms: 0 }
    for (let waitMs = firstMs; !stopping.signal.aborted; waitMs = heartbeat_ms) {
      await delay(waitMs, undefined, { signal: stopping.signal })
      const reply = await ask<HeartbeatReply>(bus, coordinator(name), request, answerWithinMs(lease_ms))
      if (!reply.known) throw new Error(`${id} is no longer known`)
      answered++
    }
  }
  const register = async (n: number) => {
    const bus = buses[Math.floor(n / workersPerConnection)]
    if (!bus) throw new RangeError(`there is no connection for worker ${n}`)
    const worker = workerInfo(n)
    const reply = await ask<RegisterReply>(bus, coordinators, { v: protocolVersion, type: 'register', worker }, 5_000)
    beating.push(
      beat(bus, worker.id, reply, (reply.heartbeat_ms * n) / count).catch(error => {
        if (!stopping.signal.aborted) problem ??= error
      }),
    )
  }
  for (let n = 0; n < count; n += registeringAtOnce)
    await Promise.all(Array.from({ length: Math.min(registeringAtOnce, count - n) }, (_, i) => register(n + i)))
  return {
    answered: () => answered,
    async stop() {
      stopping.abort()
      await Promise.all(beating)
      await Promise.all(buses.map(bus => bus.close()))
      if (problem !== undefined) throw problem
    },
  }
}

function workerInfo(n: number): WorkerInfo {
  const agent = {
    name: 'no-op',
    description: '',
    domain: null,
    capabilities: [],
    skills: [],
    concurrency: 10,
    sla_ms: null,
    kind: 'module',
  }
  return {
    id: `idle-${n}`,
    host: 'simulated',
    pid: n + 1,
    version: '0.1.0',
    pool: 'shared',
    concurrency: 10,
    agents: [agent],
    state: 'ready',
  }
}

async function ask<T>(bus: Bus, subject: string, request: object, timeoutMs: number): Promise<T> {
  const reply = JSON.parse(await bus.request(subject, JSON.stringify(request), { timeoutMs })) as Reply<T> // a coordinator's word is trusted
  if (reply.status !== 'ok') throw new Error(`a coordinator answered ${reply.status}: ${reply.failure.message}`)
  return reply.body
}
