/** A worker's metrics, on a port of their own: `GET /metrics` for Prometheus, `GET /healthz` for whoever watches processes. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { BatonError } from '@baton/shared'
import { Metrics, type MetricTable } from '@baton/shared/observe'
import type { Agent } from './agent.js'
import type { WorkerObserver } from './observer.js'
import { version } from './version.js'

/** The closed table of a worker's metrics; docs/metrics.md is tested against it. */
export const workerMetrics = {
  baton_worker_info: { kind: 'gauge', help: 'Always 1; the label says which version this is.', labels: ['version'] },
  baton_worker_slots: { kind: 'gauge', help: 'Attempts that the worker runs at once, by agent.', labels: ['agent'] },
  baton_worker_active: { kind: 'gauge', help: 'Attempts that run at present, by agent.', labels: ['agent'] },
  baton_worker_claims_total: {
    kind: 'counter',
    help: 'Claims, by the answer: granted, gone, held, not_eligible.',
    labels: ['agent', 'status'],
  },
  baton_worker_run_seconds: {
    kind: 'histogram',
    help: 'Time of an attempt as the worker measured it, by how it ended: completed, failed, released.',
    labels: ['agent', 'outcome'],
  },
  baton_worker_reports_total: {
    kind: 'counter',
    help: 'Reports, by the answer: accepted, duplicate, stale, rejected.',
    labels: ['agent', 'status'],
  },
} as const satisfies MetricTable

export class WorkerMetrics implements WorkerObserver {
  private readonly metrics = new Metrics(workerMetrics)
  private readonly active = new Map<string, number>()

  constructor(agents: readonly Agent[]) {
    this.metrics.set('baton_worker_info', { version }, 1)
    for (const { name, concurrency } of agents) {
      this.metrics.set('baton_worker_slots', { agent: name }, concurrency)
      this.metrics.set('baton_worker_active', { agent: name }, 0)
    }
  }

  claimed: WorkerObserver['claimed'] = (agent, status) => {
    this.metrics.add('baton_worker_claims_total', { agent, status })
    if (status === 'granted') this.change(agent, 1)
  }

  ran: WorkerObserver['ran'] = (agent, outcome, seconds) => {
    this.metrics.observe('baton_worker_run_seconds', { agent, outcome }, seconds)
    this.change(agent, -1)
  }

  reported: WorkerObserver['reported'] = (agent, status) => {
    this.metrics.add('baton_worker_reports_total', { agent, status })
  }

  render() {
    return this.metrics.render()
  }

  private change(agent: string, by: number): void {
    const now = (this.active.get(agent) ?? 0) + by
    this.active.set(agent, now)
    this.metrics.set('baton_worker_active', { agent }, now)
  }
}

export interface MetricsServer {
  readonly url: string
  close(): Promise<void>
}

/** Listens; throws `invalid_configuration` where that cannot be had. Port 0 takes a free one. */
export async function serveMetrics(metrics: WorkerMetrics, { host, port }: { host: string; port: number }): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: 5_000, maxHeaderSize: 8_192 }, (request, response) => {
    const path = request.url?.replace(/\?.*$/s, '')
    if (request.method !== 'GET') response.writeHead(405, { allow: 'GET' }).end()
    else if (path === '/healthz') response.writeHead(200, { 'content-type': 'application/json' }).end('{"status":"ok"}')
    else if (path === '/metrics')
      void metrics.render().then(({ contentType, text }) => response.writeHead(200, { 'content-type': contentType }).end(text))
    else response.writeHead(404).end()
  })
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new BatonError('invalid_configuration', `the worker's metrics cannot listen on port ${port} of ${host}`, {
      cause,
      fields: [{ path: 'BATON_METRICS_PORT', issue: 'cannot be listened on' }],
    })
  }
  server.unref()
  const address = server.address()
  const actual = address !== null && typeof address === 'object' ? address.port : port
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`,
    close: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
