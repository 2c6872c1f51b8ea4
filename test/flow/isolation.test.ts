/** Agents in threads and processes, from a submission to its outputs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Local, startLocal } from '@baton/local'
import { type Agent, defineAgent } from '@baton/worker'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../harness/index.js'

const fixture = new URL('../harness/fixtures/isolated-agents.mjs', import.meta.url)
const echo = defineAgent({ name: 'echo', run: input => input })
let local: Local
let directory: string
beforeAll(async () => {
  const { agents } = (await import(fixture.href)) as { agents: Agent[] } // made by defineAgent
  directory = mkdtempSync(join(tmpdir(), 'baton-isolation-'))
  writeFileSync(
    join(directory, 'where.mjs'),
    `export default { name: 'theirs', kind: 'module', description: '', domain: null, capabilities: ['where'], skills: [], concurrency: 1,
      slaMs: null, input: null, output: null, run: async () => process.pid }`,
  )
  local = await startLocal({
    agents: [...agents, echo],
    config: { agents: [{ name: 'mine', kind: 'module', module: './where.mjs', isolation: 'process' }] },
    configDir: directory,
    leaseMs: 1_000,
    heartbeatMs: 250,
    backoff: { initialMs: 10, maxMs: 40 },
  })
})
afterAll(async () => {
  await local?.stop()
  rmSync(directory, { recursive: true, force: true })
})

const submit = (id: string, subtask: object) =>
  local.client.tasks.submit({ task_id: id, title: id, execute: true, subtasks: [{ name: 's', capability: 'echo', ...subtask }] })
const settled = async (id: string) => (await local.client.tasks.wait(id)).subtasks[0]

test('a blocked event loop costs its attempt: heartbeats go on, others complete, and the next attempt goes on where it was', async () => {
  // The agent runs inline of itself; the subtask asks for more.
  await submit('blocked', { capability: 'stumbler', isolation: 'process', sla_seconds: 5 })
  const running = await eventually(
    async () => {
      const subtask = (await local.client.tasks.get('blocked')).subtasks[0]
      return subtask?.progress !== undefined && subtask.progress !== null && subtask // brought by a heartbeat
    },
    { timeoutMs: 10_000 },
  )
  expect(running).toMatchObject({ state: 'running', attempt: 1, progress: { attempt: 1 } })
  await submit('beside', { capability: 'echo', input: { n: 1 } })
  expect(await settled('beside')).toMatchObject({ state: 'completed', outputs: { n: 1 } })
  expect((await local.client.tasks.get('blocked')).subtasks[0]).toMatchObject({ state: 'running', attempt: 1 })
  const done = await settled('blocked')
  const outputs = done?.outputs as { pid: number } | undefined
  // One attempt over its SLA, none lost with its lease.
  expect(done).toMatchObject({ state: 'completed', attempt: 2, outputs: { saved: { attempt: 1 } } })
  expect(outputs?.pid).not.toBe(process.pid)
})

test('a crash is charged, and repeated until on_failure decides', async () => {
  await submit('crash', { capability: 'crasher', max_attempts: 2, on_failure: 'fail' })
  expect(await settled('crash')).toMatchObject({ state: 'failed', attempt: 2, failure: { code: 'agent_crashed', retryable: true } })
})

test('a subtask that asks for isolation fails at once where its agent is a closure, and says why', async () => {
  await submit('closure', { isolation: 'thread', on_failure: 'fail' })
  expect(await settled('closure')).toMatchObject({
    state: 'failed',
    attempt: 1,
    failure: { code: 'isolation_unavailable', message: expect.stringContaining('module: import.meta.url') },
  })
})

test('an agent of the configuration runs in a process', async () => {
  await submit('where', { capability: 'where' })
  const where = await settled('where')
  expect(where).toMatchObject({ state: 'completed', agent: 'mine', outputs: expect.any(Number) })
  expect(where?.outputs).not.toBe(process.pid)
})

test('a closure that asks for isolation itself is refused at the start', async () => {
  const closure = defineAgent({ name: 'closure', isolation: 'process', run: () => null })
  await expect(startLocal({ agents: [closure] })).rejects.toMatchObject({
    code: 'invalid_configuration',
    message: expect.stringMatching(/^agent closure: a closure cannot run in a process; leave `isolation` out, or say where it lives/),
  })
})
