/**
 * Claims and reports of all of a worker's attempts, coalesced by what is in flight: one lane for each, for each coordinator
 * that knows the tasks in question.
 */
import {
  type Busy,
  type ClaimItem,
  type ClaimReply,
  maxBatchBytes,
  maxBatchItems,
  type ReportItem,
  type ReportReply,
  type Spare,
  type StreamItem,
  type StreamReply,
} from '@baton/shared'
import { BatchLane, type BatchLaneOptions } from '@baton/shared/node'
import type { Uplink } from './uplink.js'

/** What a worker says of its slots with whatever it says. */
export interface Standing {
  readonly spare: Spare
  readonly busy: Busy
}

/** `to`: the coordinator that is asked first. `first`: before what waits to be sent. */
export interface Way {
  readonly to?: string | undefined
  readonly first?: boolean | undefined
}

export interface Lanes {
  readonly claim: (item: ClaimItem, way?: Way) => Promise<ClaimReply>
  readonly report: (item: ReportItem, way?: Way) => Promise<ReportReply>
  /** Of what a coordinator started: it is queued again, as if it had not been. */
  readonly giveBack: (item: { readonly subtask: string; readonly claim_id: string }, way?: Way) => Promise<void>
  readonly stream: (item: StreamItem) => Promise<StreamReply>
  whenIdle(): Promise<void>
}

/** `standing`: told with every claim and report. Default: nothing is. */
export function createLanes(uplink: Uplink, workerId: string, signal: AbortSignal, standing?: () => Standing): Lanes {
  const from = () => ({ worker_id: workerId, ...standing?.() })
  const claims = new LanesByCoordinator<ClaimItem, ClaimReply>(to => ({
    maxItems: maxBatchItems,
    send: async items => (await uplink.ask<{ results: ClaimReply[] }>({ type: 'claim', ...from(), items }, signal, to)).results,
  }))
  const lanesOfReports = (first?: true) =>
    new LanesByCoordinator<ReportItem, ReportReply>(to => ({
      maxItems: maxBatchItems,
      maxBytes: maxBatchBytes,
      sizeOf: sizeOfReport,
      send: async items => (await uplink.ask<{ results: ReportReply[] }>({ type: 'report', ...from(), first, items }, signal, to)).results,
    }))
  const reports = lanesOfReports()
  const firstReports = lanesOfReports(true)
  const returns = new LanesByCoordinator<Parameters<Lanes['giveBack']>[0], undefined>(to => ({
    maxItems: maxBatchItems,
    send: async items => {
      await uplink.ask({ type: 'return', worker_id: workerId, items }, signal, to)
      return items.map(() => undefined)
    },
  }))
  const streams = new BatchLane<StreamItem, StreamReply>({
    maxItems: maxBatchItems,
    maxBytes: maxBatchBytes,
    sizeOf: ({ chunks }) => 200 + chunks.length * 2,
    send: async items => (await uplink.ask<{ results: StreamReply[] }>({ type: 'stream', worker_id: workerId, items }, signal)).results,
  })
  return {
    claim: async (item, { to, first } = {}) => {
      // `again`: granted, but the reply had no room. Claims may be repeated: the claim id is the lease token.
      for (;;) {
        const reply = await claims.to(to).push(item, { first })
        if (reply.status !== 'again') return reply
      }
    },
    report: (item, { to, first } = {}) => {
      const before = first ? firstReports.to(to) : undefined
      return before && before.depth < maxFirst ? before.push(item) : reports.to(to).push(item, { first })
    },
    giveBack: (item, { to } = {}) => returns.to(to).push(item),
    stream: item => streams.push(item),
    whenIdle: async () => {
      await returns.whenIdle()
      await claims.whenIdle()
      await reports.whenIdle()
      await firstReports.whenIdle()
    },
  }
}

/** So many reports that go first wait at most in a lane of their own; more than that are no few that others may wait for. */
const maxFirst = 100

/** So many coordinators have lanes of their own; coordinators that start anew have new names. */
const maxLanes = 16

class LanesByCoordinator<T, R> {
  private readonly options: (to: string | undefined) => BatchLaneOptions<T, R>
  private readonly lanes = new Map<string | undefined, BatchLane<T, R>>()

  constructor(options: (to: string | undefined) => BatchLaneOptions<T, R>) {
    this.options = options
  }

  to(coordinator: string | undefined): BatchLane<T, R> {
    const known = this.lanes.get(coordinator)
    if (known) return known
    if (coordinator !== undefined && this.lanes.size >= maxLanes) {
      for (const [id, lane] of this.lanes) if (lane.isIdle) this.lanes.delete(id)
      if (this.lanes.size >= maxLanes) return this.to(undefined)
    }
    const lane = new BatchLane(this.options(coordinator))
    this.lanes.set(coordinator, lane)
    return lane
  }

  async whenIdle(): Promise<void> {
    await Promise.all([...this.lanes.values()].map(lane => lane.whenIdle()))
  }
}

function sizeOfReport({ outcome }: ReportItem): number {
  if (outcome.kind !== 'completed') return 2_000
  const small = outcome.artifacts === undefined && outcome.spawn === undefined
  return 200 + (small ? (outcome.output?.length ?? 0) * 2 : JSON.stringify(outcome).length * 2)
}
