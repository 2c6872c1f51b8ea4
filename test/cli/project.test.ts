import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TaskView } from '@baton/shared'
import { beforeAll, describe, expect, test } from 'vitest'
import { baton, expectError, folder, type Running, start } from './baton.js'

let cwd: string
let coordinator: Running
let url: string
/** With the URL of the coordinator, as a user has it in the environment. */
const remote = (args: readonly string[], stdin?: string) =>
  baton(args, { cwd, env: { BATON_URL: url }, ...(stdin !== undefined && { stdin }) })
const file = (name: string, content: unknown) => {
  writeFileSync(join(cwd, name), JSON.stringify(content))
  return name
}
const failing = { name: 'broken', kind: 'command', command: ['node', '-e', 'console.error("no disk"); process.exit(3)'] }

beforeAll(async () => {
  cwd = folder()
  expect(await baton(['init'], { cwd })).toMatchObject({ code: 0, err: '' })
  const config = join(cwd, 'baton.config.ts')
  writeFileSync(config, readFileSync(config, 'utf8').replace('agents: [', `agents: [\n    ${JSON.stringify(failing)},`))
  coordinator = start(['up', '--port', '0'], { cwd, env: { LOG_LEVEL: 'warn' } })
  url = (await coordinator.said(/Baton is up at (http:\S+) \(local mode, data in \.baton\)/))[1] ?? ''
  await coordinator.said(/try it:\n.*\n.*status.*\n/)
})

describe('a new project', () => {
  test('is written with what to do next, and is up at once with a curl that works', async () => {
    const other = folder()
    const written = await baton(['init'], { cwd: other })
    expect(written.out).toMatch(/^wrote baton\.config\.ts and echo\.mjs\n/)
    expect(written.out).toContain('baton up ')
    const running = start(['up', '--port', '0'], { cwd: other })
    const [, address, body] = await running.said(/^ {2}curl -s (\S+) -H 'content-type: application\/json' -d '(.*)'$/m)
    const answer = await fetch(address ?? '', { method: 'POST', headers: { 'content-type': 'application/json' }, body: body ?? '' })
    expect(answer.status).toBe(201)
    const { task_id } = (await answer.json()) as TaskView
    // The other line that was printed: the command without `baton`.
    const [, hint] = await running.said(/^ {2}baton (status .*)$/m)
    const shown = await baton([...(hint ?? '').split(' '), '--watch'], { cwd: other })
    expect(shown).toMatchObject({ code: 0, err: '' })
    expect(shown.out).toContain(`${task_id} is completed`)
    running.signal('SIGINT')
    expect((await running.ended).code).toBe(0)
    await expect(fetch(new URL('/healthz', address))).rejects.toThrow()
  })
})

