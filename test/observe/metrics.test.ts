/** What `GET /metrics` says of work that was done, and what it costs to ask. */
import { startLocal } from '@baton/local'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { testApp } from '../../packages/coordinator/src/http/testing/test-app.js'
import { coordinatorMetrics } from '../../packages/coordinator/src/observe/table.js'
import { serveMetrics, WorkerMetrics, workerMetrics } from '../../packages/worker/src/metrics.js'
import { repositoryFile, tableUnder } from '../docs/markdown-table.js'
import { scrape } from './scrape.js'

let local: Awaited<ReturnType<typeof startLocal>>

beforeAll(async () => {
  const agents = [
    defineAgent({ name: 'good', concurrency: 3, run: () => 'done' }),
    defineAgent({
      name: 'flaky',
      run: (_, { attempt }) => {
        if (attempt === 1) throw new Error('once')
        return 'done'
      },
    }),
  ]
  local = await startLocal({ agents, backoff: { initialMs: 1, maxMs: 5 } })
})
afterAll(() => local?.stop())

describe('a scrape', () => {
  test('shows what was done: tasks, runs, waits, retries, failures, batches', async () => {
    const subtasks = [
      { name: 'a', capability: 'good' },
      { name: 'b', capability: 'flaky', depends_on: ['a'] },
    ]
    await local.client.tasks.submit({ task_id: 'm1', title: 'counted', subtasks, execute: true })
    await local.client.tasks.submit({ task_id: 'm1', title: 'counted', subtasks, execute: true })
    await local.client.tasks.wait('m1')
    const metrics = await vi.waitFor(
      async () => {
        const scraped = await scrape(local.url)
        expect(scraped.value('orchestrator_latency_seconds_count', { status: 'completed' })).toBe(1)
        return scraped
      },
      { timeout: 15_000, interval: 50 },
    )
    const { value } = metrics
    expect(value('orchestrator_tasks_submitted_total', { outcome: 'created' })).toBe(1)
    expect(value('orchestrator_tasks_submitted_total', { outcome: 'existing' })).toBe(1)
    expect(value('orchestrator_subtasks_completed_total', { capability: 'good' })).toBe(1)
    expect(value('orchestrator_subtasks_completed_total', { capability: 'flaky' })).toBe(1)
    expect(value('orchestrator_subtask_failures_total', { capability: 'flaky', code: 'agent_error' })).toBe(1)
    expect(value('orchestrator_retries_total', { capability: 'flaky' })).toBe(1)
    expect(value('orchestrator_queue_wait_seconds_count', { capability: 'flaky' })).toBe(2)
    expect(value('orchestrator_run_seconds_count', { capability: 'flaky', outcome: 'failed' })).toBe(1)
    expect(value('orchestrator_run_seconds_count', { capability: 'good', outcome: 'completed' })).toBe(1)
    expect(value('orchestrator_claims_total', { status: 'granted' })).toBe(3)
    expect(value('orchestrator_reports_total', { verdict: 'accepted' })).toBe(3)
    expect(value('orchestrator_batch_items_sum', { kind: 'claims' })).toBe(3)
    expect(value('orchestrator_jobs_rung_total')).toBeGreaterThanOrEqual(3)
    expect(value('orchestrator_lease_losses_total')).toBe(0)
    expect(value('orchestrator_statement_seconds_count', { statement: 'complete_running' })).toBeGreaterThan(0)
    expect(value('orchestrator_http_request_seconds_count', { method: 'POST', route: '/orchestrate', status: '2xx' })).toBe(2)
    expect(value('nodejs_eventloop_lag_p99_seconds')).toBeGreaterThan(0)
  })

  test('shows what waits, and the work in it, without a name that nobody offers', async () => {
    await local.client.tasks.submit({
      task_id: 'm2',
      title: 'waits',
      subtasks: [
        { name: 'a', capability: 'good', requires_approval: true },
        ...['x', 'y', 'z'].map(name => ({ name, capability: `nobody-${name}` })),
      ],
      execute: true,
    })
    await vi.waitFor(
      async () => {
        const { value, text } = await scrape(local.url)
        expect(
          value('orchestrator_tasks_active', { status: 'running' }) + value('orchestrator_tasks_active', { status: 'needs_review' }),
        ).toBe(1)
        expect(value('orchestrator_reviews_open')).toBe(1)
        expect(
          value('orchestrator_subtasks', { capability: 'other', state: 'ready' }) +
            value('orchestrator_subtasks', { capability: 'other', state: 'blocked' }),
        ).toBe(3)
        expect(value('orchestrator_backlog_seconds', { capability: 'good' })).toBe(0)
        expect(value('orchestrator_slots', { capability: 'good' })).toBe(3)
        expect(value('orchestrator_workers', { state: 'ready' })).toBe(1)
        expect(text).not.toContain('nobody-')
      },
      { timeout: 20_000, interval: 250 },
    )
  })

  test('asks Postgres once for many scrapes', async () => {
    const before = (await scrape(local.url)).value('orchestrator_statement_seconds_count', { statement: 'read_standing' })
    await Promise.all(Array.from({ length: 50 }, () => scrape(local.url)))
    const after = (await scrape(local.url)).value('orchestrator_statement_seconds_count', { statement: 'read_standing' })
    expect(after - before).toBeLessThanOrEqual(1)
  })
})

