/** Artifacts in a directory, as agents make them and people download them. */
import { randomBytes } from 'node:crypto'
import { readdir, rename, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createLogger, silentLogger } from '@baton/shared/node'
import { defineAgent } from '@baton/worker'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { freshDirectory } from '../contract/databases.js'
import { eventually } from '../harness/index.js'
import { type OpenLocal, startOpenLocal } from './open-local.js'

const content = randomBytes(600_000)
const maker = defineAgent({
  name: 'maker',
  run: async (_, { artifacts }) => {
    await artifacts.put('out/data.bin', content, { mediaType: 'application/x-test' })
    await artifacts.put('note', 'a small one')
    return null
  },
})
const reader = defineAgent({
  name: 'reader',
  run: async (_, { dependencies }) => content.equals(await (await dependencies.get('make')).artifact('out/data.bin')),
})

let directory = ''
const logged: string[] = []
let database: Database
let local: OpenLocal
beforeAll(async () => {
  directory = join(await freshDirectory(), 'artifacts')
  database = await openPglite({ dataDir: 'memory', log: silentLogger() })
  const log = createLogger({ level: 'debug', destination: { write: line => logged.push(line) } })
  local = await startOpenLocal(database, { artifacts: { directory, into: 'directory' }, log })
  await local.host([maker, reader])
})
afterAll(() => local.stop())

async function make(task_id: string) {
  await local.client.tasks.submit({
    task_id,
    title: 't',
    subtasks: [
      { name: 'make', capability: 'maker' },
      { name: 'read', capability: 'reader', depends_on: ['make'] },
    ],
    execute: true,
  })
  await local.client.tasks.wait(task_id)
  return local.client.tasks.get(task_id)
}
const download = (taskId: string, headers: Record<string, string> = {}) =>
  fetch(`${local.url}/tasks/${taskId}/artifacts/maker::${taskId}::1/out%2Fdata.bin`, { headers })

test('an artifact is a file; dependents and people read it, whole and in ranges; nothing of it is in the database', async () => {
  const task = await make('one')
  expect(task.status).toBe('completed')
  expect(task.subtasks.find(({ name }) => name === 'read')?.outputs).toBe(true)
  const whole = await download('one')
  expect(content.equals(Buffer.from(await whole.arrayBuffer()))).toBe(true)
  const part = await download('one', { range: 'bytes=262140-262150' })
  expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 262140-262150/600000'])
  expect(content.subarray(262_140, 262_151).equals(Buffer.from(await part.arrayBuffer()))).toBe(true)
  expect((await download('one', { 'if-none-match': whole.headers.get('etag') ?? '' })).status).toBe(304)
  expect((await database.query({ text: 'select from chunks' })).rowCount).toBe(0)
  // Two lie in one folder when their hashes begin alike.
  const files = await readdir(join(directory, 'files'), { recursive: true, withFileTypes: true })
  expect(files.filter(entry => entry.isFile()).length).toBe(2)
  await eventually(async () => expect(await readdir(join(directory, 'incoming'))).toEqual([]))
})

test('bytes that are lost are 410, a directory that is away is 503, and both say so', async () => {
  const { sha256 = '' } = (await make('two')).artifacts.find(({ name }) => name === 'out/data.bin') ?? {}
  await rename(directory, `${directory}-away`)
  const away = await download('two')
  expect([away.status, away.headers.has('retry-after'), ((await away.json()) as { code: string }).code]).toEqual([503, true, 'unavailable'])
  const readiness = await fetch(`${local.url}/readyz`)
  expect([readiness.status, ((await readiness.json()) as { checks: object }).checks]).toEqual([
    503,
    { artifacts: 'does not answer', postgres: 'ok', redis: 'ok', nats: 'ok' },
  ])
  await rename(`${directory}-away`, directory)
  expect(content.equals(Buffer.from(await (await download('two')).arrayBuffer()))).toBe(true)
  await truncate(join(directory, 'files', sha256.slice(0, 2), sha256), 599_999)
  for (const range of ['', 'bytes=0-1']) {
    const lost = await download('two', { range })
    expect([lost.status, await lost.json()]).toEqual([
      410,
      expect.objectContaining({ code: 'artifact_lost', detail: expect.stringContaining('599999 bytes instead of 600000') }),
    ])
  }
})

test('an attempt whose artifact finds the directory away goes on when it is back', async () => {
  await rename(directory, `${directory}-away`)
  await local.client.tasks.submit({ task_id: 'three', title: 't', subtasks: [{ name: 'make', capability: 'maker' }], execute: true })
  const refused = () => logged.filter(line => line.includes('could not be committed') && line.includes('"chunk"'))
  await eventually(() => refused().length > 1)
  await rename(`${directory}-away`, directory)
  const { status, subtasks } = await local.client.tasks.wait('three')
  expect([status, subtasks[0]?.attempt]).toEqual(['completed', 1])
  expect(content.equals(Buffer.from(await (await download('three')).arrayBuffer()))).toBe(true)
})