describe('submit', () => {
  const chain = (task_id: string) => ({
    task_id,
    title: 'A chain',
    subtasks: [
      { name: 'first', capability: 'echo', input: { n: 1 } },
      { name: 'second', capability: 'echo', depends_on: ['first'], input: '{{first.outputs.n}}' },
      { name: 'beside', capability: 'echo' },
    ],
  })

  test('with --execute prints the plan as a tree, follows it and ends with 0', async () => {
    const { code, out, err } = await remote(['submit', file('chain.json', chain('chain')), '--execute'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/├─ first +echo\n│ {2}└─ second +echo\n└─ beside +echo\n/)
    expect(out).toMatch(/✔ first completed \(by echo/)
    expect(out).toMatch(/chain is completed after .*: 3 completed\n$/)
  })

  test('reads stdin, and without --execute says how to start it', async () => {
    const { code, out } = await remote(['submit', '-'], JSON.stringify(chain('stdin')))
    expect(code).toBe(0)
    expect(out).toMatch(/start it with: baton execute stdin --follow\n$/)
    const started = await remote(['execute', 'stdin', '--follow'])
    expect(started.code).toBe(0)
    expect(started.out).toContain('stdin is completed')
  })

  test('plans words', async () => {
    const { code, out } = await remote(
      ['submit', '-', '--execute'],
      JSON.stringify({ task_id: 'words', title: 'Say twice', description: 'Please say twice what the title is.' }),
    )
    expect(code).toBe(0)
    expect(out).toMatch(/└─ first +echo\n {3}└─ second +echo\n/)
    expect(out).toContain('words is completed')
  })

  test('as a dry run stores nothing', async () => {
    expect(await remote(['submit', '-', '--dry-run'], JSON.stringify(chain('dry')))).toMatchObject({
      code: 0,
      out: expect.stringContaining('nothing was stored (dry run)'),
    })
    expectError(await remote(['status', 'dry']), /dry/)
  })

  test('ends with 1 when the task fails and with 4 when it needs somebody, and says why', async () => {
    const task = (task_id: string, extra: object) => ({
      task_id,
      title: 'Broken',
      subtasks: [{ name: 'b', capability: 'broken', max_attempts: 1, ...extra }],
    })
    const failed = await remote(['submit', '-', '--execute'], JSON.stringify(task('fails', { on_failure: 'fail' })))
    expect(failed.code).toBe(1)
    expect(failed.out).toMatch(/fails is failed.*\n/)
    expect(failed.out).toMatch(/b failed: the program node exited with 3: no disk\n/)
    const review = await remote(['submit', '-', '--execute'], JSON.stringify(task('reviewed', {})))
    expect(review.code).toBe(4)
    expect(review.out).toMatch(/reviewed is needs review/)
    expect(review.out).toMatch(/review \S+ waits for a decision/)
    expect((await remote(['status', 'fails'])).code).toBe(1)
    expect((await remote(['status', 'reviewed'])).code).toBe(4)
  })

  test('ends with 4 when nobody can do the work', async () => {
    const { code, out, err } = await remote(
      ['submit', '-', '--execute'],
      JSON.stringify({ task_id: 'lonely', title: 'x', subtasks: [{ name: 'a', capability: 'nobody' }] }),
    )
    expect(code).toBe(4)
    expect(out + err).toContain('no live worker offers `nobody`')
  })

  test('of another body under the same id ends with 5 and names the fields', async () => {
    await remote(['submit', '-'], JSON.stringify(chain('twice')))
    expect((await remote(['submit', '-'], JSON.stringify(chain('twice')))).code).toBe(0)
    const conflict = await remote(['submit', '-'], JSON.stringify({ ...chain('twice'), title: 'Another' }))
    expect(conflict.code).toBe(5)
    expectError(conflict, /twice[\s\S]*title/)
  })

  test('of a request with mistakes names all of them and sends nothing', async () => {
    const wrong = await remote(
      ['submit', '-'],
      JSON.stringify({ task_id: 'a b', title: 'x', surprise: 1, subtasks: [{ name: 'a', capability: 'A:B' }] }),
    )
    expect(wrong.code).toBe(2)
    expectError(wrong, /stdin is not a task that can be handed in:/)
    for (const path of ['task_id', 'surprise', 'subtasks[0].capability']) expect(wrong.err).toContain(path)
    const text = await remote(['submit', '-'], '{"task_id": "x",\n nope}')
    expect(text.code).toBe(2)
    expectError(text, /stdin: .*\(line 2, column 2\)/)
  })
})

describe('looking', () => {
  test('agents and workers are tables', async () => {
    const agents = await remote(['agents'])
    expect(agents).toMatchObject({ code: 0, err: '' })
    expect(agents.out).toMatch(/^AGENT +HEALTH +BUSY +SUCCESS +TAKES +WORKERS +CAPABILITIES/)
    expect(agents.out).toMatch(/^echo +healthy +0\/4 .* 1 +echo/m)
    const workers = await remote(['workers'])
    expect(workers.out).toMatch(/^WORKER +STATE +BUSY +PROCESS/)
    expect(workers.out).toMatch(new RegExp(`ready +0/5 +\\S+:${coordinator.pid} `))
  })

  test('the recent tasks are a table with their counts, filtered by status', async () => {
    await remote(
      ['submit', '-', '--execute'],
      JSON.stringify({ task_id: 'listed', title: 'In the list', subtasks: [{ name: 'a', capability: 'echo' }] }),
    )
    const all = await remote(['status'])
    expect(all.out).toMatch(/^listed +completed +1\/1 +\d+\S* +In the list$/m)
    expect((await remote(['status', '--status', 'cancelled'])).out).toMatch(/^no tasks/)
  })

  test('a task that is not there is a sentence and ends with 2', async () => {
    for (const args of [
      ['status', 'nowhere'],
      ['execute', 'nowhere'],
      ['status', 'nowhere', '--watch'],
      ['status', 'nowhere', '--json'],
    ]) {
      const unknown = await remote(args)
      expect(unknown.code).toBe(2)
      expectError(unknown, /^error: .*nowhere.*\n$/)
    }
  })
})

describe('--json', () => {
  const json = (text: string): unknown => {
    expect(text.trimEnd().split('\n')).toHaveLength(1)
    return JSON.parse(text)
  }

  test('prints exactly one document', async () => {
    const task = { task_id: 'json', title: 'x', subtasks: [{ name: 'a', capability: 'echo', input: 1 }] }
    const submitted = await remote(['submit', '-', '--json'], JSON.stringify(task))
    expect(json(submitted.out)).toMatchObject({ task_id: 'json', status: 'planned' })
    const executed = await remote(['execute', 'json', '--follow', '--json'])
    expect(json(executed.out)).toMatchObject({ status: 'completed', subtasks: [{ outputs: 1 }] })
    expect(json((await remote(['status', 'json', '--json'])).out)).toMatchObject({ status: 'completed' })
    expect(json((await remote(['status', '--json'])).out)).toMatchObject({ tasks: expect.any(Array) })
    expect(json((await remote(['agents', '--json'])).out)).toMatchObject({ agents: [{ name: 'broken' }, { name: 'echo' }] })
    expect(json((await remote(['workers', '--json'])).out)).toMatchObject({ workers: [{ state: 'ready' }] })
    expect(json((await remote(['doctor', '--json'])).out)).toMatchObject({ checks: expect.any(Array) })
    const all = await remote(['submit', '-', '--execute', '--json'], JSON.stringify({ ...task, task_id: 'json-2' }))
    expect(json(all.out)).toMatchObject({ task_id: 'json-2', status: 'completed' })
  })

  test('with --watch prints a snapshot a line and ends with the task', async () => {
    const slow = {
      task_id: 'watched',
      title: 'x',
      subtasks: [
        { name: 'a', capability: 'echo' },
        { name: 'b', capability: 'echo', depends_on: ['a'] },
      ],
    }
    await remote(['submit', '-'], JSON.stringify(slow))
    const watching = start(['status', 'watched', '--watch', '--json'], { cwd, env: { BATON_URL: url } })
    await watching.said(/"status":"planned"/)
    await remote(['execute', 'watched'])
    const { code, out } = await watching.ended
    expect(code).toBe(0)
    const statuses = out
      .trimEnd()
      .split('\n')
      .map(line => (JSON.parse(line) as TaskView).status)
    expect([statuses[0], statuses.at(-1)]).toEqual(['planned', 'completed'])
  })
})

describe('doctor', () => {
  test('is content here', async () => {
    const { code, out } = await remote(['doctor'])
    expect(code).toBe(0)
    for (const name of ['node', 'environment', 'configuration', 'coordinator', 'readiness', 'agents'])
      expect(out).toMatch(new RegExp(`^✔ ${name} `, 'm'))
  })
})
