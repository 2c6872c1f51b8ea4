/** Fetches what the audit made, and writes it where the user called from. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Client } from '@baton/client'
import { BatonError, formatDuration, type SubtaskView, type TaskView } from '@baton/shared'

export interface Summary {
  readonly status: TaskView['status']
  readonly totals: Readonly<Record<string, number>>
  readonly files: number
  readonly folders: number
  readonly subtasks: number
  readonly workers: number
  readonly elapsed_seconds: number
  /** Where the files are. */
  readonly written: readonly string[]
}

interface Report {
  readonly client: Client
  readonly task: TaskView
  readonly out: string
  readonly svg: (subtasks: readonly SubtaskView[]) => string
}

export async function writeReport({ client, task, out, svg }: Report): Promise<Summary> {
  const subtasks: SubtaskView[] = []
  for await (const subtask of client.tasks.subtasks(task.task_id)) subtasks.push(subtask)
  const reporter = subtasks.find(subtask => subtask.name === 'report')
  if (!reporter) throw new BatonError('subtask_not_found', `the task ${task.task_id} has no subtask \`report\``)
  await mkdir(out, { recursive: true })
  const files: [string, Uint8Array | string][] = [['timeline.svg', svg(subtasks)]]
  for (const name of ['report.md', 'report.json'])
    files.unshift([name, await client.tasks.artifact(task.task_id, reporter.subtask_id, name)])
  for (const [name, content] of files) await writeFile(join(out, name), content)
  const json = files.find(([name]) => name === 'report.json')?.[1]
  const report = JSON.parse(Buffer.from(json ?? '{}').toString('utf8')) as Partial<Pick<Summary, 'totals' | 'files' | 'folders'>> // made by the example's own agent
  return {
    status: task.status,
    totals: report.totals ?? {},
    files: report.files ?? 0,
    folders: report.folders ?? 0,
    subtasks: subtasks.length,
    workers: (await client.workers.list()).length,
    elapsed_seconds: task.metrics.elapsed_seconds,
    written: files.map(([name]) => join(out, name)),
  }
}

/** `shorten` turns a path into what the user is shown. */
export function summaryLines(summary: Summary, shorten: (file: string) => string): string[] {
  const { totals, files, folders, subtasks, workers, elapsed_seconds, written } = summary
  const found = Object.entries(totals).filter(([, count]) => count > 0)
  const plural = (count: number, one: string) => `${count} ${count === 1 ? one : `${one}s`}`
  return [
    `${plural(files, 'file')} in ${plural(folders, 'folder')}, audited in ${formatDuration(elapsed_seconds * 1_000)} by ${plural(subtasks, 'subtask')} on ${plural(workers, 'worker')}`,
    ...(found.length === 0
      ? ['nothing was found']
      : found.map(([kind, count]) => `${String(count).padStart(8)}  ${kind.replaceAll('_', ' ')}`)),
    '',
    ...written.map(shorten),
  ]
}
