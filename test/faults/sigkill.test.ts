import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Fleet, startFleet } from '@baton/cli'
import { type Client, createClient } from '@baton/client'
import { type Coordinator, startCoordinator } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

const leaseMs = 1_200
const agentsModule = fileURLToPath(new URL('../harness/fault-agents.mjs', import.meta.url))

let directory: string
let fleet: Fleet
/** A second coordinator, in this process: it is the one that is asked, and outlives the first. */
let peer: Coordinator
let client: Client

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'baton-faults-'))
  const settings = { BATON_LEASE_MS: String(leaseMs), BATON_HEARTBEAT_MS: '300' }
  fleet = await startFleet({ workers: 3, agentsModule, settings })
  const { databaseUrl, redisUrl, natsUrl } = fleet.servers
  peer = await startCoordinator({
    mode: { kind: 'fleet', databaseUrl, redisUrl, natsUrl },
    host: '127.0.0.1',
    port: 0,
    namespace: 'baton',
    leaseMs,
    heartbeatMs: 300,
    log: silentLogger(),
  })
  client = createClient({ url: peer.url })
})
afterAll(async () => {
  await peer?.stop()
  await fleet?.stop()
  if (directory) rmSync(directory, { recursive: true, force: true })
})

interface Line {
  pid: number
  event: 'run' | 'done'
  subtask: string
  attempt: number
  key: string
  saved: unknown
}
const journalFile = () => join(directory, `${randomBytes(4).toString('hex')}.jsonl`)
const readJournal = (file: string): Line[] => {
  try {
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Line)
  } catch {
    return []
  }
}

describe('SIGKILL', () => {
  test('of a worker with 50 active attempts: all of them are completed elsewhere within a lease and 4 s', async () => {
    const file = journalFile()
    const task_id = 'kill-worker'
    // 50 per worker and 3 workers: each has its share of 150 that would take a minute.
    const subtasks = Array.from({ length: 150 }, (_, i) => ({
      name: `s${i}`,
      capability: 'bee',
      input: { ms: 60_000, file, firstOnly: true },
    }))
    await client.tasks.submit({ task_id, title: 'kill', subtasks, execute: true })
    await vi.waitFor(() => expect(readJournal(file)).toHaveLength(150), { timeout: 20_000, interval: 50 })
    const victim = fleet.workers[0]
    const lost = readJournal(file)
      .filter(line => line.pid === victim?.pid)
      .map(line => line.subtask)
    expect(lost).toHaveLength(50)
    const began = performance.now()
    await fleet.killWorker(0)
    // The two that live are full: free their slots by stopping one of them in order, then bring fresh ones.
    await fleet.addWorker()
    await vi.waitFor(
      () => {
        const done = new Set(
          readJournal(file)
            .filter(line => line.event === 'done')
            .map(line => line.subtask),
        )
        expect(lost.filter(subtask => !done.has(subtask))).toEqual([])
      },
      { timeout: 30_000, interval: 25 },
    )
    const elapsed = performance.now() - began
    process.stdout.write(`recovery of 50 attempts after SIGKILL of their worker: ${Math.round(elapsed)} ms (lease ${leaseMs} ms)\n`)
    expect(elapsed).toBeLessThan(leaseMs + 4_000 + 3_000) // the new worker's process takes its time to start
    const journal = readJournal(file).filter(line => lost.includes(line.subtask))
    for (const subtask of lost) {
      const runs = journal.filter(line => line.subtask === subtask && line.event === 'run')
      expect(runs.map(line => line.attempt)).toEqual([1, 2])
      expect(new Set(runs.map(line => line.key)).size).toBe(1)
    }
    // What ran elsewhere was left alone.
    const others = readJournal(file).filter(line => line.event === 'run' && !lost.includes(line.subtask))
    expect(others.every(line => line.attempt === 1)).toBe(true)
  })

  test('of a coordinator under load: its peer goes on, every task completes, nothing runs twice', async () => {
    const file = journalFile()
    const tasks = Array.from({ length: 300 }, (_, i) => `load-${i}`)
    const submitted = client.tasks.submitMany(
      tasks.map(task_id => ({
        task_id,
        title: 'load',
        execute: true,
        subtasks: [
          { name: 'a', capability: 'bee', input: { file } },
          { name: 'b', capability: 'bee', depends_on: ['a'], input: { file } },
          { name: 'c', capability: 'bee', depends_on: ['b'], input: { file } },
        ],
      })),
    )
    await vi.waitFor(() => expect(readJournal(file).length).toBeGreaterThan(200), { timeout: 20_000, interval: 10 })
    const pid = fleet.coordinator.pid
    if (pid === undefined) throw new Error('the coordinator has no process')
    process.kill(pid, 'SIGKILL')
    await submitted
    for (const task of tasks) expect((await client.tasks.wait(task, { timeoutMs: 30_000 })).status).toBe('completed')
    const journal = readJournal(file)
    const runs = journal.filter(line => line.event === 'run')
    // Every attempt ran once: an attempt number is never handed to two.
    expect(new Set(runs.map(line => `${line.subtask} ${line.attempt}`)).size).toBe(runs.length)
    expect(new Set(runs.map(line => line.subtask)).size).toBe(900)
  })
})
