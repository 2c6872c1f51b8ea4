import { fakeSubtask, fakeTask } from '@baton/client/testing'
import { BatonError } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { testIo } from '../testing/test-io.js'
import { errorLines } from './errors.js'
import { LiveLines } from './live.js'
import { commandLogger, readableLine } from './log.js'
import { planLines } from './plan.js'
import { bar, changeLines, countsText, frameLines } from './progress.js'
import { coloured, plain } from './style.js'
import { tableLines } from './table.js'
import { cut, visible, widthOf } from './text.js'
import { shellQuoted, tryItLines } from './try-it.js'

describe('text', () => {
  test('control characters are shown, not obeyed', () => {
    expect(visible('a\u001b[31mb\u0007\nc\u202ed')).toBe('a\\u001b[31mb\\u0007 c\\u202ed')
  })

  test('width counts columns, not characters, and no colours', () => {
    expect(widthOf(coloured('red', 'abc'))).toBe(3)
    expect(widthOf('日本')).toBe(4)
    expect(widthOf('e\u0301')).toBe(1)
  })

  test('a cut line ends its colour', () => {
    expect(cut('abcdef', 6)).toBe('abcdef')
    expect(cut('abcdef', 4)).toBe('abc…')
    expect(cut('日本語', 4)).toBe('日…')
    expect(cut(coloured('red', 'abcdef'), 4)).toBe('\u001b[31mabc…\u001b[0m')
  })
})

describe('the bar', () => {
  test('is full only when all is done', () => {
    expect(bar(0, 10, 10)).toBe('░░░░░░░░░░')
    expect(bar(5, 10, 10)).toBe('█████░░░░░')
    expect(bar(999, 1_000, 10)).toBe('█████████░')
    expect(bar(10, 10, 10)).toBe('██████████')
    expect(bar(0, 0, 4)).toBe('░░░░')
  })
})

const started = '2026-01-01T00:00:00.000Z'
const now = Date.parse('2026-01-01T00:00:12.000Z')
const running = fakeTask({
  status: 'running',
  started_at: started,
  subtasks: [
    fakeSubtask('build', { state: 'completed', agent: 'dev', attempt: 1, started_at: started, finished_at: '2026-01-01T00:00:02.000Z' }),
    fakeSubtask('review', {
      state: 'running',
      agent: 'reviewer',
      attempt: 2,
      started_at: '2026-01-01T00:00:02.000Z',
      progress: { files: 3 },
    }),
    fakeSubtask('release', { why: 'waits for review' }),
  ],
})

describe('a frame', () => {
  const options = { columns: 100, rows: 20, paint: plain, now }

  test('shows the head, the bar and a line per subtask', () => {
    expect(frameLines(running, options)).toEqual([
      'feature-7  Search  running',
      '██████████░░░░░░░░░░░░░░░░░░░░  33%  1/3  12s  1 pending, 1 running, 1 completed',
      '  ✔ build    completed  dev  2s',
      '  ▶ review   running    reviewer  10s  attempt 2  {"files":3}',
      '  · release  pending    release  waits for review',
    ])
  })

  test('is never higher or wider than its room', () => {
    const many = fakeTask({
      status: 'running',
      subtasks: Array.from({ length: 500 }, (_, i) =>
        fakeSubtask(`step-${i}`, { state: i === 400 ? 'failed' : i < 300 ? 'completed' : 'pending' }),
      ),
    })
    for (const rows of [3, 5, 24]) {
      const lines = frameLines(many, { ...options, columns: 40, rows })
      expect(lines.length).toBeLessThanOrEqual(rows)
      for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(40)
    }
    const lines = frameLines(many, { ...options, rows: 6 })
    expect(lines[3]).toContain('step-301')
    expect(lines[4]).toContain('step-400')
    expect(lines[5]).toBe('  … 497 more')
  })

  test('shows the failure of what failed', () => {
    const task = fakeTask({
      status: 'failed',
      subtasks: [
        fakeSubtask('build', { state: 'failed', attempt: 3, failure: { code: 'agent_exit', message: 'exit code 2', retryable: true } }),
      ],
    })
    expect(frameLines(task, options).at(-1)).toBe('  ✘ build  failed     build  attempt 3  exit code 2')
  })
})

