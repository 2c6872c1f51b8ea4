/** The commands that tell tasks, reviews and workers what to do. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FakeAnswer, type FakeRequest, type FakeServer, fakeSubtask, fakeTask, problem, startFakeServer } from '@baton/client/testing'
import type { ReviewView, WhyView } from '@baton/shared'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { run } from './program.js'
import { type TestIoOptions, testIo } from './testing/test-io.js'

let server: FakeServer | undefined
let cwd: string
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'baton-cli-'))
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

const review = (changes: Partial<ReviewView> = {}): ReviewView => ({
  id: '7',
  kind: 'exhausted',
  status: 'open',
  task_id: 'feature-7',
  subtask_id: 'build::feature-7::1',
  subtask: 'build',
  subtask_state: 'needs_review',
  assignee: null,
  due_at: null,
  escalate_to: null,
  escalated_at: null,
  digest: null,
  detail: '{"code":"agent_error","message":"the\\ncompiler\\u001b[31m crashed","retryable":true}',
  decision: null,
  reason: null,
  decided_by: null,
  created_at: new Date().toISOString(),
  decided_at: null,
  ...changes,
})

describe('verbs', () => {
  test.each([
    ['cancel', 'cancelled', 'feature-7 is cancelled\n'],
    ['pause', 'paused', 'feature-7 is paused\nlet it go on with: baton resume feature-7\n'],
    ['resume', 'needs_review', 'feature-7 is needs review\nfollow it with: baton status feature-7 --watch\n'],
  ])('%s says what the task is now', async (verb, status, out) => {
    const { requests } = await serve(() => ({ body: { task_id: 'feature-7', status } }))
    expect(await baton([verb, 'feature-7', '--reason', 'enough'])).toEqual({ code: 0, out, err: '' })
    expect(await baton([verb, 'feature-7', '--json'])).toEqual({ code: 0, out: `{"task_id":"feature-7","status":"${status}"}\n`, err: '' })
    expect(requests.map(r => [r.path, r.body])).toEqual([
      [`/tasks/feature-7/${verb}`, '{"reason":"enough"}'],
      [`/tasks/feature-7/${verb}`, '{}'],
    ])
  })

  test('replan shows what changes, and how it is approved', async () => {
    const plan = { made_by: 'explicit', objectives: [], constraints: [], acceptance_criteria: [], diagnostics: ['a: left as it is'] }
    const diff = {
      added: [{ name: 'x', title: null, capability: 'build', depends_on: ['a'] }],
      removed: ['c'],
      changed: [{ name: 'd', fields: ['input'] }],
      kept: ['a'],
    }
    const { requests } = await serve(({ query, body }) => ({
      body: {
        task_id: 'feature-7',
        status: 'running',
        applied: query.dry_run !== 'true',
        plan,
        diff,
        ...(body.includes('requires_approval') && { review: { id: '9', digest: 'f0' } }),
      },
    }))
    await writeFile(join(cwd, 'plan.json'), '{"subtasks":[{"name":"x","capability":"build","depends_on":["a"]}]}')
    const shown = 'planned by explicit\nnote: a: left as it is\n+ x  build  after a\n- c\n~ d  input\n  a\n\n'
    expect(await baton(['replan', 'feature-7', '--plan', 'plan.json', '--cancel-running'])).toEqual({
      code: 0,
      out: `${shown}feature-7 is running; follow it with: baton status feature-7 --watch\n`,
      err: '',
    })
    expect((await baton(['replan', 'feature-7', '--description', 'do less', '--dry-run'])).out).toBe(
      `${shown}nothing was changed (dry run)\n`,
    )
    expect(await baton(['replan', 'feature-7', '--approval', '--reason', 'cheaper'])).toMatchObject({
      code: 4,
      out: `${shown}it waits for an approval: baton decide 9 approve|reject --reason TEXT --digest f0\n`,
    })
    expect(requests.map(r => JSON.parse(r.body))).toEqual([
      { subtasks: [{ name: 'x', capability: 'build', depends_on: ['a'] }], running: 'cancel' },
      { description: 'do less' },
      { requires_approval: true, reason: 'cheaper' },
    ])
    expect((await baton(['replan', 'feature-7', '--plan', 'plan.json', '--description', 'x'])).code).toBe(2)
    await writeFile(join(cwd, 'plan.json'), '[{"name":"x y"}]')
    expect((await baton(['replan', 'feature-7', '--plan', 'plan.json'])).code).toBe(2)
  })

  test('release and drain say what the subtask and the worker are now', async () => {
    const { requests } = await serve(({ path }) => ({
      body: path.startsWith('/workers') ? { id: 'w1', state: 'draining' } : { subtask_id: 'build::feature-7::1', state: 'ready' },
    }))
    expect(await baton(['release', 'feature-7', 'build::feature-7::1'])).toMatchObject({ code: 0, out: 'build::feature-7::1 is ready\n' })
    expect(await baton(['drain', 'w1'])).toMatchObject({ code: 0, out: 'w1 is draining; it ends by itself once what it has is finished\n' })
    expect(JSON.parse((await baton(['drain', 'w1', '--json'])).out)).toEqual({ id: 'w1', state: 'draining' })
    expect(requests[0]?.path).toBe('/tasks/feature-7/subtasks/build%3A%3Afeature-7%3A%3A1/release')
  })

  test.each<[string, string[], unknown]>([
    ['cancel', [], { reason: 'enough' }],
    ['retry', [], { reason: 'enough' }],
    ['reassign', ['dev'], { agent: 'dev', reason: 'enough' }],
  ])('%s of a subtask takes its name or its id', async (verb, more, body) => {
    const pages = [
      fakeTask({ subtasks: [fakeSubtask('build', { subtask_id: 'dev::feature-7::1' })], subtasks_next_cursor: '1' }),
      fakeTask({ subtasks: [fakeSubtask('test', { subtask_id: 'dev::feature-7::2' })] }),
    ]
    const { requests } = await serve(({ method, query }) => ({
      body: method === 'GET' ? pages[query.subtasks_cursor ? 1 : 0] : { subtask_id: 'dev::feature-7::2', state: 'needs_review' },
    }))
    const argv = (subtask: string) => [verb, 'feature-7', subtask, ...more, '--reason', 'enough']
    expect(await baton(argv('test'))).toEqual({ code: 0, out: 'dev::feature-7::2 is needs review\n', err: '' })
    expect(await baton([...argv('dev::feature-7::2'), '--json'])).toEqual({
      code: 0,
      out: '{"subtask_id":"dev::feature-7::2","state":"needs_review"}\n',
      err: '',
    })
    const told = requests.filter(r => r.method === 'POST')
    expect(told.map(r => [r.path, JSON.parse(r.body)])).toEqual(
      Array.from({ length: 2 }, () => [`/tasks/feature-7/subtasks/dev%3A%3Afeature-7%3A%3A2/${verb}`, body]),
    )
    expect(requests).toHaveLength(4) // an id is not looked up
    expect(await baton(argv('nobody'))).toEqual({ code: 2, out: '', err: 'error: task feature-7 has no subtask nobody\n' })
  })

  test('rerun says how many subtasks run again, and sends an input byte for byte', async () => {
    const { requests } = await serve((_, n) => ({ body: { task_id: 'feature-7', status: 'running', subtasks: n } }))
    await writeFile(join(cwd, 'input.json'), '{ "n": 1.0 }\n')
    expect(await baton(['rerun', 'feature-7', 'build', '--input', 'input.json', '--reason', 'wrong'])).toEqual({
      code: 0,
      out: '1 subtask runs again; feature-7 is running\nfollow it with: baton status feature-7 --watch\n',
      err: '',
    })
    expect((await baton(['rerun', 'feature-7', 'build', 'dev::feature-7::2'])).out).toMatch(/^2 subtasks run again/)
    expect(JSON.parse((await baton(['rerun', 'feature-7', 'build', '--input', '-', '--json'], { stdin: '[1e2]' })).out)).toEqual({
      task_id: 'feature-7',
      status: 'running',
      subtasks: 3,
    })
    expect(requests.map(r => [r.path, r.body])).toEqual([
      ['/tasks/feature-7/rerun', '{"from":["build"],"input":{ "n": 1.0 },"reason":"wrong"}'],
      ['/tasks/feature-7/rerun', '{"from":["build","dev::feature-7::2"]}'],
      ['/tasks/feature-7/rerun', '{"from":["build"],"input":[1e2]}'],
    ])
  })

  test.each<[string, string[], RegExp]>([
    ['no subtask', ['rerun', 'feature-7'], /missing required argument 'subtasks'/],
    ['an input that is no JSON', ['rerun', 'feature-7', 'a', '--input', '-'], /stdin: /],
    ['no agent', ['reassign', 'feature-7', 'a'], /missing required argument 'agent'/],
  ])('with %s a command ends with 2, and nothing is sent', async (_, argv, says) => {
    const { requests } = await serve(() => 'break')
    const { code, err } = await baton(argv, { stdin: '{x' })
    expect(code).toBe(2)
    expect(err).toMatch(says)
    expect(requests).toHaveLength(0)
  })

  test.each([
    ['task_not_found', 2],
    ['state_conflict', 5],
  ] as const)('%s ends with %i', async (code, expected) => {
    await serve(() => problem(code, 'it cannot be'))
    for (const argv of [
      ['cancel', 't'],
      ['release', 't', 's'],
      ['cancel', 't', 's'],
      ['retry', 't', 'c::t::1'],
      ['reassign', 't', 'c::t::1', 'dev'],
      ['rerun', 't', 's'],
      ['drain', 'w'],
      ['why', 't'],
      ['review', '7'],
      ['assign', '7', 'ann'],
    ])
      expect(await baton(argv)).toEqual({ code: expected, out: '', err: 'error: it cannot be\n' })
  })
})

describe('pause and resume', () => {
  const orchestrator = (status: string) => ({
    id: 'nightly',
    name: 'Nightly\u001b[31m',
    status,
    default_worker_agent_id: 'echo',
    metadata: { maxTasks: 5, timeout: 60_000, team: 'a' },
  })

  test.each([
    ['pause', 'paused', 'orchestrator nightly is paused\nlet it go on with: baton resume --orchestrator nightly\n'],
    ['resume', 'running', 'orchestrator nightly is running\n'],
  ])('%s --orchestrator sets its status', async (verb, status, out) => {
    const { requests } = await serve(() => ({ body: orchestrator(status) }))
    expect(await baton([verb, '--orchestrator', 'nightly', '--reason', 'lunch'])).toEqual({ code: 0, out, err: '' })
    expect(JSON.parse((await baton([verb, '--orchestrator', 'nightly', '--json'])).out)).toEqual(orchestrator(status))
    expect(requests.map(r => [r.method, r.path, r.body])).toEqual([
      ['PUT', '/orchestrators/nightly/status', `{"status":"${status}","reason":"lunch"}`],
      ['PUT', '/orchestrators/nightly/status', `{"status":"${status}"}`],
    ])
  })

  test('--all means everything', async () => {
    const paused = { paused: true, since: '2026-01-01T00:00:00.000Z', by: 'ops', reason: 'deploy' }
    const { requests } = await serve(({ path }) => ({
      body: path === '/pause' ? paused : { paused: false, since: null, by: null, reason: null },
    }))
    expect(await baton(['pause', '--all', '--reason', 'deploy'])).toEqual({
      code: 0,
      out: 'everything is paused since 2026-01-01T00:00:00.000Z by ops\nlet it go on with: baton resume --all\n',
      err: '',
    })
    expect(await baton(['resume', '--all'])).toMatchObject({ code: 0, out: 'nothing is paused but what is paused by itself\n' })
    expect(await baton(['pause', '--all', '--json'])).toEqual({ code: 0, out: `${JSON.stringify(paused)}\n`, err: '' })
    expect(requests.map(r => [r.path, r.body])).toEqual([
      ['/pause', '{"reason":"deploy"}'],
      ['/resume', '{}'],
      ['/pause', '{}'],
    ])
  })

  test.each([[['pause']], [['resume', 't', '--all']], [['pause', '--all', '--orchestrator', 'o']]])(
    '%j is a mistake in usage, and asks nobody',
    async argv => {
      const { requests } = await serve(() => ({ body: {} }))
      const { code, err } = await baton(argv)
      expect([code, err]).toEqual([2, `error: say what to ${argv[0]}: a task, --orchestrator ID, or --all\n`])
      expect(requests).toEqual([])
    },
  )

  test('the default orchestrator always runs: a conflict', async () => {
    await serve(() => problem('state_conflict', 'the orchestrator `default` always runs'))
    expect((await baton(['pause', '--orchestrator', 'default'])).code).toBe(5)
  })

  test('orchestrators are listed with their limits, of every page', async () => {
    const { requests } = await serve(({ query }) => ({
      body: { orchestrators: [orchestrator(query.cursor ? 'paused' : 'running')], next_cursor: query.cursor ? null : 'nightly' },
    }))
    const { code, out } = await baton(['orchestrators'])
    expect([code, out.split('\n')]).toEqual([
      0,
      [
        'ORCHESTRATOR  NAME               STATUS   DEFAULT WORKER  LIMITS',
        'nightly       Nightly\\u001b[31m  running  echo            maxTasks=5 timeout=60000',
        'nightly       Nightly\\u001b[31m  paused   echo            maxTasks=5 timeout=60000',
        '',
      ],
    ])
    expect(requests.map(r => r.query.cursor)).toEqual([undefined, 'nightly'])
    expect(JSON.parse((await baton(['orchestrators', '--json'])).out)).toMatchObject({
      orchestrators: [{ id: 'nightly' }, { id: 'nightly' }],
    })
  })
})

describe('why', () => {
  test('says what the task and each waiting subtask wait for, of every page', async () => {
    const page = (name: string, next: string | null): WhyView => ({
      task_id: 'feature-7',
      status: 'needs_review',
      why: 'build: 3 of 3 attempts are used up',
      review: { id: '7', kind: 'exhausted', subtask_id: 'build::feature-7::1' },
      subtasks: [{ subtask_id: `x::${name}::1`, name, state: 'pending', why: 'waiting for `build` to finish' }],
      next_cursor: next,
    })
    const { requests } = await serve(({ query }) => ({ body: query.cursor ? page('ship', null) : page('test', '2') }))
    const { code, out } = await baton(['why', 'feature-7'])
    expect(code).toBe(4)
    expect(out.split('\n')).toEqual([
      'feature-7 is needs review: build: 3 of 3 attempts are used up',
      '',
      'SUBTASK  STATE    WHY',
      'test     pending  waiting for `build` to finish',
      'ship     pending  waiting for `build` to finish',
      '',
      'decide its review: baton review 7',
      '',
    ])
    expect(requests.map(r => [r.path, r.query])).toEqual([
      ['/tasks/feature-7/why', {}],
      ['/tasks/feature-7/why', { cursor: '2' }],
    ])
    expect(JSON.parse((await baton(['why', 'feature-7', '--json'])).out)).toMatchObject({
      status: 'needs_review',
      review: { id: '7' },
      subtasks: [{ name: 'test', state: 'pending' }, { name: 'ship' }],
    })
  })

  test('of a task that has ended says that nothing is left', async () => {
    await serve(() => ({ body: { task_id: 'feature-7', status: 'completed', subtasks: [], next_cursor: null } }))
    expect(await baton(['why', 'feature-7'])).toEqual({ code: 0, out: 'feature-7 is completed; nothing is left to do\n', err: '' })
  })

  test('of a task that has ended shows the new plan that was not decided', async () => {
    const review = { id: '7', kind: 'plan' }
    await serve(() => ({ body: { task_id: 'feature-7', status: 'completed', review, subtasks: [], next_cursor: null } }))
    expect((await baton(['why', 'feature-7'])).out).toBe('feature-7 is completed\n\ndecide its review: baton review 7\n')
  })
})

describe('reviews', () => {
  test('are a table of what waits, its failures in one line', async () => {
    const { requests } = await serve(({ query }) => ({
      body: query.cursor
        ? { reviews: [review({ id: '8', kind: 'approval', detail: 'approval needed', assignee: 'ann' })], next_cursor: null }
        : { reviews: [review()], next_cursor: '7' },
    }))
    const { code, out } = await baton(['reviews', '--task', 'feature-7'])
    expect(code).toBe(0)
    expect(out).toMatch(
      /^REVIEW +KIND +STATUS +TASK +SUBTASK +AGE +ASSIGNEE +ABOUT\n7 +exhausted +open +feature-7 +build +1s +the compiler\\u001b\[31m crashed \(agent_error\)\n8 +approval .*ann +approval needed\n$/,
    )
    expect(requests.map(r => r.query)).toEqual([
      { status: 'open', limit: '1000', task_id: 'feature-7' },
      { status: 'open', limit: '1000', task_id: 'feature-7', cursor: '7' },
    ])
  })

  test('--all asks for every status', async () => {
    const { requests } = await serve(() => ({ body: { reviews: [], next_cursor: null } }))
    expect(await baton(['reviews', '--all'])).toEqual({ code: 0, out: 'there are no reviews\n', err: '' })
    expect(requests.map(r => r.query.status)).toEqual(['open', 'decided', 'closed'])
    expect((await baton(['reviews'])).out).toBe('nothing waits for a person\n')
    expect(JSON.parse((await baton(['reviews', '--json'])).out)).toEqual({ reviews: [] })
  })

  test('one of them says how to decide it, or how it was decided', async () => {
    await serve(({ path }) => ({
      body:
        path === '/reviews/7' ? review() : review({ id: '8', status: 'decided', decision: 'retry', reason: 'again', decided_by: 'ann' }),
    }))
    const open = await baton(['review', '7'])
    expect(open.out).toContain('review 7 of task feature-7, subtask build (needs review)')
    expect(open.out).toContain('decide it with: baton decide 7 retry|reassign|supply|fail|reject --reason TEXT')
    const decided = await baton(['review', '8'])
    expect(decided.out).toContain('retry by ann')
    expect(decided.out).not.toContain('decide it with')
  })

  test('one of them shows its due time, who gets it then, and the digest to decide by', async () => {
    const digest = 'ab'.repeat(32)
    await serve(() => ({
      body: review({ kind: 'approval', detail: 'approval needed', due_at: '2030-01-02T03:04:05.000Z', escalate_to: 'bob', digest }),
    }))
    const { out } = await baton(['review', '7'])
    expect(out).toContain('approval, open, due 2030-01-02T03:04:05.000Z, then it goes to bob\napproval needed\n')
    expect(out).toContain(`digest ${digest}\n`)
    expect(out).toContain(`--reason TEXT --digest ${digest}\n`)
  })

  test('of a subtask that nobody took say so', async () => {
    const detail = '{"code":"queue_wait_exceeded","message":"no worker took it within its queue wait","retryable":false}'
    await serve(() => ({ body: review({ kind: 'unroutable', detail, escalated_at: '2026-01-01T00:00:00Z' }) }))
    expect((await baton(['review', '7'])).out).toContain(
      'unroutable, open, escalated 2026-01-01T00:00:00Z\nno worker took it within its queue wait (queue_wait_exceeded)\n',
    )
  })

  test('are assigned', async () => {
    const { requests } = await serve(({ body }) => ({ body: review({ assignee: (JSON.parse(body) as ReviewView).assignee }) }))
    expect((await baton(['assign', '7', 'ann'])).out).toBe('review 7 is assigned to ann\n')
    expect((await baton(['assign', '7'])).out).toBe('review 7 is assigned to nobody\n')
    expect(requests.map(r => r.body)).toEqual(['{"assignee":"ann"}', '{"assignee":null}'])
  })

  test('are assigned until a date or for a while, and to somebody after that', async () => {
    const { requests } = await serve(({ body }) => ({ body: review(JSON.parse(body) as ReviewView) }))
    const { out } = await baton(['assign', '7', 'ann', '--due', '2030-01-02T03:04:05Z', '--escalate-to', 'bob'])
    expect(out).toBe('review 7 is assigned to ann, due 2030-01-02T03:04:05Z, then it goes to bob\n')
    const before = Date.now()
    await baton(['assign', '7', 'ann', '--due', '1h30m', '--json'])
    const dueAt = Date.parse((JSON.parse(requests[1]?.body ?? '') as ReviewView).due_at ?? '')
    expect(dueAt).toBeGreaterThanOrEqual(before + 5_400_000)
    expect(dueAt).toBeLessThanOrEqual(Date.now() + 5_400_000)
    for (const [flags, says] of [
      [['--due', 'soon'], /due_at must be a date-time/],
      [['--escalate-to', ' '], /escalate_to must not be empty/],
    ] as const) {
      const { code, err } = await baton(['assign', '7', 'ann', ...flags])
      expect([code, err]).toEqual([2, expect.stringMatching(says)])
    }
    expect(requests).toHaveLength(2)
  })

  test('are decided, with an output from a file or stdin byte for byte', async () => {
    const { requests } = await serve(() => ({ body: review({ status: 'decided', decision: 'supply' }) }))
    await writeFile(join(cwd, 'out.json'), '{ "n": 1.0 }\n')
    const file = await baton(['decide', '7', 'supply', '--reason', 'by hand', '--output', 'out.json'])
    expect(file).toEqual({ code: 0, out: 'review 7 is decided: supply\nsee what follows with: baton status feature-7\n', err: '' })
    await baton(['decide', '7', 'supply', '--reason', 'by hand', '--output', '-'], { stdin: '[1e2]' })
    await baton(['decide', '7', 'reassign', '--reason', 'knows better', '--agent', 'dev', '--json'])
    await baton(['decide', '7', 'approve', '--reason', 'fine', '--digest', 'ab'.repeat(32)])
    expect(requests.map(r => r.body)).toEqual([
      '{"decision":"supply","reason":"by hand","output":{ "n": 1.0 }}',
      '{"decision":"supply","reason":"by hand","output":[1e2]}',
      '{"decision":"reassign","reason":"knows better","agent":"dev"}',
      `{"decision":"approve","reason":"fine","digest":"${'ab'.repeat(32)}"}`,
    ])
  })

  test.each<[string, string[], RegExp]>([
    ['no reason', ['retry'], /--reason/],
    ['an empty reason', ['retry', '--reason', ''], /reason must not be empty/],
    ['a decision that is none', ['maybe', '--reason', 'x'], /decision must be one of approve/],
    ['supply without output', ['supply', '--reason', 'x'], /output is required for `supply`/],
    ['a digest that is none', ['approve', '--reason', 'x', '--digest', 'x'], /digest must be the digest of a review/],
    ['reassign without agent', ['reassign', '--reason', 'x'], /agent is required for `reassign`/],
    ['what belongs elsewhere', ['retry', '--reason', 'x', '--agent', 'dev'], /agent goes with `reassign` only/],
    ['an output that is no JSON', ['supply', '--reason', 'x', '--output', '-'], /stdin: /],
    ['an output that is not there', ['supply', '--reason', 'x', '--output', 'gone.json'], /gone\.json cannot be read/],
  ])('with %s end with 2, and nothing is sent', async (_, argv, says) => {
    const { requests } = await serve(() => 'break')
    const { code, err } = await baton(['decide', '7', ...argv], { stdin: '{x' })
    expect(code).toBe(2)
    expect(err).toMatch(says)
    expect(requests).toHaveLength(0)
  })

  test('decided by another end with 5', async () => {
    await serve(() => problem('state_conflict', 'review 7 was decided (fail) by ann'))
    expect(await baton(['decide', '7', 'retry', '--reason', 'x'])).toEqual({
      code: 5,
      out: '',
      err: 'error: review 7 was decided (fail) by ann\n',
    })
  })
})
