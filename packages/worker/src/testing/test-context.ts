/** What an agent is given, for tests that run one without a coordinator. */
import { silentLogger } from '@baton/shared/node'
import type { AgentContext } from '../agent.js'

export function testContext(parts: Partial<AgentContext> = {}): AgentContext {
  const nowhere = () => Promise.reject(new Error('this test has no coordinator'))
  return {
    taskId: 't1',
    taskTitle: 'A task',
    subtaskId: 'echo::t1::1',
    name: 'a',
    idempotencyKey: 'key-1',
    attempt: 2,
    signal: new AbortController().signal,
    deadline: new Date('2026-01-01T00:00:00Z'),
    log: silentLogger(),
    context: {},
    savedProgress: null,
    progress: () => undefined,
    dependencies: { [Symbol.asyncIterator]: () => ({ next: nowhere }), get: nowhere },
    artifacts: { put: nowhere },
    spawn: () => undefined,
    stream: async () => undefined,
    notes: { set: nowhere, get: nowhere, delete: nowhere, list: nowhere },
    ...parts,
  }
}
