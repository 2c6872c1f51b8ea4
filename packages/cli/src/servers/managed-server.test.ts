import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { ask } from './answers.js'
import { type ServerProgram, startManaged } from './managed-server.js'
import { ServerLog } from './server-log.js'
import { ServerProcess } from './server-process.js'

const listens = "require('node:net').createServer((s) => s.end('hi')).listen(Number(process.argv[1]), '127.0.0.1')"
const portTaken = "console.error('bind: Address already in use'); process.exit(1)"

let scratch: string

beforeEach(async ({ onTestFinished }) => {
  scratch = await mkdtemp(join(tmpdir(), 'baton-test-'))
  vi.stubEnv('TMPDIR', scratch)
  // Registered first, so it runs after the servers of the test are stopped.
  onTestFinished(async () => {
    vi.unstubAllEnvs()
    expect(await readdir(scratch)).toEqual(expect.not.arrayContaining([expect.stringMatching(/^baton-/)]))
    await rm(scratch, { recursive: true, force: true })
  })
})

test('a start that finds its port taken moves to another one', async () => {
  const scripts = [portTaken, portTaken, listens]
  const ports: number[] = []
  const server = await startManaged(
    program(port => {
      ports.push(port)
      return scripts.shift() ?? listens
    }),
    {},
  )
  onTestFinished(() => server.stop())
  expect(ports).toHaveLength(3)
  expect(server.port).toBe(ports[2])
})

test('a start that fails says how, shows the log, and leaves no directory', async () => {
  const failing = startManaged(
    program(() => "console.log('no such option: tea'); process.exit(3)"),
    {},
  )
  await expect(failing).rejects.toThrow(/nats on port \d+ ended with code 3.*no such option: tea/s)
  expect(await readdir(scratch)).toEqual([])
})

test('a binary that cannot be executed fails the start and leaves no directory', async () => {
  const failing = startManaged({ ...program(() => listens), command: '/no/such/server' }, {})
  await expect(failing).rejects.toThrow('ENOENT')
  expect(await readdir(scratch)).toEqual([])
})

test('a server that ended by itself can be restarted, and a stopped one cannot', async () => {
  const server = await startManaged(
    program(() => listens),
    {},
  )
  onTestFinished(() => server.stop())
  process.kill(server.pid, 'SIGKILL')
  await server.restart()
  expect(await answers(server.port)).toBe(true)
  await server.stop()
  await expect(server.restart()).rejects.toThrow('stopped for good')
  await server.kill()
  server.signal('SIGSTOP')
})

test('a restart waits for its port when somebody borrowed it', async () => {
  const said: string[] = []
  const borrower = createServer()
  const server = await startManaged(
    program(() => listens),
    {
      log: line => {
        said.push(line)
        if (line.includes('EADDRINUSE')) borrower.close()
      },
    },
  )
  onTestFinished(() => server.stop())
  await server.kill()
  await new Promise<void>(resolve => borrower.listen(server.port, '127.0.0.1', resolve))
  await server.restart()
  expect(said.join('\n')).toContain('EADDRINUSE')
  expect(await answers(server.port)).toBe(true)
})

test('operations take turns', async () => {
  const server = await startManaged(
    program(() => listens),
    {},
  )
  onTestFinished(() => server.stop())
  await Promise.all([server.kill(), server.restart(), server.kill(), server.restart()])
  expect(await answers(server.port)).toBe(true)
})

test('a process that ignores the request to end is killed when the grace runs out', async () => {
  let hears = () => {}
  const listening = new Promise<void>(resolve => {
    hears = resolve
  })
  const process_ = await ServerProcess.spawn({
    command: process.execPath,
    args: ['-e', "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('deaf')"],
    cwd: '/',
    env: process.env,
    user: undefined,
    log: new ServerLog(hears),
  })
  await listening
  await process_.stop({ signal: 'SIGTERM', graceMs: 20 })
  expect(await process_.exited).toBe('was ended by SIGKILL')
})

/** A server of a few lines in place of a real one. */
function program(script: (port: number) => string): ServerProgram {
  return {
    name: 'nats',
    command: process.execPath,
    env: process.env,
    user: undefined,
    stopSignal: 'SIGTERM',
    endWith: 'KILL',
    args: ({ port }) => ['-e', script(port), String(port)],
    answers: ({ port }) => answers(port),
    url: port => `test://127.0.0.1:${port}`,
  }
}

async function answers(port: number): Promise<boolean> {
  return (await ask({ port, read: bytes => bytes.toString() })) === 'hi'
}
