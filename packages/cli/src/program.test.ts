import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FakeAnswer, type FakeRequest, type FakeServer, fakeSubtask, fakeTask, problem, startFakeServer } from '@baton/client/testing'
import { BatonError, errorCodes, type TaskStatus, taskStatuses } from '@baton/shared'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readArguments } from './commands/demo.js'
import { callerDirectory, childEnvironment } from './env.js'
import { exitCodeOfError, exitCodeOfStatus } from './exit-codes.js'
import { run } from './program.js'
import { type TestIoOptions, testIo } from './testing/test-io.js'

let server: FakeServer | undefined
let cwd: string
beforeEach(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), 'baton-cli-')))
})
afterEach(async () => {
  await server?.stop()
  server = undefined
  await rm(cwd, { recursive: true, force: true })
})

async function serve(answer: (request: FakeRequest, n: number) => FakeAnswer): Promise<FakeServer> {
  server = await startFakeServer(answer)
  return server
}

async function baton(argv: readonly string[], options: TestIoOptions = {}) {
  const io = testIo({ cwd, env: server ? { BATON_URL: server.url } : {}, ...options })
  const code = await run(argv, io)
  return { code, out: io.out(), err: io.err() }
}

const task = (status: TaskStatus) =>
  fakeTask({ status, subtasks: [fakeSubtask('build', { state: status === 'completed' ? 'completed' : 'pending' })] })

describe('how it is used', () => {
  test('help goes to stdout and is no failure', async () => {
    for (const argv of [['--help'], ['submit', '--help'], ['help', 'up'], ['--version']]) {
      const { code, out, err } = await baton(argv)
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out.length).toBeGreaterThan(3)
    }
  })

  test.each<[string, string[]]>([
    ['an unknown command', ['sumbit']],
    ['an unknown option', ['status', '--colour']],
    ['a missing argument', ['submit']],
    ['a surplus argument', ['agents', 'x']],
    ['a number that is none', ['status', '--limit', 'all']],
    ['a status that is none', ['status', '--status', 'done']],
    ['watching without a task', ['status', '--watch']],
    ['options that exclude each other', ['submit', '-', '--execute', '--dry-run']],
    ['a file that is not there', ['submit', 'gone.json']],
    ['a URL that is none', ['agents', '--url', 'localhost']],
    ['a directory that is none', ['demo', 'gone']],
    ['a surplus directory', ['demo', 'a', 'b']],
    ['a configuration that is not there', ['up', '--config', 'gone.json']],
    ['a port that is none', ['up', '--port', 'http']],
    ['a worker without servers', ['worker']],
    ['an environment with problems', ['agents']],
  ])('%s ends with 2 and says so on stderr', async (what, argv) => {
    const { code, out, err } = await baton(argv, what.startsWith('an environment') ? { env: { BATON_PORT: '-1' } } : {})
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(/^error: /)
    expect(err).not.toContain('    at ')
  })

  test('nobody there ends with 3 and says what to do', async () => {
    const gone = await serve(() => 'break')
    await gone.stop()
    const { code, err } = await baton(['agents'])
    expect(code).toBe(3)
    expect(err).toBe(
      `error: ${gone.url} does not answer (connection refused); start a coordinator there with \`baton up\`, or name another with BATON_URL or --url\n`,
    )
  })

  test('the schema of the configuration is JSON Schema', async () => {
    const { out } = await baton(['config', 'schema'])
    expect(JSON.parse(out)).toMatchObject({
      $schema: expect.stringContaining('json-schema.org'),
      title: 'baton.config',
      properties: { agents: { type: 'array' }, playbooks: { type: 'array' } },
    })
  })
})

describe('exit codes', () => {
  test('every status has one', () => {
    const expected = { planned: 0, running: 0, paused: 0, completed: 0, failed: 1, cancelled: 1, needs_review: 4, blocked: 4 }
    expect(Object.fromEntries(taskStatuses.map(status => [status, exitCodeOfStatus(status)]))).toEqual(expected)
  })

  test('errors are usage, unreachable, somebody needed or conflict', () => {
    const of = (code: (typeof errorCodes)[number]) => exitCodeOfError(new BatonError(code, 'x'))
    expect([of('invalid_request'), of('invalid_configuration'), of('task_not_found'), of('unauthorized')]).toEqual([2, 2, 2, 2])
    expect([of('unreachable'), of('unavailable')]).toEqual([3, 3])
    expect(of('agent_unavailable')).toBe(4)
    expect([of('task_conflict'), of('state_conflict'), of('data_directory_locked')]).toEqual([5, 5, 5])
    for (const code of errorCodes) expect([1, 2, 3, 4, 5]).toContain(of(code))
    expect(exitCodeOfError(new Error('x'))).toBe(1)
  })
})

