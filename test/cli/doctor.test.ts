import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { baton, folder } from './baton.js'

test('where nothing is well, doctor says each thing with its remedy', async () => {
  const cwd = folder()
  writeFileSync(join(cwd, 'baton.config.json'), '{"agents":[{"name":"Echo","kind":"command","command":["x"]}]}')
  const env = {
    BATON_URL: 'http://127.0.0.1:2',
    DATABASE_URL: 'postgres://me:hush@127.0.0.1:1/x',
    REDIS_URL: 'redis://:hush@127.0.0.1:1',
    NATS_URL: 'nats://127.0.0.1:1',
  }
  const { code, out, err } = await baton(['doctor'], { cwd, env })
  expect({ code, err }).toEqual({ code: 2, err: '' })
  expect(out).toMatch(/^✔ node /m)
  expect(out).toMatch(/^✘ configuration .*agents\[0\]\.name/m)
  for (const name of ['postgres', 'redis', 'nats', 'coordinator'])
    expect(out).toMatch(new RegExp(`^✘ ${name} .*127\\.0\\.0\\.1:[12].*\\n +→ `, 'm'))
  expect(out).not.toContain('hush')
  const json = await baton(['doctor', '--json'], { cwd, env })
  expect(JSON.parse(json.out)).toMatchObject({
    checks: expect.arrayContaining([expect.objectContaining({ name: 'redis', state: 'failed' })]),
  })
})

test('where only a server is away, doctor ends with 3', async () => {
  const { code, out } = await baton(['doctor'], { cwd: folder(), env: { BATON_URL: 'http://127.0.0.1:2' } })
  expect(code).toBe(3)
  expect(out).toMatch(/^! configuration .*\n +→ `baton init` writes one$/m)
  expect(out).toMatch(/^✘ coordinator .*connection refused/m)
})

test('an environment with problems is named, and nothing that depends on it is looked at', async () => {
  const { code, out } = await baton(['doctor'], { cwd: folder(), env: { BATON_PORT: 'x', NATS_URL: 'http://x' } })
  expect(code).toBe(2)
  expect(out).toMatch(/^✘ environment .*BATON_PORT.*NATS_URL/m)
  expect(out).not.toMatch(/coordinator/)
})
