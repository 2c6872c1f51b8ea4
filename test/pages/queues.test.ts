/** `/admin/queues` of a running fleet: who may see it, what it shows, what its buttons do. */
import { existsSync } from 'node:fs'
import { createClient } from '@baton/client'
import { createEnqueuer } from '@baton/client/enqueue'
import { type Coordinator, startCoordinator } from '@baton/coordinator'
import { startLocal } from '@baton/local'
import { silentLogger } from '@baton/shared/node'
import { defineAgent, type Host, startWorker } from '@baton/worker'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { queueBoard } from '../../packages/coordinator/src/admin/queue-board.js'
import { cleanUp, eventually, freshDatabase, freshNamespace, servers } from '../harness/index.js'

const apiKey = 'the-key-of-the-queues-page'
const bearer = { authorization: `Bearer ${apiKey}` }
const markup = '<img src=x onerror="document.title=1">'
const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => existsSync(path))

let coordinator: Coordinator
let worker: Host
let letGo: () => void = () => undefined
let runs = 0

beforeAll(async () => {
  const { redisUrl, natsUrl } = await servers()
  const namespace = await freshNamespace()
  const log = silentLogger()
  coordinator = await startCoordinator({
    mode: { kind: 'fleet', databaseUrl: await freshDatabase(), redisUrl, natsUrl },
    host: '127.0.0.1',
    port: 0,
    apiKey,
    namespace,
    leaseMs: 6_000,
    heartbeatMs: 2_000,
    log,
  })
  const held = new Promise<void>(resolve => {
    letGo = resolve
  })
  const hold = defineAgent({
    name: 'hold',
    concurrency: 1,
    run: async () => {
      runs++
      await held
      return null
    },
  })
  worker = await startWorker({ agents: [hold], redisUrl, natsUrl, namespace, log, handleSignals: false })
  const subtasks = ['first', 'second'].map(name => ({ name, capability: 'hold', input: { secret: 'never in Redis' } }))
  await createClient({ url: coordinator.url, apiKey }).tasks.submit({ task_id: 'shown-1', title: 'held', subtasks, execute: true })
  const enqueuer = createEnqueuer({ redisUrl, namespace })
  await enqueuer.enqueue({ task_id: markup, title: markup, description: '<script>document.title=2</script>' })
  await enqueuer.close()
  await eventually(() => runs === 1, { timeoutMs: 20_000 })
})
afterAll(async () => {
  letGo()
  await worker?.stop()
  await coordinator?.stop()
})

const ask = (path: string, init: RequestInit = {}) => fetch(`${coordinator.url}/admin/queues${path}`, { redirect: 'manual', ...init })
const put = (path: string, headers: Record<string, string>) => ask(path, { method: 'PUT', headers })

async function signedIn(): Promise<string> {
  const answer = await fetch(`${coordinator.url}/admin/session`, { method: 'POST', headers: bearer })
  expect(answer.status).toBe(204)
  const cookie = answer.headers.get('set-cookie') ?? ''
  expect(cookie).toMatch(/; Path=\/admin; Max-Age=\d+; HttpOnly; SameSite=Strict$/)
  expect(cookie).not.toContain(apiKey)
  return cookie.split(';')[0] ?? ''
}