describe('status', () => {
  test.each<[TaskStatus, number]>([
    ['completed', 0],
    ['running', 0],
    ['failed', 1],
    ['blocked', 4],
    ['needs_review', 4],
  ])('of a task that is %s ends with %i', async (status, expected) => {
    await serve(() => ({ body: task(status) }))
    const { code, out } = await baton(['status', 'feature-7'])
    expect(code).toBe(expected)
    expect(out).toContain(`feature-7 is ${status.replace('_', ' ')}`)
  })

  test('prints one JSON document', async () => {
    await serve(() => ({ body: task('running') }))
    const { out } = await baton(['status', 'feature-7', '--json'])
    expect(JSON.parse(out)).toEqual(task('running'))
  })

  test('watched as JSON prints a document a line', async () => {
    await serve((_, n) => ({ body: task(n === 1 ? 'running' : 'completed'), headers: { etag: `"${n}"` } }))
    const { code, out } = await baton(['status', 'feature-7', '--watch', '--json'])
    expect(
      out
        .trim()
        .split('\n')
        .map(line => (JSON.parse(line) as { status: string }).status),
    ).toEqual(['running', 'completed'])
    expect(code).toBe(0)
  })

  test('watched in a pipe prints a line per change', async () => {
    await serve((_, n) => ({ body: task(n === 1 ? 'running' : 'completed'), headers: { etag: `"${n}"` } }))
    const { out } = await baton(['status', 'feature-7', '--watch'])
    expect(out.split('\n')).toEqual([
      'feature-7 running, 1 pending',
      '  ✔ build completed',
      'feature-7 completed, 1 of 1 done',
      'feature-7 is completed: 1 completed',
      '',
    ])
  })

  test('watched on a terminal is redrawn, in colours unless told otherwise', async () => {
    await serve(() => ({ body: task('completed'), headers: { etag: '"1"' } }))
    const terminal = { columns: 80, rows: 24 }
    const env = { BATON_URL: server?.url }
    const colourful = await baton(['status', 'feature-7', '--watch'], { terminal, env })
    expect(colourful.out).toContain('\u001b[?2026h')
    expect(colourful.out).toContain('\u001b[32m')
    const sober = await baton(['status', 'feature-7', '--watch'], { terminal, env: { ...env, NO_COLOR: '1' } })
    expect(sober.out).toContain('\u001b[?2026h')
    expect(sober.out).not.toContain('\u001b[32m')
  })

  test('without a task lists the recent ones with counts', async () => {
    const { created_at, ...rest } = fakeTask()
    const summary = { ...rest, created_at, subtask_counts: { completed: 1, running: 1 }, finished_at: null }
    const { requests } = await serve(() => ({
      body: {
        tasks: [
          { ...summary, status: 'running' },
          { ...summary, task_id: 'b', status: 'blocked' },
        ],
        next_cursor: 'more',
      },
    }))
    const { code, out } = await baton(['status', '--status', 'running,blocked', '--limit', '2'])
    expect(code).toBe(0)
    expect(requests[0]?.query).toEqual({ status: 'running,blocked', limit: '2' })
    expect(out).toMatch(/^TASK +STATUS +DONE +AGE +TITLE\nfeature-7 +running +1\/2 /)
    expect(out).toContain('\n1 running, 1 blocked; there are older ones (--limit)\n')
  })
})

