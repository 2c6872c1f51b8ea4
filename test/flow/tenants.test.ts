/**
 * Whoever is of another tenant finds nothing of this one's, whatever route he takes to it. Keys of other tenants are not made
 * yet: agents, workers, metrics and the pages of the queues show what all do. All else holds already, and stays so.
 */
import { createHash } from 'node:crypto'
import { silentLogger } from '@baton/shared/node'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allRoutes } from '../../packages/coordinator/src/http/routes/index.js'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'

const apiKey = 'the-key-of-the-environment'
const stranger = `baton_${'s'.repeat(43)}`
/** What no tenant has to itself: the fleet, and what is said of the installation. */
const shared = new Set(['listAgents', 'matchAgents', 'listWorkers', 'getWorker', 'drainWorker', 'metrics'])
const bodies: Readonly<Record<string, unknown>> = {
  rerunTask: { from: ['make'] },
  replanTask: { description: 'Do something else.' },
  reassignSubtask: { agent: 'other' },
  assignReview: { assignee: 'me' },
  decideReview: { decision: 'approve', reason: 'mine now' },
  updateOrchestrator: { name: 'mine' },
  updateOrchestratorSettings: { metadata: { maxTasks: 1 } },
  setOrchestratorStatus: { status: 'paused' },
  updateWebhook: { enabled: false },
  replayWebhook: { since: '2020-01-01T00:00:00Z' },
}

let database: Database
let local: OpenLocal
const ids: Record<string, string> = { task_id: 'theirs', subtask_id: 'maker::theirs::1', name: 'made' }
beforeAll(async () => {
  database = await openPglite({ dataDir: 'memory', log: silentLogger() })
  local = await startOpenLocal(database, { apiKey, webhookNetworks: ['127.0.0.1'] })
  await local.host([
    defineAgent({
      name: 'maker',
      run: async (_, { artifacts }) => {
        await artifacts.put('made', 'secret')
        return 'secret'
      },
    }),
  ])
  await database.query({ text: `insert into tenants (id, name) values (7, 'strangers')` })
  await database.query(
    { text: `insert into api_keys (tenant_id, name, key_sha256, scope) values (7, 'stranger', decode($1, 'hex'), 'admin')` },
    [createHash('sha256').update(stranger).digest('hex')],
  )
  const { client } = local
  await client.orchestrators.create({ id: 'their-orchestrator', name: 'theirs' })
  const subtasks = [
    { name: 'make', capability: 'maker' },
    { name: 'gate', capability: 'maker', requires_approval: true },
  ]
  await client.tasks.submit({ task_id: 'theirs', title: 'theirs', subtasks, execute: true })
  await client.tasks.wait('theirs')
  ids.review = (await client.reviews.list()).reviews[0]?.id ?? ''
  ids.webhook = (await client.webhooks.create({ url: 'http://127.0.0.1:9/hook', enabled: false })).id
  ids.key = (await client.keys.create({ name: 'theirs', scope: 'read' })).id
  ids.orchestrator = 'their-orchestrator'
})
afterAll(() => local.stop())

const routes = () =>
  allRoutes({
    api: {} as never, // no route is asked here; the server that runs has its own
    log: silentLogger(),
    version: '0',
    mode: 'local',
    showReasons: false,
    access: { beginSession: async () => undefined, endSession: () => undefined },
  })
const pathOf = (path: string): string =>
  path
    .replace('/reviews/:id', `/reviews/${ids.review}`)
    .replace('/webhooks/:id', `/webhooks/${ids.webhook}`)
    .replace('/keys/:id', `/keys/${ids.key}`)
    .replace('/orchestrators/:id', `/orchestrators/${ids.orchestrator}`)
    .replace(':delivery_id', '1')
    .replace(/:(\w+)/g, (_, name: string) => ids[name] ?? name)
const ask = (method: string, path: string, key: string, body?: unknown) =>
  fetch(`${local.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
const standing = async () => {
  const { rows } = await database.query<{ all: string }>({
    text: `select concat_ws('|', (select json_agg(k order by id) from tasks k where tenant_id = 1), (select json_agg(s order by id) from subtask_states s where tenant_id = 1),
      (select json_agg(r order by id) from reviews r where tenant_id = 1), (select json_agg(o order by id) from orchestrators o where tenant_id = 1),
      (select json_agg(w order by pk) from webhooks w where tenant_id = 1), (select json_agg(k.revoked_at) from api_keys k where tenant_id = 1),
      (select count(*) from events where tenant_id = 1 and name not like 'worker.%')) as all`,
  })
  return rows[0]?.all
}

test('every route that leads to a thing answers 404 to another tenant, and changes nothing', async () => {
  const before = await standing()
  const found = routes().filter(({ id, path }) => path.includes(':') && !shared.has(id))
  expect(found.length).toBeGreaterThan(25)
  for (const { id, method, path, body } of found) {
    const answer = await ask(method, pathOf(path), stranger, body && (bodies[id] ?? {}))
    expect([id, answer.status, await answer.text()]).toEqual([id, 404, expect.not.stringContaining('secret')])
  }
  expect(await standing()).toBe(before)
})

test('what is found so is there: its own tenant is not answered 404', async () => {
  for (const { id, path } of routes().filter(({ id, path, method }) => method === 'GET' && path.includes(':') && !shared.has(id))) {
    const answer = await ask('GET', pathOf(path), apiKey)
    expect([id, answer.status]).toEqual([id, 200])
    await answer.body?.cancel()
  }
})

test("every list is empty to another tenant, and the ids of others' are free", async () => {
  for (const path of ['/tasks', '/reviews', '/webhooks', '/events', '/orchestrators']) {
    const answer = await ask('GET', path, stranger)
    const text = await answer.text()
    expect([path, answer.status, /theirs|their-orchestrator|127\.0\.0\.1/.test(text)]).toEqual([path, 200, false])
  }
  expect(await (await ask('GET', '/keys', stranger)).text()).not.toContain('theirs')
})
