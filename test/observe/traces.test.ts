/** One trace for each task, from the request over Redis to the worker and back over NATS, as a receiver of OTLP sees it. */
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createClient } from '@baton/client'
import { createEnqueuer } from '@baton/client/enqueue'
import { startCoordinator } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { defineAgent, startWorker } from '@baton/worker'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { eventually, freshDatabase, freshNamespace, servers } from '../harness/index.js'

interface SpanSeen {
  readonly service: string
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly attributes: Readonly<Record<string, string>>
}

interface Exported {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] }
    scopeSpans: {
      spans: {
        name: string
        traceId: string
        spanId: string
        parentSpanId?: string
        attributes: { key: string; value: { stringValue?: string; intValue?: number } }[]
      }[]
    }[]
  }[]
}

const seen: SpanSeen[] = []
const receiver = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8').on('data', chunk => {
    body += chunk
  })
  request.on('end', () => {
    for (const { resource, scopeSpans } of (JSON.parse(body) as Exported).resourceSpans) {
      const service = resource.attributes.find(each => each.key === 'service.name')?.value.stringValue ?? ''
      for (const { name, traceId, spanId, parentSpanId, attributes } of scopeSpans.flatMap(scope => scope.spans)) {
        const entries = attributes.map(({ key, value }) => [key, String(value.stringValue ?? value.intValue)])
        seen.push({ service, name, traceId, spanId, parentSpanId, attributes: Object.fromEntries(entries) })
      }
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
})

let place: { url: string; redisUrl: string; namespace: string; stop: () => Promise<void> }

beforeAll(async () => {
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
  const { port } = receiver.address() as AddressInfo // of TCP
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', `http://127.0.0.1:${port}`)
  vi.stubEnv('OTEL_EXPORTER_OTLP_PROTOCOL', 'http/json')
  vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', '50')
  const { redisUrl, natsUrl } = await servers()
  const namespace = await freshNamespace()
  const log = silentLogger()
  const coordinator = await startCoordinator({
    mode: { kind: 'fleet', databaseUrl: await freshDatabase(), redisUrl, natsUrl },
    host: '127.0.0.1',
    port: 0,
    namespace,
    leaseMs: 6_000,
    heartbeatMs: 2_000,
    tracing: true,
    log,
  })
  const agents = [defineAgent({ name: 'step', concurrency: 4, run: input => input })]
  const worker = await startWorker({ agents, redisUrl, natsUrl, namespace, log, handleSignals: false })
  place = {
    url: coordinator.url,
    redisUrl,
    namespace,
    stop: async () => {
      await worker.stop()
      await coordinator.stop()
    },
  }
})
afterAll(async () => {
  await place?.stop()
  receiver.closeAllConnections()
  receiver.close()
  vi.unstubAllEnvs()
})

const task = (task_id: string) => ({
  task_id,
  title: 'traced',
  subtasks: [
    { name: 'a', capability: 'step' },
    { name: 'b', capability: 'step', depends_on: ['a'] },
  ],
  execute: true,
})
const submit = (id: string, traceparent?: string) =>
  fetch(`${place.url}/orchestrate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(traceparent !== undefined && { traceparent }) },
    body: JSON.stringify(task(id)),
  })
const spansOf = (taskId: string) => {
  const traces = new Set(seen.filter(span => span.attributes['baton.task_id'] === taskId).map(span => span.traceId))
  return seen.filter(span => traces.has(span.traceId))
}
const count = (spans: readonly SpanSeen[], name: string) => spans.filter(span => span.name === name).length
const whole = (taskId: string) =>
  eventually(
    () => {
      const spans = spansOf(taskId)
      expect(
        ['orchestrator.plan', 'orchestrator.dispatch', 'worker.run', 'orchestrator.aggregate'].map(name => count(spans, name)),
      ).toEqual([1, 2, 2, 2])
      return spans
    },
    { timeoutMs: 15_000 },
  )

/** Which span each is below of. */
function parentOf(spans: readonly SpanSeen[], span: SpanSeen): string {
  return spans.find(each => each.spanId === span.parentSpanId)?.name ?? span.parentSpanId ?? 'none'
}

test('a request that has a trace goes on with it: plan, dispatch, run and aggregate are one tree', async () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  expect((await submit('t-http', `00-${trace}-00f067aa0ba902b7-01`)).status).toBe(201)
  const spans = await whole('t-http')
  expect([...new Set(spans.map(span => span.traceId))]).toEqual([trace])
  expect([...new Set(spans.map(span => `${span.service} ${span.name} < ${parentOf(spans, span)}`))].sort()).toEqual([
    'baton-coordinator orchestrator.aggregate < worker.run',
    'baton-coordinator orchestrator.dispatch < orchestrator.plan',
    'baton-coordinator orchestrator.plan < 00f067aa0ba902b7',
    'baton-worker worker.run < orchestrator.dispatch',
  ])
  expect(spans.find(span => span.name === 'worker.run')?.attributes).toMatchObject({
    'baton.task_id': 't-http',
    'baton.subtask_id': 'step::t-http::1',
    'baton.agent': 'step',
    'baton.attempt': '1',
  })
  const { plan } = await createClient({ url: place.url }).tasks.get('t-http')
  expect(Object.keys(plan)).not.toContain('traceparent')
})

test('one without begins a trace of its own; one whose caller left it out has none; a wrong one is as good as none', async () => {
  await submit('t-none', `00-${'a'.repeat(32)}-00f067aa0ba902b7-00`)
  await submit('t-wrong', 'not-a-traceparent')
  await submit('t-own')
  const [own, wrong] = [await whole('t-own'), await whole('t-wrong')]
  for (const spans of [own, wrong]) expect(new Set(spans.map(span => span.traceId)).size).toBe(1)
  expect(own[0]?.traceId).not.toBe(wrong[0]?.traceId)
  expect((await createClient({ url: place.url }).tasks.wait('t-none')).status).toBe('completed')
  expect(seen.filter(span => span.traceId === 'a'.repeat(32) || span.attributes['baton.task_id'] === 't-none')).toEqual([])
})

test('a task of the intake queue belongs to the trace of its producer', async () => {
  const trace = 'b'.repeat(32)
  const enqueuer = createEnqueuer({ redisUrl: place.redisUrl, namespace: place.namespace })
  await enqueuer.enqueue(task('t-queue'), { traceparent: `00-${trace}-00f067aa0ba902b7-01` })
  await enqueuer.close()
  expect([...new Set((await whole('t-queue')).map(span => span.traceId))]).toEqual([trace])
})

test('whoever does not trace loads nothing of it', () => {
  const modules = ['coordinator', 'worker', 'local'].map(name =>
    fileURLToPath(new URL(`../../packages/${name}/dist/index.js`, import.meta.url)),
  )
  const program = `
    import { createRequire } from 'node:module'
    for (const file of ${JSON.stringify(modules)}) await import(file)
    const loaded = Object.keys(createRequire(import.meta.url).cache)
    console.log(loaded.filter(path => /@opentelemetry.(sdk|exporter|otlp|resources)|bull-board/.test(path)).length, loaded.length > 10)`
  const env = { ...process.env, NODE_OPTIONS: '' }
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env }).trim()).toBe('0 true')
})
