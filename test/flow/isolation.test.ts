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
    heartbeatMs: 300,
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

test('while an isolated agent blocks its event loop, its worker beats and completes what others do', async () => {
  const until = join(directory, 'until')
  // The agent runs inline of itself; the subtask asks for more.
  await submit('blocked', { capability: 'stumbler', isolation: 'process', input: { until } })
  const blocked = async () => (await local.client.tasks.get('blocked')).subtasks[0]
  await eventually(async () => (await blocked())?.progress === 'blocked', { timeoutMs: 20_000 }) // brought by a heartbeat
  await submit('beside', { capability: 'echo', input: { n: 1 } })
  expect(await settled('beside')).toMatchObject({ state: 'completed', outputs: { n: 1 } })
  expect(await blocked()).toMatchObject({ state: 'running', attempt: 1 })
  writeFileSync(until, '')
  const done = await settled('blocked')
  expect(done).toMatchObject({ state: 'completed', attempt: 1, outputs: { pid: expect.any(Number) } })
  expect(done?.outputs).not.toEqual({ pid: process.pid })
})

test('an event loop that is blocked for good ends by its SLA', async () => {
  await submit('endless', { capability: 'blocker', input: {}, sla_seconds: 1, max_attempts: 1, on_failure: 'fail' })
  expect(await settled('endless')).toMatchObject({ state: 'failed', attempt: 1, failure: { code: 'attempt_timed_out' } })
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