describe('submitting', () => {
  const request = '{"task_id":"feature-7","title":"Search","subtasks":[{"name":"build","capability":"build","input":{"n":1.0}}]}'

  test('prints the plan and sends inputs as they were written', async () => {
    const { requests } = await serve(() => ({ status: 201, body: task('planned') }))
    const { code, out } = await baton(['submit', '-'], { stdin: request })
    expect(code).toBe(0)
    expect(out).toContain('└─ build')
    expect(out).toContain('start it with: baton execute feature-7 --follow')
    expect(requests[0]?.body).toContain('"input":{"n":1.0}')
  })

  test('from a file, started and followed, ends as the task ends', async () => {
    await writeFile(join(cwd, 'task.json'), request)
    const { requests } = await serve(({ path }, n) => {
      if (path === '/execute/feature-7') return { body: { task_id: 'feature-7', status: 'running' } }
      return { body: task(n < 3 ? 'planned' : 'failed'), headers: { etag: '"1"' } }
    })
    const { code, out } = await baton(['submit', 'task.json', '--execute'])
    expect(code).toBe(1)
    expect(out).toContain('feature-7 is failed')
    expect(requests.map(r => `${r.method} ${r.path}`)).toEqual([
      'POST /orchestrate',
      'POST /execute/feature-7',
      'GET /tasks/feature-7',
      'GET /tasks/feature-7/events', // what its agents streamed
    ])
  })

  test('without anybody to do it ends with 4', async () => {
    await serve(({ path }) =>
      path === '/orchestrate' ? { status: 201, body: task('planned') } : problem('agent_unavailable', 'no live worker offers build'),
    )
    const { code, err } = await baton(['submit', '-', '--execute'], { stdin: request })
    expect({ code, err }).toEqual({ code: 4, err: 'error: no live worker offers build\n' })
  })

  test('the same id with another body ends with 5 and the differing fields', async () => {
    await serve(() =>
      problem('task_conflict', 'task feature-7 exists with another body', { fields: [{ path: 'title', issue: 'differs' }] }),
    )
    const { code, err } = await baton(['submit', '-'], { stdin: request })
    expect({ code, err }).toEqual({ code: 5, err: 'error: task feature-7 exists with another body\n  title differs\n' })
  })

  test('mistakes are told before anything is sent', async () => {
    const { requests } = await serve(() => 'break')
    const { code, err } = await baton(['submit', '-'], { stdin: '{"task_id":"a b","subtasks":[{"name":"x","sla":"1h"}]}' })
    expect(code).toBe(2)
    expect(err.split('\n')).toEqual([
      'error: stdin is not a task that can be handed in:',
      '  task_id must be 1 to 128 letters, digits, `_`, `.` or `-`, beginning with a letter or digit',
      '  title is required',
      '  subtasks[0].sla is not a known key; check its spelling or remove it',
      '',
    ])
    expect(requests).toHaveLength(0)
  })

  test('text that is not JSON is told with its place', async () => {
    expect((await baton(['submit', '-'], { stdin: '{"task_id": }' })).err).toBe(
      'error: stdin: "}" is not expected here (line 1, column 13)\n',
    )
  })

  test('a dry run stores nothing', async () => {
    const { requests } = await serve(() => ({ body: task('planned') }))
    const { out } = await baton(['submit', '-', '--dry-run'], { stdin: request })
    expect(requests[0]?.query).toEqual({ dry_run: 'true' })
    expect(out).toContain('nothing was stored')
  })
})

test('whoever submits a sentence is told how a task in words is handed in', async () => {
  const { code, err } = await baton(['submit', "Fix the login bug, it's urgent"])
  expect(code).toBe(2)
  expect(err).toContain(
    `echo '{"task_id":"my-task-1","title":"My task","description":"Fix the login bug, it'\\''s urgent"}' | baton submit -`,
  )
  expect((await baton(['submit', 'missing.json'])).err).toContain('missing.json cannot be read')
})

test('execute says what the task is now', async () => {
  const { requests } = await serve(() => ({ body: { task_id: 'feature-7', status: 'running' } }))
  const { code, out } = await baton(['execute', 'feature-7', '--manual'])
  expect({ code, out }).toEqual({ code: 0, out: 'feature-7 is running\nfollow it with: baton status feature-7 --watch\n' })
  expect(requests[0]?.body).toBe('{"execution_mode":"manual"}')
  await baton(['execute', 'feature-7', '--auto'])
  expect(requests[1]?.body).toBe('{"execution_mode":"auto"}')
  expect((await baton(['execute', 'feature-7', '--auto', '--manual'])).code).toBe(2)
})

describe('lists', () => {
  test('of agents and workers are tables', async () => {
    const at = new Date().toISOString()
    await serve(({ path }) =>
      path === '/agents'
        ? {
            body: {
              agents: [
                {
                  name: 'echo',
                  description: 'Echo',
                  skills: [],
                  capabilities: ['echo', 'say'],
                  domain: null,
                  health: 'healthy',
                  is_default: true,
                  load: { active: 1, slots: 4, workers: 1, queued: 0 },
                  measured: [
                    { capability: 'echo', attempts: 3, success_rate: 1, latency_ms: 2_000 },
                    { capability: 'say', attempts: 1, success_rate: 0, latency_ms: null },
                  ],
                },
                {
                  name: 'old',
                  description: 'Of a coordinator that measures nothing',
                  skills: [],
                  capabilities: ['old'],
                  domain: null,
                  health: 'offline',
                  is_default: false,
                  load: { active: 0, slots: 0, workers: 0 },
                },
              ],
              next_cursor: null,
            },
          }
        : {
            body: {
              workers: [
                {
                  id: 'w1',
                  host: 'box',
                  pid: 7,
                  version: '0.1.0',
                  agents: ['echo'],
                  concurrency: 4,
                  active: 1,
                  state: 'ready',
                  started_at: at,
                  last_heartbeat_at: at,
                },
              ],
              next_cursor: null,
            },
          },
    )
    expect((await baton(['agents'])).out).toMatch(
      /echo \(default\) +healthy +1\/4 +75 % +2\.0 s +1 +echo, say +Echo\nold +offline +0\/0 +0 +old /,
    )
    expect((await baton(['workers'])).out).toMatch(/w1 +ready +1\/4 +box:7 +0\.1\.0 +\d+m?s ago +echo\n$/)
    expect(JSON.parse((await baton(['agents', '--json'])).out)).toMatchObject({ agents: [{ name: 'echo' }, { name: 'old' }] })
  })
})

