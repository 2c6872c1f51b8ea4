/** API keys as people make, use and revoke them, and how coordinators come to know of each other's. */
import { createHash } from 'node:crypto'
import { createClient } from '@baton/client'
import type { EventView, KeyScope } from '@baton/shared'
import { createLogger, silentLogger } from '@baton/shared/node'
import { ManualClock } from '@baton/shared/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KeyRing } from '../../packages/coordinator/src/commands/key-ring.js'
import { createKeys } from '../../packages/coordinator/src/commands/keys.js'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { eventually } from '../harness/index.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'

const apiKey = 'the-key-of-the-environment'
const logged: string[] = []
let database: Database
let local: OpenLocal
beforeAll(async () => {
  database = await openPglite({ dataDir: 'memory', log: silentLogger() })
  const log = createLogger({ level: 'trace', destination: { write: line => logged.push(line) } })
  local = await startOpenLocal(database, { apiKey, log })
})
afterAll(() => local.stop())

const as = (key: string) => createClient({ url: local.url, apiKey: key, retry: false })
const create = (name: string, scope: KeyScope) => local.client.keys.create({ name, scope })
const status = async (path: string, key: string, init: RequestInit = {}) =>
  (await fetch(`${local.url}${path}`, { ...init, headers: { authorization: `Bearer ${key}` } })).status

describe('a key', () => {
  test('is shown once, does what its scope allows under its name, and nothing more', async () => {
    const made = await create('ci', 'submit')
    expect(made).toMatchObject({
      name: 'ci',
      scope: 'submit',
      tenant: 'default',
      created_by: 'api_key',
      revoked_at: null,
      last_used_at: null,
    })
    const ci = as(made.secret)
    await ci.tasks.submit({ task_id: 'by-ci', title: 't', subtasks: [{ name: 'a', capability: 'none' }] })
    expect((await ci.tasks.get('by-ci')).status).toBe('planned')
    await expect(ci.tasks.cancel('by-ci')).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/ci .*submit.*operate/),
    })
    await expect(ci.keys.list()).rejects.toMatchObject({ code: 'forbidden' })
    const operator = await create('ops', 'operate')
    await as(operator.secret).tasks.cancel('by-ci')
    const { events } = await local.client.events.list({ names: ['task.cancelled'] })
    expect(events).toMatchObject([{ data: { by: 'ops' } }])
    const { keys } = await local.client.keys.list()
    expect(keys.map(({ name }) => name)).toEqual(['ci', 'ops'])
    expect(JSON.stringify(keys)).not.toContain(made.secret)
    const { rows } = await database.query<{ text: string }>({ text: 'select k::text as text from api_keys k' })
    expect(rows.map(({ text }) => text).join()).not.toContain(made.secret)
  })

  test('that is revoked is refused at once, a second time too, and stays in the list of all', async () => {
    const { id, secret } = await create('short', 'read')
    expect(await status('/tasks', secret)).toBe(200)
    const revoked = await local.client.keys.revoke(id)
    expect(revoked.revoked_at).toEqual(expect.any(String))
    expect(await status('/tasks', secret)).toBe(401)
    expect(await local.client.keys.revoke(id)).toEqual(revoked)
    await expect(local.client.keys.revoke('key-none')).rejects.toMatchObject({ code: 'key_not_found' })
    expect((await local.client.keys.list()).keys.map(key => key.id)).not.toContain(id)
    expect((await local.client.keys.list({ revoked: true })).keys.map(key => key.id)).toContain(id)
    expect((await create('short', 'read')).id).not.toBe(id) // the name is free again
  })

  test('is refused when it is not acceptable: a name that stands for somebody else, one in force, another tenant', async () => {
    await create('taken', 'read')
    await expect(create('taken', 'read')).rejects.toMatchObject({ code: 'state_conflict' })
    for (const body of [
      { name: 'api_key', scope: 'read' },
      { name: 'local', scope: 'read' },
      { name: '', scope: 'read' },
      { name: 'a\nb', scope: 'read' },
      { name: 'x', scope: 'root' },
      { name: 'x' },
      { name: 'x', scope: 'read', tenant: 'other' },
      { name: 'x', scope: 'read', key: 'of my own' },
    ]) {
      const answer = await fetch(`${local.url}/keys`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      expect([body, answer.status]).toEqual([body, 400])
    }
  })

  test('and what was done with it are in the history, and no key is in the log', async () => {
    const admin = await create('an admin', 'admin')
    const { id, secret } = await as(admin.secret).keys.create({ name: 'made by another', scope: 'worker' })
    await as(admin.secret).keys.revoke(id)
    const events: EventView[] = (await local.client.events.list({ names: ['key.*'], limit: 1_000 })).events
    const told = { key_id: id, name: 'made by another', scope: 'worker', by: 'an admin' }
    expect(events.map(({ name, data }) => ({ name, data }))).toEqual(
      expect.arrayContaining([
        { name: 'key.created', data: told },
        { name: 'key.revoked', data: told },
      ]),
    )
    await status(`/tasks?api_key=${secret}`, secret)
    await status(`/tasks/${secret}`, admin.secret)
    expect(logged.join()).not.toContain(secret)
    expect(logged.join()).not.toContain(admin.secret)
  })

  test('that is revoked ends the streams that it follows', async () => {
    const { id, secret } = await create('follower', 'read')
    const answer = await fetch(`${local.url}/events`, { headers: { authorization: `Bearer ${secret}`, accept: 'text/event-stream' } })
    expect(answer.status).toBe(200)
    const reader = answer.body?.getReader()
    await reader?.read()
    await local.client.keys.revoke(id)
    await expect(
      (async () => {
        while (!(await reader?.read())?.done) {
          // What was sent before.
        }
      })(),
    ).rejects.toThrow()
    expect(await status('/events', secret)).toBe(401)
  })
})

