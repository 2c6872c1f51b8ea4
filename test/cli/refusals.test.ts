import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { cleanUp } from '../harness/index.js'
import { baton, expectError, folder, start, up } from './baton.js'

const config = (agents: unknown[]) => JSON.stringify({ agents })
const echo = { name: 'echo', kind: 'command', command: ['node', '-e', 'process.stdin.pipe(process.stdout)'] }

describe('usage', () => {
  test.each<[string, string[]]>([
    ['no such command', ['sumbit']],
    ['no such option', ['up', '--prot', '1']],
    ['a missing argument', ['submit']],
    ['a file that is not there', ['submit', 'gone.json']],
    ['a configuration that is not there', ['up', '--config', 'gone.json']],
    ['a port that is none', ['up', '--port', 'http']],
    ['a URL that is none', ['status', '--url', 'localhost:7420']],
  ])('%s ends with 2', async (_, args) => {
    const ended = await baton(args, { cwd: folder() })
    expect(ended.code).toBe(2)
    expectError(ended, /\S/)
  })
})

describe('a coordinator', () => {
  test('that is not there ends with 3 and the remedy', async () => {
    for (const args of [['status'], ['agents', '--json'], ['execute', 'x', '--follow']]) {
      const ended = await baton(args, { env: { BATON_URL: 'http://127.0.0.1:2' } })
      expect(ended.code).toBe(3)
      expectError(
        ended,
        /^error: http:\/\/127\.0\.0\.1:2 does not answer \(connection refused\); start a coordinator there with `baton up`/,
      )
    }
  })

  test('that is another server ends with 3 and says so', async () => {
    const server = createServer((_, response) => response.writeHead(404, { 'content-type': 'text/html' }).end('<html>'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanUp(() => server.close())
    const ended = await baton(['status'], { env: { BATON_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } })
    expect(ended.code).toBe(3)
    expectError(ended, /not as a Baton coordinator does; check BATON_URL or --url/)
  })
})

describe('a configuration with a mistake', () => {
  test.each<[string, string, RegExp]>([
    [
      'baton.config.json',
      config([
        { name: 'Echo', kind: 'command', command: [] },
        { name: 'x', kind: 'comand' },
      ]),
      /^error: baton\.config\.json has \d mistakes:\n[\s\S]*agents\[0\]\.name [\s\S]*agents\[0\]\.command [\s\S]*agents\[1\]\.kind /,
    ],
    [
      'baton.config.json',
      config([echo, echo]),
      /baton\.config\.json: agents\[1\]\.name "echo" is taken by agents\[0\]; agent names must be unique/,
    ],
    ['baton.config.json', '{\n "agents": [,]\n}', /baton\.config\.json:2: /],
    ['baton.config.ts', 'export default {\n agents: nope\n}', /baton\.config\.ts:2: nope is not defined/],
    ['baton.config.ts', 'export default {\n agents: [\n', /baton\.config\.ts:\d: /],
    ['baton.config.js', 'export const agents = []', /baton\.config\.js has no default export; write `export default/],
    ['baton.config.json', config([{ name: 'm', kind: 'module', module: './gone.mjs' }]), /agent m: .*gone\.mjs cannot be loaded/],
    [
      'baton.config.json',
      config([{ name: 'm', kind: 'module', module: './gone.mjs', isolation: 'thread' }]),
      /agent m: .*gone\.mjs cannot be loaded/,
    ],
    ['baton.config.json', config([{ name: 'm', kind: 'module', module: './m.mjs', isolation: 'vm' }]), /agents\[0\]\.isolation /],
  ])('%s %#', async (name, text, says) => {
    const cwd = folder()
    writeFileSync(join(cwd, name), text)
    const ended = await baton(['up', '--port', '0', '--data', 'memory'], { cwd, env: { LOG_LEVEL: 'error' } })
    expect(ended.code).toBe(2)
    expectError(ended, says)
  })

  test('the environment lists every problem at once', async () => {
    const ended = await baton(['up'], {
      env: { BATON_PORT: '99999', BATON_LEASE_MS: 'long', DATABASE_URL: 'mysql://x', LOG_LEVEL: 'loud' },
    })
    expect(ended.code).toBe(2)
    expectError(ended, /BATON_PORT[\s\S]*BATON_LEASE_MS[\s\S]*DATABASE_URL[\s\S]*LOG_LEVEL/)
  })

  test('store URLs of which some are missing are refused by name', async () => {
    const some = await baton(['up'], { env: { REDIS_URL: 'redis://127.0.0.1:1', NATS_URL: '' } })
    expect(some.code).toBe(2)
    expectError(some, 'REDIS_URL is set, but DATABASE_URL and NATS_URL are not: set all three for fleet mode, or none for local mode')
    const two = await baton(['up'], { env: { REDIS_URL: 'redis://127.0.0.1:1', DATABASE_URL: 'postgres://127.0.0.1:1/x' } })
    expectError(two, 'DATABASE_URL and REDIS_URL are set, but NATS_URL is not')
  })

  test('another address than loopback without a key is refused', async () => {
    const ended = await baton(['up', '--host', '0.0.0.0', '--port', '0', '--data', 'memory'], {
      cwd: folder(),
      env: { LOG_LEVEL: 'error' },
    })
    expect(ended.code).toBe(2)
    expectError(ended, /BATON_API_KEY/)
  })
})

describe('two at once', () => {
  test('on one data directory: the second ends with 5 and names the first', async () => {
    const cwd = folder()
    const first = await up([], { cwd })
    const second = await baton(['up', '--port', '0'], { cwd })
    expect(second.code).toBe(5)
    expectError(second, `is in use by process ${first.pid} (since `)
    expect((await first.stop()).code).toBe(0)
    const third = await up([], { cwd })
    expect((await third.stop()).code).toBe(0)
  })

  test('on one port: the second ends with 2 and the remedy, and lets its data directory go', async () => {
    const cwd = folder()
    const first = await up(['--data', 'memory'], { cwd })
    const { port } = new URL(first.url)
    const second = await baton(['up', '--port', port, '--data', 'd'], { cwd, env: { LOG_LEVEL: 'error' } })
    expect(second.code).toBe(2)
    expectError(second, new RegExp(`^error: port ${port} of 127\\.0\\.0\\.1 is in use.* choose another.* --port`))
    expect((await (await up(['--data', 'd'], { cwd })).stop()).code).toBe(0)
  })

  test('`init` twice overwrites nothing', async () => {
    const cwd = folder()
    await baton(['init', 'shop'], { cwd })
    const again = await baton(['init', 'shop'], { cwd })
    expect(again.code).toBe(2)
    expectError(again, '`baton init --force` overwrites')
  })
})

describe('Ctrl-C', () => {
  test('ends `up` and every program that its agents run, and leaves only the data behind', async () => {
    const cwd = folder()
    const slow = `require('fs').writeFileSync('pid', String(process.pid)); setInterval(() => {}, 1000)`
    writeFileSync(join(cwd, 'baton.config.json'), config([{ name: 'slow', kind: 'command', command: ['node', '-e', slow] }]))
    const running = await up([], { cwd, env: { LOG_LEVEL: 'error' } })
    const task = { task_id: 's', title: 's', subtasks: [{ name: 's', capability: 'slow' }], execute: true }
    const answer = await fetch(`${running.url}/orchestrate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(task),
    })
    expect(answer.status).toBe(201)
    const pid = await vi.waitFor(
      () => {
        const written = Number(readFileSync(join(cwd, 'pid'), 'utf8'))
        expect(written).toBeGreaterThan(0)
        return written
      },
      { timeout: 60_000 },
    )
    running.signal('SIGINT')
    expect(await running.ended).toMatchObject({ code: 0 })
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    expect(readdirSync(cwd).sort()).toEqual(['.baton', 'baton.config.json', 'pid'])
    expect(readdirSync(join(cwd, '.baton'))).not.toContain('holder.json')
  })

  test('while it starts ends it as well', async () => {
    const running = start(['up', '--port', '0', '--data', 'memory'], {
      cwd: folder(),
      env: { DATABASE_URL: 'postgres://127.0.0.1:1/x', REDIS_URL: 'redis://127.0.0.1:1', NATS_URL: 'nats://127.0.0.1:1' },
    })
    await running.said(/waiting for PostgreSQL/)
    running.signal('SIGINT')
    expect((await running.ended).code).toBe(130)
  })
})