describe('plain lines', () => {
  test('begin with what stands, then one per change', () => {
    const before = fakeTask({ subtasks: [fakeSubtask('build'), fakeSubtask('review')] })
    expect(changeLines(undefined, before)).toEqual(['feature-7 planned, 2 pending'])
    const after = fakeTask({
      status: 'running',
      subtasks: [fakeSubtask('build', { state: 'running', agent: 'dev', attempt: 1 }), fakeSubtask('review')],
    })
    expect(changeLines(before, after)).toEqual(['  ▶ build running (by dev)', 'feature-7 running, 0 of 2 done'])
    expect(changeLines(after, after)).toEqual([])
  })

  test('tell of further attempts and of failures', () => {
    const before = fakeTask({ status: 'running', subtasks: [fakeSubtask('build', { state: 'running', attempt: 1 })] })
    const retrying = fakeTask({
      status: 'running',
      subtasks: [
        fakeSubtask('build', { state: 'retrying', attempt: 1, failure: { code: 'agent_error', message: 'no\nluck', retryable: true } }),
      ],
    })
    expect(changeLines(before, retrying)).toEqual(['  ↻ build retrying: no luck'])
    const again = fakeTask({ status: 'running', subtasks: [fakeSubtask('build', { state: 'running', attempt: 2 })] })
    expect(changeLines(retrying, again)).toEqual(['  ▶ build running (attempt 2)'])
  })

  test('tell of subtasks that were added', () => {
    expect(changeLines(fakeTask(), fakeTask({ subtasks: [fakeSubtask('spawned')] }))).toEqual(['  · spawned pending'])
  })
})

test('counts follow the order of the states', () => {
  expect(countsText({ completed: 2, needs_review: 1, pending: 3 })).toBe('3 pending, 1 needs review, 2 completed')
})

describe('a plan', () => {
  const subtasks = ['build', 'review', 'docs', 'release'].map(name => fakeSubtask(name))
  const edge = (from: string, to: string) => ({ from: `${from}::feature-7::1`, to: `${to}::feature-7::1` })

  test('is a tree of what waits for what', () => {
    const task = fakeTask({
      subtasks,
      dependencies: [edge('build', 'review'), edge('build', 'docs'), edge('review', 'release'), edge('docs', 'release')],
    })
    expect(planLines(task, { paint: plain, columns: 100 })).toEqual([
      'feature-7  Search  planned',
      '4 subtasks, planned by explicit, priority medium',
      '',
      '└─ build          build',
      '   ├─ review      review',
      '   │  └─ release  release  also after docs',
      '   └─ docs        docs',
    ])
  })

  test('that is too deep for a tree is a table', () => {
    const chain = Array.from({ length: 12 }, (_, i) => fakeSubtask(`s${i}`))
    const dependencies = chain.slice(1).map((_, i) => edge(`s${i}`, `s${i + 1}`))
    const lines = planLines(fakeTask({ subtasks: chain, dependencies }), { paint: plain, columns: 100 })
    expect(lines.slice(3, 6)).toEqual(['SUBTASK  CAPABILITY  AFTER  STATE', 's0       s0', 's1       s1          s0'])
  })

  test('says what was understood and what is not shown', () => {
    const task = fakeTask({
      subtasks,
      plan: {
        made_by: 'rules',
        objectives: ['find things'],
        constraints: ['no new service'],
        acceptance_criteria: [],
        diagnostics: ['left out: lunch'],
      },
      metrics: { ...fakeTask().metrics, subtasks_total: 1_004 },
    })
    const lines = planLines(task, { paint: plain, columns: 100 })
    expect(lines.slice(1, 5)).toEqual([
      '1004 subtasks, planned by rules, priority medium',
      'objectives  find things',
      'constraints no new service',
      'note: left out: lunch',
    ])
    expect(lines.at(-1)).toBe('… 1000 more')
  })
})

test('a table is as wide as its cells, its last column gives way', () => {
  expect(
    tableLines(
      ['a', 'b'],
      [
        ['long cell', 'x'],
        ['s', 'quite long'],
      ],
      16,
    ),
  ).toEqual(['A          B', 'long cell  x', 's          quit…'])
})