describe('who may see it', () => {
  test('without a key it is 401: a problem for programs, a form for people', async () => {
    for (const path of ['', '/', '/api/queues', '/static/js/main.js', '/else'])
      expect([path, (await ask(path)).status]).toEqual([path, 401])
    const page = await ask('', { headers: { accept: 'text/html' } })
    expect([page.status, page.headers.get('content-type')]).toEqual([401, 'text/html; charset=utf-8'])
    expect(await page.text()).toContain('API key')
    expect((await put('/api/queues/baton-tasks/retry/failed', {})).status).toBe(401)
    expect((await fetch(`${coordinator.url}/admin/session`, { method: 'POST', headers: { authorization: 'Bearer wrong' } })).status).toBe(
      401,
    )
  })

  test('with the key, or the cookie that it is changed for, it is there; the cookie opens nothing else', async () => {
    const cookie = await signedIn()
    for (const headers of [bearer, { cookie }]) {
      expect((await ask('', { headers })).status).toBe(200)
      expect((await ask('/api/queues', { headers })).status).toBe(200)
    }
    expect((await fetch(`${coordinator.url}/tasks`, { headers: { cookie } })).status).toBe(401)
    expect((await fetch(`${coordinator.url}/admin/session`, { method: 'POST', headers: { cookie } })).status).toBe(401)
  })

  test('a cookie that was changed, or has run out, is none', async () => {
    const cookie = await signedIn()
    const [name = '', value = ''] = cookie.split('=')
    const [until = '', id = '', signature = ''] = value.split('.')
    for (const forged of [
      `${Number(until) + 1}.${id}.${signature}`,
      `1.${id}.${signature}`,
      `${until}.${id}.${'A'.repeat(43)}`,
      `${until}.key-other.${signature}`,
      `${until}.${signature}`,
      `${until}.${id}.`,
      '',
    ])
      expect((await ask('', { headers: { cookie: `${name}=${forged}` } })).status).toBe(401)
  })

  test('a key that may read looks, and its buttons are refused; a revoked one, and its cookie, let nobody in', async () => {
    const { keys } = createClient({ url: coordinator.url, apiKey })
    const { id, secret } = await keys.create({ name: 'looks only', scope: 'read' })
    const authorization = `Bearer ${secret}`
    const session = await fetch(`${coordinator.url}/admin/session`, { method: 'POST', headers: { authorization } })
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? ''
    for (const headers of [{ authorization }, { cookie }] as Record<string, string>[]) {
      expect((await ask('/api/queues', { headers })).status).toBe(200)
      const refused = await put('/api/queues/baton-tasks/clean/completed', headers)
      expect([refused.status, ((await refused.json()) as { detail: string }).detail]).toEqual([403, expect.stringContaining('operate')])
    }
    await keys.revoke(id)
    for (const headers of [{ authorization }, { cookie }] as Record<string, string>[]) expect((await ask('', { headers })).status).toBe(401)
  })

  test('what changes something is refused from another site, whatever it shows', async () => {
    const cookie = await signedIn()
    const path = '/api/queues/baton-tasks/clean/completed'
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ]
    for (const headers of foreign) expect((await put(path, { cookie, ...headers })).status).toBe(403)
    expect((await put(path, { cookie, origin: coordinator.url, 'sec-fetch-site': 'same-origin' })).status).toBe(200)
  })
})

interface Shown {
  readonly queues: {
    name: string
    displayName: string
    counts: Record<string, number>
    jobs: { id: string; name: string; data: unknown }[]
  }[]
}

describe('what it shows and does', () => {
  const shown = async (queue: string, status: string) => {
    const answer = await ask(`/api/queues?activeQueue=${queue}&status=${status}&page=1&jobsPerPage=10`, { headers: bearer })
    const { queues } = (await answer.json()) as Shown
    return { queues, jobs: queues.find(each => each.name === queue)?.jobs ?? [] }
  }

  test('every queue of live workers, and jobs by the names of their subtasks, without their inputs', async () => {
    const { queues, jobs } = await shown('shared.c.hold', 'latest')
    expect(queues.map(queue => queue.displayName || queue.name).sort()).toEqual(['agent hold', 'baton-tasks', 'hold'])
    expect(jobs.map(job => job.name).sort()).toEqual(['shown-1 / first #1', 'shown-1 / second #1'])
    expect(JSON.stringify(jobs)).not.toContain('never in Redis')
  })

  test('what Baton decides is refused; buttons that are there change nothing of the task', async () => {
    const { jobs } = await shown('shared.c.hold', 'waiting')
    const [waiting] = jobs
    if (!waiting) throw new Error('the second subtask does not wait')
    const queue = '/api/queues/shared.c.hold'
    const refused = ['/pause', '/empty', '/obliterate', '/concurrency', '/rate-limit']
    for (const path of refused) expect([path, (await put(`${queue}${path}`, bearer)).status]).toEqual([path, 403])
    const json = { ...bearer, 'content-type': 'application/json' }
    expect((await ask(`${queue}/add`, { method: 'POST', headers: json, body: '{"name":"x","data":{"v":1,"s":"1","a":1}}' })).status).toBe(
      403,
    )
    expect((await ask(`${queue}/${waiting.id}/update-data`, { method: 'PATCH', headers: json, body: '{}' })).status).toBe(403)
    expect((await put('/api/queues/pause', bearer)).status).toBe(403)
    // A waiting job that is taken away is rung again.
    expect((await put(`${queue}/${waiting.id}/clean`, bearer)).status).toBe(204)
    await put(`${queue}/promote`, bearer)
    await put(`${queue}/retry/failed`, bearer)
    await eventually(async () => (await shown('shared.c.hold', 'waiting')).jobs.map(job => job.name).includes('shown-1 / second #1'), {
      timeoutMs: 20_000,
    })
    expect(runs).toBe(1)
  })

  test('only its own files', async () => {
    const headers = bearer
    const page = await (await ask('', { headers })).text()
    const [, script = ''] = /src="(static\/js\/main[^"]+)"/.exec(page) ?? []
    expect((await ask(`/${script}`, { headers })).headers.get('content-type')).toContain('javascript')
    expect(page).not.toMatch(/(?:src|href)="https?:/)
    for (const path of ['/static/../index.ejs', '/static/%2e%2e/index.ejs', '/static/js', '/static/'])
      expect([path, (await ask(path, { headers })).status]).toEqual([path, 404])
  })
})

