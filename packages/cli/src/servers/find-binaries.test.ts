import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { dockerEngineAnswers } from './docker-engine.js'
import { findNats, findPostgres, findRedis } from './find-binaries.js'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-test-'))
  await chmod(folder, 0o755) // the user that runs Postgres must get through
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true, force: true })
})

test('a binary is taken from the PATH when it answers with a version that is new enough', async () => {
  await tool('redis-server', 'Redis server v=7.2.4 sha=00000000:0 malloc=jemalloc bits=64')
  await tool('nats-server', 'nats-server: v2.10.1')
  expect(await findRedis()).toBe(join(folder, 'redis-server'))
  expect(await findNats()).toBe(join(folder, 'nats-server'))
})

test('a binary that is too old, or something else under its name, is passed by', async () => {
  await tool('redis-server', 'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc bits=64')
  await tool('nats-server', 'hello')
  expect(await findRedis()).not.toBe(join(folder, 'redis-server'))
  expect(await findNats()).not.toBe(join(folder, 'nats-server'))
})

test('Postgres is taken only with an initdb of the same version beside it', async () => {
  await tool('postgres', 'postgres (PostgreSQL) 16.4')
  expect((await findPostgres())?.postgres).not.toBe(join(folder, 'postgres'))
  await tool('initdb', 'initdb (PostgreSQL) 15.1')
  expect((await findPostgres())?.postgres).not.toBe(join(folder, 'postgres'))
  await tool('initdb', 'initdb (PostgreSQL) 16.4')
  expect(await findPostgres()).toMatchObject({ postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') })
})

test('a folder under the name of a binary is passed by', async () => {
  await mkdir(join(folder, 'nats-server'))
  expect(await findNats()).not.toBe(join(folder, 'nats-server'))
})

test('Docker answers only when an engine is behind the socket', async () => {
  const socket = join(folder, 'engine.sock')
  const env = { DOCKER_HOST: `unix://${socket}` }
  expect(await dockerEngineAnswers(env)).toBe(false)

  const mute = createSocketServer(connection => connection.destroy())
  await new Promise<void>(resolve => mute.listen(socket, resolve))
  expect(await dockerEngineAnswers(env)).toBe(false)
  await new Promise(resolve => mute.close(resolve))

  const engine = createServer((_request, response) => response.end('OK'))
  await new Promise<void>(resolve => engine.listen(socket, resolve))
  expect(await dockerEngineAnswers(env)).toBe(true)
  await new Promise(resolve => engine.close(resolve))
})

async function tool(name: string, answer: string): Promise<void> {
  await writeFile(join(folder, name), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 })
}