test('errors show the sentence and further fields, and no stack', () => {
  expect(errorLines(new BatonError('task_not_found', 'there is no task x'))).toEqual(['error: there is no task x'])
  expect(
    errorLines(
      new BatonError('invalid_request', '2 problems', {
        fields: [
          { path: 'title', issue: 'is required' },
          { path: '', issue: 'is odd' },
        ],
      }),
    ),
  ).toEqual(['error: 2 problems', '  title is required', '  is odd'])
  expect(errorLines(new TypeError('boom\u001b[2J'))).toEqual(['error: boom\\u001b[2J'])
})

test('a log line for people', () => {
  const line = JSON.stringify({
    level: 'warn',
    time: '2026-01-01T12:04:05.000Z',
    err: { message: 'refused' },
    msg: 'waiting for NATS',
    url: 'nats://x',
  })
  expect(readableLine(line, plain)).toBe('12:04:05 warn  waiting for NATS: refused  url=nats://x')
  expect(readableLine('no json\n', plain)).toBe('no json')
})

test('live lines are redrawn in place, in one write', () => {
  const writes: string[] = []
  const live = new LiveLines({ write: text => writes.push(text), isTTY: true, columns: 80, rows: 24 })
  live.draw(['a', 'b'])
  live.draw(['c'])
  expect(writes).toEqual([
    '\u001b[?2026ha\u001b[K\nb\u001b[K\n\u001b[J\u001b[?2026l',
    '\u001b[?2026h\u001b[2A\rc\u001b[K\n\u001b[J\u001b[?2026l',
  ])
  expect(live.room).toEqual({ columns: 79, rows: 23 })
})

test('what is told once scrolls away above the frame; a frame that others wrote below is left where it is', () => {
  const writes: string[] = []
  const live = new LiveLines({ write: text => writes.push(text), isTTY: true, columns: 80, rows: 24 })
  live.draw(['frame'])
  live.draw(['frame'], ['told'])
  live.leave()
  live.draw(['frame'])
  expect(writes.slice(1)).toEqual([
    '\u001b[?2026h\u001b[1A\rtold\u001b[K\nframe\u001b[K\n\u001b[J\u001b[?2026l',
    '\u001b[?2026hframe\u001b[K\n\u001b[J\u001b[?2026l',
  ])
})

describe('the curl to try', () => {
  const agents = [{ name: 'echo', capabilities: ['say'] }]

  test('is one that a shell takes', () => {
    expect(tryItLines({ url: 'http://127.0.0.1:1', agents, keyed: true, suffix: 'x1', defaultUrl: false })).toEqual([
      'try it:',
      `  curl -s http://127.0.0.1:1/orchestrate -H 'content-type: application/json' -H "authorization: Bearer $BATON_API_KEY" -d '{"task_id":"hello-x1","title":"Hello","subtasks":[{"name":"hello","capability":"say","input":{"text":"hello"}}],"execute":true}'`,
      '  baton status hello-x1 --url http://127.0.0.1:1',
    ])
    expect(shellQuoted("it's")).toBe(`'it'\\''s'`)
  })

  test('gives way to a hint when there is no agent', () => {
    expect(tryItLines({ url: 'http://x', agents: [], keyed: false, suffix: 'x', defaultUrl: true })).toEqual([
      'no agents are configured; `baton init` writes a configuration with one',
    ])
  })
})

describe('the log of a process', () => {
  const logTo = (written: string[]) => {
    const sink = { isTTY: false, write: (text: string) => void written.push(text) }
    return commandLogger({ ...testIo(), stderr: sink }, 'info')
  }

  test('lines of one turn are one write', async () => {
    const written: string[] = []
    const log = logTo(written)
    log.info('one')
    log.info('two')
    expect(written).toEqual([])
    await Promise.resolve()
    expect(written).toEqual([expect.stringMatching(/"one"\}\n.*"two"\}\n$/)])
  })

  test('a warning, which may be the last word, is written at once, in its place', () => {
    const written: string[] = []
    const log = logTo(written)
    log.info('one')
    log.error('two')
    expect(written).toEqual([expect.stringMatching(/"one"\}\n.*"two"\}\n$/)])
  })
})