test('while Redis is away the board says so, and soon', async () => {
  const board = queueBoard({ url: 'redis://127.0.0.1:1', namespace: 'nowhere', log: silentLogger() })({
    queues: () => [],
    names: async () => [],
  })
  cleanUp(() => board.close())
  const asked = board.answer({ method: 'get', path: '/api/queues', query: {}, body: undefined })
  await expect(asked).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('Redis') })
})

test('in local mode the page says that there is no BullMQ, and shows the counts', async () => {
  const local = await startLocal({ agents: [defineAgent({ name: 'echo', concurrency: 7, run: input => input })] })
  onTestFinished(() => local.stop())
  await eventually(async () => {
    const text = await (await fetch(`${local.url}/admin/queues`)).text()
    expect(text).toContain('there is no BullMQ')
    expect(text).toContain('<tr><td>echo</td><td>0</td><td>0</td><td>7</td></tr>')
  })
  expect((await fetch(`${local.url}/admin/queues/api/queues`)).status).toBe(404)
  expect((await fetch(`${local.url}/admin/queues`, { headers: { origin: 'https://evil.example' } })).status).toBe(403)
})

test.skipIf(browser === undefined)(
  `in a browser it asks for the key, then shows the jobs${browser ? '' : ' (skipped: there is no Chromium here)'}`,
  async () => {
    const chrome = await chromium.launch({
      executablePath: browser ?? '',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    })
    onTestFinished(() => chrome.close())
    const page = await chrome.newPage()
    const problems: string[] = []
    page.on('pageerror', error => problems.push(error.message))
    page.on('console', message => {
      if (message.type() === 'error' && /Content Security Policy/.test(message.text())) problems.push(message.text())
    })
    await page.goto(`${coordinator.url}/admin/queues`)
    await page.getByLabel('API key').fill('not-the-key-of-this-page')
    await page.getByRole('button').click()
    await page.getByText('is not valid').waitFor()
    await page.getByLabel('API key').fill(apiKey)
    await page.getByRole('button').click()
    await page.getByText('hold', { exact: true }).first().waitFor()
    await page.goto(`${coordinator.url}/admin/queues/queue/shared.c.hold`)
    await page.getByText('shown-1 / first #1').first().waitFor()
    await page.getByText('shown-1 / second #1').first().waitFor()
    // Markup of a producer stays text.
    await page.goto(`${coordinator.url}/admin/queues/queue/baton-tasks?status=failed`)
    await page.getByText(markup).first().waitFor()
    expect(await page.locator('img[src="x"]').count()).toBe(0)
    expect(await page.title()).toContain('Baton')
    expect(problems).toEqual([])
  },
)
