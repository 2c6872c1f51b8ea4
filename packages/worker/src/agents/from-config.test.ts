import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { configSchema } from '@baton/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../agent.js'
import { testContext } from '../testing/test-context.js'
import { agentsFromConfig } from './from-config.js'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'baton-config-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const from = (agent: object, load?: (path: string) => Promise<unknown>) =>
  agentsFromConfig(configSchema.parse({ agents: [agent] }), directory, load).then(([only]) => only)

test('no configuration makes no agents', async () => {
  expect(await agentsFromConfig({}, directory)).toEqual([])
})

test('a command runs in the folder of the configuration, or in its own below it', async () => {
  writeFileSync(join(directory, 'where.mjs'), 'console.log(JSON.stringify(process.cwd()))')
  const agent = await from({ name: 'where', kind: 'command', command: [process.execPath, 'where.mjs'] })
  expect(agent).toMatchObject({ name: 'where', kind: 'command', capabilities: ['where'], concurrency: 1, slaMs: null })
  expect(await agent?.run(null, testContext())).toMatch(/baton-config-/)
  const elsewhere = await from({ name: 'where', kind: 'command', command: [process.execPath, '-e', ''], cwd: 'gone' })
  await expect(elsewhere?.run(null, testContext())).rejects.toThrow(join(directory, 'gone'))
})

test('every setting of an agent arrives', async () => {
  const agent = await from({
    name: 'all',
    kind: 'http',
    url: 'http://127.0.0.1:1/x',
    description: 'says',
    domain: 'shop',
    capabilities: ['a', 'b', 'a'],
    skills: ['s'],
    concurrency: 7,
    sla: '1m30s',
    queue_wait: '5m',
    deadline: '2h',
    lease: '20s',
  })
  expect(agent).toMatchObject({
    kind: 'http',
    description: 'says',
    domain: 'shop',
    capabilities: ['a', 'b'],
    skills: ['s'],
    concurrency: 7,
    slaMs: 90_000,
    queueWaitMs: 300_000,
    deadlineMs: 7_200_000,
    leaseMs: 20_000,
  })
  const program = { name: 'p', kind: 'command', command: ['true'] } as const
  expect(await from({ ...program, queue_wait: '5m', deadline: '2h', lease: '20s' })).toMatchObject({
    queueWaitMs: 300_000,
    deadlineMs: 7_200_000,
    leaseMs: 20_000,
  })
  expect(await from(program)).toMatchObject({ queueWaitMs: null, deadlineMs: null, leaseMs: null })
})

test('a module is loaded relative to the configuration, and the configuration wins over what it declares', async () => {
  const declared = defineAgent({
    name: 'theirs',
    description: 'theirs',
    capabilities: ['review'],
    concurrency: 2,
    sla: '10s',
    queueWait: '1m',
    lease: '30s',
    input: z.object({ n: z.number() }),
    run: ({ n }) => n + 1,
  })
  let asked = ''
  const load = async (path: string) => {
    asked = path
    return { default: declared }
  }
  const plain = await from({ name: 'mine', kind: 'module', module: './agents/review.js' }, load)
  expect(asked).toBe(resolve(directory, 'agents/review.js'))
  expect(plain).toMatchObject({
    name: 'mine',
    kind: 'module',
    description: 'theirs',
    capabilities: ['review'],
    concurrency: 2,
    slaMs: 10_000,
    queueWaitMs: 60_000,
    leaseMs: 30_000,
    deadlineMs: null,
  })
  expect(plain?.input).toBe(declared.input)
  expect(await plain?.run({ n: 1 }, testContext())).toBe(2)
  const changed = await from(
    { name: 'mine', kind: 'module', module: 'x.js', capabilities: ['c'], concurrency: 9, sla: '1h', queue_wait: '2m', isolation: 'inline' },
    load,
  )
  expect(changed).toMatchObject({ capabilities: ['c'], concurrency: 9, slaMs: 3_600_000, queueWaitMs: 120_000, leaseMs: 30_000 })
})

test('a module on the disk works', async () => {
  writeFileSync(
    join(directory, 'agent.mjs'),
    `export default { ...{ name: 'x', kind: 'module', description: '', domain: null, capabilities: ['x'], skills: [], concurrency: 1, slaMs: null, input: null, output: null }, run: async () => 'here' }`,
  )
  const agent = await from({ name: 'x', kind: 'module', module: 'agent.mjs' })
  expect(await agent?.run(null, testContext())).toBe('here')
})

test('a module that exports something else is named', async () => {
  for (const loaded of [{ default: { run: 1 } }, { default: () => 1 }, {}, { default: null }])
    await expect(from({ name: 'x', kind: 'module', module: 'x.js' }, async () => loaded)).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: `agent x: the default export of ${resolve(directory, 'x.js')} is not an agent made by defineAgent, and none that it exports is named so`,
    })
})

test('a module that cannot be loaded is named, with the reason', async () => {
  await expect(from({ name: 'x', kind: 'module', module: 'gone.mjs' })).rejects.toMatchObject({
    code: 'invalid_configuration',
    message: expect.stringMatching(/^agent x: .*gone\.mjs cannot be loaded: Cannot find module/),
  })
  writeFileSync(join(directory, 'broken.mjs'), 'throw new Error("not today")')
  await expect(from({ name: 'x', kind: 'module', module: 'broken.mjs' })).rejects.toMatchObject({
    code: 'invalid_configuration',
    message: `agent x: ${join(directory, 'broken.mjs')} cannot be loaded: not today`,
  })
})

test('its isolation is that of the module, unless the configuration says otherwise; its source is what the module exports', async () => {
  const module = pathToFileURL(join(directory, 'anything.mjs')).href
  const declared = defineAgent({ name: 'theirs', isolation: 'thread', module, run: () => 1 })
  const path = join(directory, 'x.js')
  const load = async () => ({ default: declared })
  const source = { file: path, export: 'default', name: 'theirs' }
  expect(await from({ name: 'mine', kind: 'module', module: 'x.js' }, load)).toMatchObject({ isolation: 'thread', source })
  expect(await from({ name: 'mine', kind: 'module', module: 'x.js', isolation: 'process' }, load)).toMatchObject({
    isolation: 'process',
    source,
  })
})

test('of a module that exports several, the one of that name is taken', async () => {
  const agents = ['one', 'two'].map(name => defineAgent({ name, description: `the ${name}`, run: () => name }))
  const agent = await from({ name: 'two', kind: 'module', module: 'x.js', isolation: 'thread' }, async () => ({ agents }))
  expect(agent).toMatchObject({ description: 'the two', source: { file: join(directory, 'x.js'), export: null, name: 'two' } })
})
