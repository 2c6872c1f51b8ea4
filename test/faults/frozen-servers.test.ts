import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Fleet, startFleet } from '@baton/cli'
import { type Client, createClient } from '@baton/client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

const leaseMs = 1_200
const agentsModule = fileURLToPath(new URL('../harness/fault-agents.mjs', import.meta.url))

let directory: string
let fleet: Fleet
let client: Client

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'baton-frozen-'))
  fleet = await startFleet({ workers: 2, agentsModule, settings: { BATON_LEASE_MS: String(leaseMs), BATON_HEARTBEAT_MS: '300' } })
  client = createClient({ url: fleet.url })
})
afterAll(async () => {
  fleet?.servers.nats?.signal('SIGCONT')
  fleet?.servers.postgres?.signal('SIGCONT')
  await fleet?.stop()
  if (directory) rmSync(directory, { recursive: true, force: true })
})

/** How long the outage lasts is the fault itself, not a wait for something. */
const lasts = async (ms: number) => {
  const begin = performance.now()
  await vi.waitFor(() => expect(performance.now() - begin).toBeGreaterThan(ms), { timeout: ms + 5_000, interval: 50 })
}
const readJournal = (file: string) =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { event: string; subtask: string; attempt: number })

test('NATS silent for several leases: no attempt is replaced while its worker lives, and what finished meanwhile is accepted', async () => {
  const file = join(directory, `${randomBytes(4).toString('hex')}.jsonl`)
  const { nats } = fleet.servers
  if (!nats) throw new Error('this test freezes a server of its own')
  // Some finish in the middle of the silence, some after it.
  const subtasks = Array.from({ length: 40 }, (_, i) => ({ name: `s${i}`, capability: 'bee', input: { ms: i % 2 ? 1_500 : 8_000, file } }))
  await client.tasks.submit({ task_id: 'silent', title: 'silent', subtasks, execute: true })
  await vi.waitFor(() => expect(readJournal(file).filter(l => l.event === 'run')).toHaveLength(40), { timeout: 15_000, interval: 25 })
  nats.signal('SIGSTOP')
  await lasts(4 * leaseMs)
  const readiness = (await (await fetch(`${fleet.url}/readyz`)).json()) as { checks: Record<string, string> }
  expect(readiness.checks.nats).not.toBe('ok')
  nats.signal('SIGCONT')
  const task = await client.tasks.wait('silent', { timeoutMs: 30_000 })
  expect(task.status).toBe('completed')
  expect(task.subtasks.map(s => s.attempt)).toEqual(subtasks.map(() => 1))
  expect(readJournal(file).filter(l => l.event === 'run')).toHaveLength(40)
})

test('Postgres frozen: requests get 503 with Retry-After within a bound, and everything goes on afterwards', async () => {
  const { postgres } = fleet.servers
  if (!postgres) throw new Error('this test freezes a server of its own')
  postgres.signal('SIGSTOP')
  const answer = await fetch(`${fleet.url}/orchestrate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ task_id: 'frozen', title: 'frozen', subtasks: [{ name: 'a', capability: 'bee' }], execute: true }),
    signal: AbortSignal.timeout(28_000),
  })
  expect(answer.status).toBe(503)
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await answer.json()).toMatchObject({ code: 'unavailable' })
  postgres.signal('SIGCONT')
  await vi.waitFor(async () => expect((await fetch(`${fleet.url}/readyz`)).status).toBe(200), { timeout: 20_000, interval: 100 })
  await client.tasks.submit({ task_id: 'frozen', title: 'frozen', subtasks: [{ name: 'a', capability: 'bee' }], execute: true })
  expect((await client.tasks.wait('frozen', { timeoutMs: 20_000 })).status).toBe('completed')
}, 60_000)