test.each([
  ['Coordinator', coordinatorMetrics],
  ['Worker', workerMetrics],
])('docs/metrics.md says of the %s what the table says, both ways', (heading, table) => {
  expect(tableUnder(repositoryFile('docs/metrics.md'), heading)).toEqual(
    Object.entries(table).map(([name, { kind, labels, help }]) => [name, kind, labels.join(', '), help]),
  )
})

test('a scrape shows what the tables name, and nothing besides but the usual of a process', async () => {
  const others = (names: readonly string[]) => names.filter(name => !/^(process|nodejs)_/.test(name)).sort()
  expect(others((await scrape(local.url)).names)).toEqual(Object.keys(coordinatorMetrics).sort())
  const worker = new WorkerMetrics([])
  expect(others([...(await worker.render()).text.matchAll(/^# TYPE (\S+)/gm)].map(match => match[1] ?? ''))).toEqual(
    Object.keys(workerMetrics).sort(),
  )
})

test('a worker shows its own on a port of its own, and answers nothing else there', async () => {
  const metrics = new WorkerMetrics([defineAgent({ name: 'good', concurrency: 2, run: () => null })])
  const server = await serveMetrics(metrics, { host: '127.0.0.1', port: 0 })
  onTestFinished(() => server.close())
  metrics.claimed('good', 'granted')
  metrics.claimed('good', 'granted')
  metrics.claimed('good', 'gone')
  metrics.ran('good', 'completed', 0.2)
  metrics.reported('good', 'accepted')
  const { value } = await scrape(server.url)
  expect(value('baton_worker_slots', { agent: 'good' })).toBe(2)
  expect(value('baton_worker_active', { agent: 'good' })).toBe(1)
  expect(value('baton_worker_claims_total', { agent: 'good', status: 'gone' })).toBe(1)
  expect(value('baton_worker_run_seconds_sum', { agent: 'good', outcome: 'completed' })).toBe(0.2)
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  expect((await fetch(`${server.url}/else`)).status).toBe(404)
  expect((await fetch(`${server.url}/metrics`, { method: 'POST' })).status).toBe(405)
})

test('metrics need the key, where there is one', async () => {
  const { get } = testApp({
    apiKey: 'a-key-for-the-metrics',
    metrics: { render: async () => ({ contentType: 'text/plain', text: 'up 1\n' }) },
  })
  expect((await get('/metrics')).statusCode).toBe(401)
  const shown = await get('/metrics', { authorization: 'Bearer a-key-for-the-metrics' })
  expect([shown.statusCode, shown.headers['content-type'], shown.body]).toEqual([200, 'text/plain', 'up 1\n'])
})
