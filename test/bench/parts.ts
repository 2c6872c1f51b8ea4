/** The parts of the bench, by the names that choose them. docs/performance.md has the same table. */
import type { Workload } from './workload.js'
import { chains } from './workloads/chains.js'
import { coldDemo } from './workloads/cold-demo.js'
import { flood } from './workloads/flood.js'
import { heartbeats } from './workloads/heartbeats.js'
import { history } from './workloads/history.js'
import { idle } from './workloads/idle.js'
import { largeTask } from './workloads/large-task.js'
import { latency } from './workloads/latency.js'
import { localReady } from './workloads/local-ready.js'
import { localThroughput } from './workloads/local-throughput.js'
import { longChain } from './workloads/long-chain.js'
import { observation } from './workloads/observation.js'
import { otherPeers } from './workloads/peers.js'
import { recovery } from './workloads/recovery.js'
import { retention } from './workloads/retention.js'
import { sizes } from './workloads/sizes.js'
import { streams } from './workloads/streams.js'
import { throughput } from './workloads/throughput.js'
import { webhooks } from './workloads/webhooks.js'

export const workloads: Readonly<Record<string, Workload>> = {
  'w1-w2': throughput,
  w3: latency,
  w4: largeTask,
  w5: longChain,
  w6: flood,
  w7: sizes,
  w8: heartbeats,
  w9: history,
  local: localThroughput,
  peers: otherPeers,
  'cold-demo': coldDemo,
  'local-ready': localReady,
  idle,
  chains,
  recovery,
  retention,
  observation,
  webhooks,
  streams,
}
export const suites: Readonly<Record<string, readonly string[]>> = {
  performance: ['w1-w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8', 'w9', 'local'],
  smoke: ['cold-demo', 'local-ready', 'idle', 'chains'],
}
/** What runs when no part is named. */
export const defaultSuite = 'performance'
