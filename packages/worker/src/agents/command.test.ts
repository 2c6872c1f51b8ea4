import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BatonError, maxArtifactBytes } from '@baton/shared'
import { createLogger } from '@baton/shared/node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { AgentContext } from '../agent.js'
import { lives } from '../testing/lives.js'
import { testContext } from '../testing/test-context.js'
import { commandAgent } from './command.js'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'baton-command-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Runs a script with Node, as an agent. */
function script(text: string, input: unknown = null, context: Partial<AgentContext> = {}, env?: Record<string, string>): Promise<unknown> {
  const agent = commandAgent({ name: 'program', command: [process.execPath, '-e', text], cwd: directory, ...(env && { env }) })
  return agent.run(input, testContext(context))
}
const bytes = (hex: string) => `process.stdout.write(Buffer.from('${hex}', 'hex'))`
const write = (text: string) => `process.stdout.write(${JSON.stringify(text)})`

describe('what a program is given', () => {
  test('its input is JSON on stdin, and null when there is none', async () => {
    const echo = `let t = ''; process.stdin.on('data', d => t += d).on('end', () => process.stdout.write(t))`
    expect(await script(echo, { a: [1, 'ü', null] })).toEqual({ a: [1, 'ü', null] })
    expect(await script(echo, undefined)).toBe(null)
  })

  test('a megabyte of input arrives whole', async () => {
    const count = `let n = 0; process.stdin.on('data', d => n += d.length).on('end', () => console.log(n))`
    expect(await script(count, 'x'.repeat(1_000_000))).toBe(1_000_002)
  })

  test('the variables tell who it is, and its own settings are added', async () => {
    const show = `const { BATON_TASK_ID, BATON_SUBTASK_ID, BATON_ATTEMPT, BATON_IDEMPOTENCY_KEY, TOKEN } = process.env
      console.log(JSON.stringify([BATON_TASK_ID, BATON_SUBTASK_ID, BATON_ATTEMPT, BATON_IDEMPOTENCY_KEY, TOKEN]))`
    expect(await script(show, null, {}, { TOKEN: 'mine', BATON_ATTEMPT: '77' })).toEqual(['t1', 'echo::t1::1', '2', 'key-1', 'mine'])
  })

  test("the keys to Baton's own stores are withheld, the rest of the environment is not", async () => {
    const secrets = ['DATABASE_URL', 'REDIS_URL', 'NATS_URL', 'BATON_API_KEY']
    for (const name of secrets) vi.stubEnv(name, `secret of ${name}`)
    vi.stubEnv('SOMETHING_ELSE', 'seen')
    try {
      expect(await script('console.log(JSON.stringify(process.env))')).toSatisfy((env: Record<string, string>) => {
        expect(Object.keys(env).filter(name => secrets.includes(name))).toEqual([])
        expect(JSON.stringify(env)).not.toContain('secret of')
        return env.SOMETHING_ELSE === 'seen'
      })
    } finally {
      vi.unstubAllEnvs()
    }
  })

  test('it runs in its folder', async () => {
    expect(await script('console.log(JSON.stringify(process.cwd()))')).toMatch(/baton-command-/)
  })
})

describe('what a program writes to stdout', () => {
  test.each<[string, unknown]>([
    ['{"a":1}\n', { a: 1 }],
    ['  [1, 2]  \n\n', [1, 2]],
    ['"text"', 'text'],
    ['42', 42],
    ['-1.5e3\n', -1500],
    ['true', true],
    ['null\n', null],
    ['', null],
    [' \n ', null],
    ['done\n', 'done'],
    ['two\nlines\n', 'two\nlines'],
    ['grüße', 'grüße'],
    ['[info] done', '[info] done'],
    ['{not json}', '{not json}'],
    ['"quoted" and more', '"quoted" and more'],
    ['42 files', '42 files'],
    ['-5 degrees', '-5 degrees'],
    ['truely', 'truely'],
    ['{"a":1}\n{"b":2}\n', '{"a":1}\n{"b":2}'],
  ])('%j becomes %j', async (written, output) => {
    expect(await script(write(written))).toEqual(output)
  })

  test.each<[string, string, RegExp]>([
    ['a NUL in a string', '{"a":"x\\u0000"}', /NUL/],
    ['a number past what JSON can say', '[1e400]', /1e400/],
    ['a key twice', '{"a":1,"a":2}', /"a" stands twice/],
    ['half of a surrogate pair', '"\\ud800"', /surrogate/],
    ['an integer past 2^53', '12345678901234567890', /2\^53/],
    ['__proto__', '{"__proto__":{}}', /__proto__/],
  ])('JSON that may not be stored is refused: %s', async (_, written, reason) => {
    const failed = script(write(written))
    await expect(failed).rejects.toMatchObject({ code: 'result_invalid', retryable: false })
    await expect(failed).rejects.toThrow(reason)
  })

  test('bytes that are not UTF-8 are refused', async () => {
    await expect(script(bytes('66ff6f'))).rejects.toMatchObject({ code: 'result_invalid', message: expect.stringContaining('not UTF-8') })
  })

  test('more than what can be stored is refused, and the program is ended', async () => {
    const endless = `const chunk = Buffer.alloc(1 << 20, 120); const go = () => { while (process.stdout.write(chunk)); process.stdout.once('drain', go) }; go()`
    await expect(script(endless)).rejects.toMatchObject({
      code: 'result_too_large',
      message: `the program wrote more than ${maxArtifactBytes} bytes to stdout`,
    })
  })
})

