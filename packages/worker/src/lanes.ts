/** Claims and reports of all of a worker's attempts, coalesced by what is in flight. One lane for each. */
import {
  type ClaimItem,
  type ClaimReply,
  maxBatchBytes,
  maxBatchItems,
  type ReportItem,
  type ReportReply,
  type StreamItem,
  type StreamReply,
} from '@baton/shared'
import { BatchLane } from '@baton/shared/node'
import type { Uplink } from './uplink.js'

export interface Lanes {
  readonly claim: (item: ClaimItem) => Promise<ClaimReply>
  readonly report: (item: ReportItem) => Promise<ReportReply>
  readonly stream: (item: StreamItem) => Promise<StreamReply>
  whenIdle(): Promise<void>
}

export function createLanes(uplink: Uplink, workerId: string, signal: AbortSignal): Lanes {
  const claims = new BatchLane<ClaimItem, ClaimReply>({
    maxItems: maxBatchItems,
    send: async items => (await uplink.ask<{ results: ClaimReply[] }>({ type: 'claim', worker_id: workerId, items }, signal)).results,
  })
  const reports = new BatchLane<ReportItem, ReportReply>({
    maxItems: maxBatchItems,
    maxBytes: maxBatchBytes,
    sizeOf: sizeOfReport,
    send: async items => (await uplink.ask<{ results: ReportReply[] }>({ type: 'report', worker_id: workerId, items }, signal)).results,
  })
  const streams = new BatchLane<StreamItem, StreamReply>({
    maxItems: maxBatchItems,
    maxBytes: maxBatchBytes,
    sizeOf: ({ chunks }) => 200 + chunks.length * 2,
    send: async items => (await uplink.ask<{ results: StreamReply[] }>({ type: 'stream', worker_id: workerId, items }, signal)).results,
  })
  return {
    claim: async item => {
      // `again`: granted, but the reply had no room. Claims may be repeated: the claim id is the lease token.
      for (;;) {
        const reply = await claims.push(item)
        if (reply.status !== 'again') return reply
      }
    },
    report: item => reports.push(item),
    stream: item => streams.push(item),
    whenIdle: async () => {
      await claims.whenIdle()
      await reports.whenIdle()
    },
  }
}

function sizeOfReport({ outcome }: ReportItem): number {
  if (outcome.kind !== 'completed') return 2_000
  const small = outcome.artifacts === undefined && outcome.spawn === undefined
  return 200 + (small ? (outcome.output?.length ?? 0) * 2 : JSON.stringify(outcome).length * 2)
}
