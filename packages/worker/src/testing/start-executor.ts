/** An executor on a memory bus, opposite a coordinator that a test scripts. */
import { subjects } from '@baton/shared'
import { type Bus, type Logger, MemoryBusHub, silentLogger } from '@baton/shared/node'
import { Executor } from '../executor.js'
import { Runners } from '../isolation/runners.js'
import { createLanes, type Lanes } from '../lanes.js'
import { Uplink } from '../uplink.js'
import { type FakeCoordinator, type Script, startFakeCoordinator } from './fake-coordinator.js'

export interface ExecutorStage {
  readonly executor: Executor
  readonly uplink: Uplink
  readonly lanes: Lanes
  readonly runners: Runners
  readonly coordinator: FakeCoordinator
  /** Where further coordinators may be. */
  readonly bus: Bus
  stop(): Promise<void>
}

export async function startExecutor(
  script: Script = {},
  { graceMs, childGraceMs, log = silentLogger() }: { graceMs?: number; childGraceMs?: number; log?: Logger } = {},
): Promise<ExecutorStage> {
  const hub = new MemoryBusHub()
  const theirs = hub.connect()
  const ours = hub.connect()
  const coordinator = await startFakeCoordinator(theirs, script)
  const uplink = new Uplink({ bus: ours, subjects: subjects('test'), log })
  const stopping = new AbortController()
  const lanes = createLanes(uplink, 'w1', stopping.signal)
  const runners = new Runners({ log, ...(childGraceMs !== undefined && { graceMs: childGraceMs }) })
  const executor = new Executor({ workerId: 'w1', uplink, lanes, runners, log, ...(graceMs !== undefined && { graceMs }) })
  return {
    executor,
    uplink,
    lanes,
    runners,
    coordinator,
    bus: theirs,
    stop: async () => {
      stopping.abort()
      await runners.stop()
      await ours.close()
      await theirs.close()
    },
  }
}

export const delivery = { v: 1, s: '7', a: 1 }
