/** A port to no claim: keeps what it is told, for tests that run an agent without a coordinator. */
import type { SubtaskRequest } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import type { Run } from '../context.js'
import { grant } from './fake-coordinator.js'

export interface TestRun extends Run {
  readonly controller: AbortController
  /** Parsed, in order. */
  readonly progress: unknown[]
  readonly spawned: SubtaskRequest[]
}

export function testRun(input: unknown, parts: Partial<Run> = {}): TestRun {
  const nowhere = () => Promise.reject(new Error('this test has no coordinator'))
  const controller = new AbortController()
  const progress: unknown[] = []
  const spawned: SubtaskRequest[] = []
  const text = JSON.stringify(input)
  return {
    grant: grant({ input: text, input_chars: text.length }),
    port: {
      text: nowhere,
      artifact: nowhere,
      dependencies: nowhere,
      saveProgress: saved => void progress.push(JSON.parse(saved)),
      spawn: subtask => void spawned.push(subtask),
      stream: async () => undefined,
      note: nowhere,
      putArtifact: nowhere,
    },
    signal: controller.signal,
    deadline: new Date(Date.now() + 60_000),
    log: silentLogger(),
    controller,
    progress,
    spawned,
    ...parts,
  }
}
