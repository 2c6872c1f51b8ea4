/** Takes heartbeats in, of all workers through one lane; takes workers in. */
import type { HeartbeatReply, WorkerInfo } from '@baton/shared'
import { BatchLane, type Logger } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import { type HeartbeatItem, type HeartbeatVerdict, recordHeartbeats, registerWorker } from '../store/workers.js'
import { type ItemResult, runBatch } from './batches.js'
import type { CollectObserver } from './observer.js'

interface HeartbeatsOptions {
  readonly database: Database
  readonly leaseMs: number
  /** The shortest lease that heartbeats can keep. */
  readonly minLeaseMs: number
  readonly maxWaiting: number
  readonly log: Logger
  /** Workers came or went. */
  readonly onFleetChange: () => void
  readonly observer?: CollectObserver | undefined
}

/** Heartbeats of many workers share statements: what says nothing new may wait so long, of a short lease a hundredth. */
const longestRestMs = 60

export class Heartbeats {
  private readonly options: HeartbeatsOptions
  private readonly lane: BatchLane<HeartbeatItem, ItemResult<HeartbeatVerdict>>

  constructor(options: HeartbeatsOptions) {
    this.options = options
    const { database, leaseMs, maxWaiting, log, observer } = options
    this.lane = new BatchLane({
      maxItems: 500,
      maxWaiting,
      rest: { ms: Math.min(longestRestMs, leaseMs / 100), urgent: ({ state }) => state !== 'ready' },
      send: items => {
        observer?.heartbeats(items.length)
        return runBatch(items, batch => recordHeartbeats(database, batch, leaseMs), log)
      },
    })
  }

  async register(worker: WorkerInfo): Promise<void> {
    const { minLeaseMs, log } = this.options
    const agents = worker.agents.map(agent => {
      if (typeof agent.lease_ms !== 'number' || agent.lease_ms >= minLeaseMs) return agent
      log.warn(
        { worker_id: worker.id, agent: agent.name, lease_ms: agent.lease_ms },
        `the agent's lease is shorter than heartbeats could keep it; it gets ${minLeaseMs} ms, two heartbeats`,
      )
      return { ...agent, lease_ms: minLeaseMs }
    })
    await registerWorker(this.options.database, { ...worker, agents })
    this.options.log.info(
      { worker_id: worker.id, agents: worker.agents.map(a => a.name), host: worker.host, pid: worker.pid },
      'a worker registered',
    )
    this.options.onFleetChange()
  }

  async take(item: HeartbeatItem): Promise<HeartbeatReply> {
    const result = await this.lane.push(item)
    if (result.ok && result.value.changed) this.options.onFleetChange()
    if (!result.ok) return { abort: [], known: true, drain: false }
    const held = new Set(result.value.held)
    return { abort: item.active.map(a => a.claim_id).filter(id => !held.has(id)), known: result.value.known, drain: result.value.drain }
  }
}