describe('match', () => {
  test('says who would get the work, and how all are placed; nobody is exit code 4', async () => {
    const terms = { coverage: 1, health: 1, load: 0.5, sla_fit: 1, success: 0.9 }
    const { requests } = await serve(({ body }) => ({
      body: body.includes('sing')
        ? { agent: null, queue: null, why: 'no live agent offers `sing`', candidates: [] }
        : {
            agent: 'a',
            queue: { kind: 'agent', name: 'a' },
            why: '`a` has the best score',
            candidates: [
              { agent: 'a', eligible: true, score: 0.855, terms, missing: [], why: null },
              {
                agent: 'b',
                eligible: false,
                score: 0.5,
                terms: { ...terms, coverage: 0.5 },
                missing: ['fast'],
                why: 'it does not offer `fast`',
              },
            ],
          },
    }))
    const { code, out } = await baton(['match', 'build', '--requires', 'fast', 'cheap', '--sla', '90s', '--agent', 'a'])
    expect(code).toBe(0)
    expect(out).toMatch(
      /^a: `a` has the best score\n\nAGENT .*\na +0\.8[56] +1\.00 +1\.00 +0\.50 +1\.00 +0\.90\s*\nb .* it does not offer `fast`\n$/,
    )
    expect(JSON.parse(requests[0]?.body ?? '')).toEqual({ capability: 'build', agent: 'a', requires: ['fast', 'cheap'], sla_seconds: 90 })
    expect(await baton(['match', 'sing'])).toEqual({ code: 4, out: 'nobody: no live agent offers `sing`\n', err: '' })
    expect((await baton(['match', 'build', '--sla', 'soon'])).code).toBe(2)
  })
})

describe('init', () => {
  test('writes a configuration and an agent, and never over what is there', async () => {
    const first = await baton(['init', 'shop'])
    expect(first.code).toBe(0)
    expect(first.out).toContain('baton up')
    expect(await readFile(join(cwd, 'shop', 'echo.mjs'), 'utf8')).toContain('process.stdin')
    await writeFile(join(cwd, 'shop', 'echo.mjs'), 'mine')
    const second = await baton(['init', 'shop'])
    expect(second).toMatchObject({
      code: 2,
      err: 'error: baton.config.ts and echo.mjs are there already; `baton init --force` overwrites baton.config.ts and echo.mjs\n',
    })
    expect(await readFile(join(cwd, 'shop', 'echo.mjs'), 'utf8')).toBe('mine')
    expect((await baton(['init', 'shop', '--force'])).code).toBe(0)
    expect(await readFile(join(cwd, 'shop', 'echo.mjs'), 'utf8')).toContain('process.stdin')
  })
})

describe('what npm does to arguments and folders', () => {
  test('a literal -- and flags behind it are understood', () => {
    expect(readArguments(['src', '--', '--fleet'], {})).toEqual({ dir: 'src', options: { fleet: true } })
    expect(readArguments(['--', '--fleet', '--out', 'x', 'src'], {})).toEqual({ dir: 'src', options: { fleet: true, out: 'x' } })
    expect(readArguments([], { json: true })).toEqual({ dir: '.', options: { json: true } })
    expect(() => readArguments(['--', '--flet'], {})).toThrow('unknown option --flet')
  })

  test('the folder that npm was called from counts only while npm runs the script', () => {
    const env = { INIT_CWD: '/home/me/shop', npm_package_json: '/opt/baton/package.json' }
    expect(callerDirectory(env, '/opt/baton')).toBe('/home/me/shop')
    expect(callerDirectory(env, '/tmp')).toBe('/tmp')
    expect(callerDirectory({}, '/tmp')).toBe('/tmp')
  })

  test('children inherit neither settings of Baton nor of its stores', () => {
    const env = childEnvironment(
      { PATH: '/bin', BATON_PORT: '1', DATABASE_URL: 'x', PORT: '80' },
      { REDIS_URL: 'redis://r', BATON_API_KEY: undefined },
    )
    expect(env).toEqual({ PATH: '/bin', REDIS_URL: 'redis://r' })
  })
})
