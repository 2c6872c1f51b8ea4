import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createClient } from '@baton/client'
import { fakeSubtask, fakeTask, startFakeServer } from '@baton/client/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { timelineRows } from './timeline-rows.js'
import { summaryLines, writeReport } from './write-report.js'

let out: string
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'baton-demo-'))
})
afterEach(() => rm(out, { recursive: true, force: true }))

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString()
const subtasks = [
  fakeSubtask('inventory', { state: 'completed', agent: 'repo-inventory', started_at: at(0), finished_at: at(1) }),
  fakeSubtask('audit-src', { state: 'completed', agent: 'repo-folder', title: 'Audit src/', started_at: at(1), finished_at: at(2) }),
  fakeSubtask('report', { state: 'completed', agent: 'repo-report', started_at: at(2), finished_at: at(3) }),
  fakeSubtask('never-ran', { state: 'skipped' }),
]

test('the report is fetched from all pages, written and summed up', async () => {
  const server = await startFakeServer(({ path, query }) => {
    if (path === '/workers') return { body: { workers: [{ id: 'w1' }, { id: 'w2' }], next_cursor: null } }
    if (path.endsWith('/report.md')) return { bytes: Buffer.from('# Report') }
    if (path.endsWith('/report.json'))
      return { bytes: Buffer.from(JSON.stringify({ version: 1, files: 12, folders: 1, totals: { secret: 2, todo: 0 } })) }
    const first = query.subtasks_cursor === undefined
    return { body: fakeTask({ subtasks: first ? subtasks.slice(0, 2) : subtasks.slice(2), ...(first && { subtasks_next_cursor: 'c1' }) }) }
  })
  try {
    const task = fakeTask({ status: 'completed', metrics: { ...fakeTask().metrics, elapsed_seconds: 3 } })
    const summary = await writeReport({
      client: createClient({ url: server.url }),
      task,
      out: join(out, 'baton-report'),
      svg: all => `<svg>${all.length}</svg>`,
    })
    expect(await readFile(join(out, 'baton-report', 'report.md'), 'utf8')).toBe('# Report')
    expect(await readFile(join(out, 'baton-report', 'timeline.svg'), 'utf8')).toBe('<svg>4</svg>')
    expect(summaryLines(summary, file => basename(file))).toEqual([
      '12 files in 1 folder, audited in 3s by 4 subtasks on 2 workers',
      '       2  secret',
      '',
      'report.json',
      'report.md',
      'timeline.svg',
    ])
  } finally {
    await server.stop()
  }
})

test('the timeline has a bar for each subtask that ran', () => {
  const [, audit] = timelineRows(subtasks)
  const elsewhere = subtasks.slice(0, 1).map(subtask => ({ ...subtask, worker: 'w1' }))
  expect(timelineRows(subtasks)).toHaveLength(3)
  expect(audit).toEqual({
    lane: 'repo-folder',
    label: 'Audit src/',
    startedAt: Date.parse(at(1)),
    finishedAt: Date.parse(at(2)),
    state: 'completed',
  })
  expect(timelineRows(elsewhere)[0]?.lane).toBe('repo-inventory @ w1')
})