test('without a key of its own a coordinator makes none: it would keep nobody out', async () => {
  const keys = createKeys({ database, needed: false, onChange: async () => undefined })
  await expect(keys.createKey({ tenantId: 1, actor: 'local' }, { name: 'x', scope: 'read' })).rejects.toMatchObject({
    code: 'state_conflict',
    message: expect.stringContaining('BATON_API_KEY'),
  })
})

describe('two coordinators', () => {
  const caller = { tenantId: 1, actor: 'test' }
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  let questions = 0
  let away = false
  const counted: Database = {
    query: (statement, params) => {
      questions++
      return away ? Promise.reject(new Error('Connection terminated')) : database.query(statement, params)
    },
    transaction: work => database.transaction(work),
    script: text => database.script(text),
    listen: (channel, onNotify) => database.listen(channel, onNotify),
    close: async () => undefined,
  }
  const clock = new ManualClock()
  const here = new KeyRing({ database, clock, log: silentLogger() })
  const there = new KeyRing({ database: counted, clock, log: silentLogger() })
  const create = async (name: string) => {
    const keys = createKeys({ database, needed: true, onChange: () => here.changed() })
    const { id, secret } = await keys.createKey(caller, { name, scope: 'read' })
    return { id, hash: sha256(secret), revoke: () => keys.revokeKey(caller, id) }
  }

  test('know of a new key at once, and of a revoked one within seconds', async () => {
    const key = await create('shared')
    clock.advance(250)
    expect(await there.withHash(key.hash)).toMatchObject({ id: key.id, name: 'shared', scope: 'read', tenantId: 1 })
    await key.revoke()
    expect(await there.withHash(key.hash)).toBeDefined()
    clock.advance(3_000)
    expect(await there.withHash(key.hash)).toBeUndefined()
    expect(await there.withId(key.id)).toBeUndefined()
  })

  test('ask Postgres a few times a second, however many wrong keys come', async () => {
    questions = 0
    for (let n = 0; n < 2_000; n++) {
      if (n % 500 === 0) clock.advance(250)
      expect(await there.withHash(sha256(`wrong ${n}`))).toBeUndefined()
    }
    expect(questions).toBe(4)
  })

  test('go by what they knew while Postgres is away, and cannot tell of keys that they do not know', async () => {
    const key = await create('known')
    clock.advance(1_000)
    expect(await there.withHash(key.hash)).toBeDefined()
    away = true
    clock.advance(60_000)
    expect(await there.withHash(key.hash)).toBeDefined()
    await expect(there.withHash(sha256('new'))).rejects.toMatchObject({ code: 'unavailable' })
    await key.revoke()
    away = false
    expect(await there.withHash(key.hash)).toBeUndefined()
  })

  test('note when a key was used last, to the minute', async () => {
    const key = await create('used')
    clock.advance(60_000)
    await there.withHash(key.hash)
    clock.advance(60_000)
    await there.withHash(key.hash)
    await eventually(async () => {
      const { rows } = await database.query<{ last: Date | null }>(
        { text: 'select last_used_at as last from api_keys where public_id = $1' },
        [key.id],
      )
      expect(rows[0]?.last?.getTime()).toBeGreaterThan(0)
      expect((rows[0]?.last?.getTime() ?? 1) % 60_000).toBe(0)
    })
  })
})