describe('how a program ends', () => {
  test('another exit code than 0 fails, with the last words of stderr', async () => {
    await expect(script(`console.log('{"half":1}'); console.error('no disk'); process.exitCode = 3`)).rejects.toMatchObject({
      code: 'agent_exit',
      retryable: true,
      message: `the program ${process.execPath} exited with 3: no disk`,
    })
    await expect(script('process.exit(1)')).rejects.toMatchObject({ message: `the program ${process.execPath} exited with 1` })
  })

  test('only the end of a long stderr is in the failure', async () => {
    const failed = script(`process.stderr.write('a'.repeat(100_000) + 'the end', () => process.exit(1))`)
    await expect(failed).rejects.toSatisfy((error: BatonError) => error.message.endsWith('the end') && error.message.length < 3_000)
  })

  test('a signal fails', async () => {
    await expect(script(`process.kill(process.pid, 'SIGKILL')`)).rejects.toMatchObject({
      code: 'agent_exit',
      message: `the program ${process.execPath} was ended by SIGKILL`,
    })
  })

  test('a program that is not there, or is none, is named', async () => {
    const missing = commandAgent({ name: 'gone', command: ['no-such-program-anywhere'] })
    await expect(missing.run(null, testContext())).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: 'the program no-such-program-anywhere was not found',
    })
    const folder = commandAgent({ name: 'folder', command: [directory] })
    await expect(folder.run(null, testContext())).rejects.toMatchObject({
      code: 'agent_error',
      message: expect.stringContaining(`the program ${directory} could not be run`),
    })
  })

  test('a folder that is not there is named, not the program', async () => {
    const agent = commandAgent({ name: 'lost', command: [process.execPath, '-e', ''], cwd: join(directory, 'gone') })
    await expect(agent.run(null, testContext())).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: `the folder ${join(directory, 'gone')} of the program ${process.execPath} does not exist`,
    })
  })

  test('an empty command is refused when it is declared', () => {
    expect(() => commandAgent({ name: 'empty', command: [] })).toThrow('agent empty: command must name a program')
  })

  test('a program that does not read its input is no failure', async () => {
    expect(await script(`process.stdin.destroy(); console.log('{"ok":true}')`, 'x'.repeat(5_000_000))).toEqual({ ok: true })
  })

  test('what it leaves running in the background ends with it', async () => {
    const leave = `const c = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
      console.log(c.pid); process.exit(0)`
    const pid = (await script(leave)) as number
    await vi.waitFor(() => expect(lives(pid)).toBe(false))
  })
})

describe('stderr', () => {
  test('goes to the log line by line, the last one also without its end', async () => {
    const lines: string[] = []
    const log = createLogger({ destination: { write: line => void lines.push((JSON.parse(line) as { msg: string }).msg) } })
    await script(`process.stderr.write('one\\n\\ntw'); setTimeout(() => process.stderr.write('o\\nthree'), 20)`, null, { log })
    expect(lines).toEqual(['one', 'two', 'three'])
  })
})

describe('an abort', () => {
  const reason = new BatonError('attempt_timed_out', 'too slow')

  test('ends the program and rejects with its reason', async () => {
    const controller = new AbortController()
    const mark = join(directory, 'polite')
    const ready = join(directory, 'polite-ready')
    const running = script(
      `process.on('SIGTERM', () => { require('fs').writeFileSync(${JSON.stringify(mark)}, ''); process.exit(0) }); setInterval(() => {}, 1000); require('fs').writeFileSync(${JSON.stringify(ready)}, '')`,
      null,
      { signal: controller.signal },
    )
    await vi.waitFor(() => expect(existsSync(ready)).toBe(true), { timeout: 10_000 })
    controller.abort(reason)
    await expect(running).rejects.toBe(reason)
    expect(existsSync(mark)).toBe(true) // it was asked first
  })

  test('kills the whole process group, grandchildren that refuse to end included', async () => {
    const file = join(directory, 'pids')
    const stubborn = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); require('fs').appendFileSync(${JSON.stringify(file)}, process.pid + '\\n')`
    const controller = new AbortController()
    const running = script(
      `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}], { stdio: 'inherit' }); ${stubborn}`,
      null,
      { signal: controller.signal },
    )
    const pids = () => readFileSync(file, 'utf8').trim().split('\n').map(Number)
    await vi.waitFor(() => expect(pids()).toHaveLength(2), { timeout: 10_000 })
    controller.abort(reason)
    await expect(running).rejects.toBe(reason)
    await vi.waitFor(() => expect(pids().filter(lives)).toEqual([]))
  })

  test('that came before the start starts nothing that stays', async () => {
    const file = join(directory, 'never')
    await expect(
      script(`setTimeout(() => require('fs').writeFileSync(${JSON.stringify(file)}, ''), 5000)`, null, {
        signal: AbortSignal.abort(reason),
      }),
    ).rejects.toBe(reason)
    expect(existsSync(file)).toBe(false)
  })
})

test('with `stream` the lines of stderr are streamed until they may not be any more, which is no failure', async () => {
  const said: unknown[] = []
  const context = testContext({
    // Refused where it is said, as the context does it.
    stream: chunk => {
      if (said.length === 2) throw new BatonError('result_too_large', 'enough')
      said.push(chunk)
      return Promise.resolve()
    },
  })
  const text = `for (const line of ['one', 'two\\0', 'three', 'four']) console.error(line); console.log(5)`
  const agent = commandAgent({ name: 'program', command: [process.execPath, '-e', text], stream: true })
  expect(await agent.run(null, context)).toBe(5)
  expect(said).toEqual(['one', 'two\ufffd'])
})
