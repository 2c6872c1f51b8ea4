/** `baton demo [DIR]`: audits a repository with a fleet of agents, and shows what a task is on the way. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { BatonError } from '@baton/shared'
import { shortName } from '../config/load.js'
import { loadRepoAudit } from '../demo/repo-audit.js'
import { fleetStage, localStage } from '../demo/stage.js'
import { timelineRows } from '../demo/timeline-rows.js'
import { summaryLines, writeReport } from '../demo/write-report.js'
import { type ExitCode, exitCodeOfStatus } from '../exit-codes.js'
import { followTask, outcomeLines } from '../follow.js'
import type { Io } from '../io.js'
import { planLines } from '../output/plan.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { paintFor } from '../output/style.js'

interface DemoOptions {
  readonly fleet?: boolean
  readonly out?: string
  readonly json?: boolean
}

export async function demo(args: readonly string[], given: DemoOptions, io: Io): Promise<ExitCode> {
  const { dir, options } = readArguments(args, given)
  const root = resolve(io.calledFrom, dir)
  if (!(await stat(root).catch(() => undefined))?.isDirectory())
    throw new BatonError('invalid_request', `${root} is not a directory; name one: baton demo DIR`)
  const audit = await loadRepoAudit()
  const say = (lines: readonly string[]) => options.json || printLines(io, lines)
  const signal = io.interruption()

  say([
    options.fleet ? 'starting private servers, a coordinator and three workers' : 'starting a coordinator and a worker in this process',
    '',
  ])
  const stage = options.fleet ? await fleetStage(io, signal) : await localStage(audit)
  try {
    const { client } = stage
    const taskId = `repo-audit-${Date.now().toString(36)}`
    const planned = await client.tasks.submit(audit.auditTask(root, taskId))
    say([...planLines(planned, { paint: paintFor(io), columns: columnsOf(io) }), ''])
    await client.tasks.execute(taskId)
    const task = await followTask({ client, taskId, io, show: options.json ? 'silent' : 'human', signal })
    say([...outcomeLines(task, io), ''])
    if (task.status !== 'completed') {
      if (options.json) printJson(io, { status: task.status, task })
      return exitCodeOfStatus(task.status)
    }
    const out = resolve(io.calledFrom, options.out ?? 'baton-report')
    const summary = await writeReport({
      client,
      task,
      out,
      svg: subtasks => audit.timelineSvg(timelineRows(subtasks), { title: task.title }),
    })
    if (options.json) printJson(io, summary)
    else
      printLines(
        io,
        summaryLines(summary, file => shortName(file, io.calledFrom)),
      )
    return exitCodeOfStatus(task.status)
  } finally {
    await stage.stop()
  }
}

/** What npm hands over may hold a `--`, and flags behind it that were not read as flags. */
export function readArguments(args: readonly string[], given: DemoOptions): { dir: string; options: DemoOptions } {
  const rest = args.filter(argument => argument !== '--')
  const options: { fleet?: boolean; json?: boolean; out?: string } = { ...given }
  const dirs: string[] = []
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === '--fleet') options.fleet = true
    else if (argument === '--json') options.json = true
    else if (argument === '--out' && rest.length > 0) options.out = rest.shift() ?? ''
    else if (argument.startsWith('--out=')) options.out = argument.slice('--out='.length)
    else if (argument.startsWith('-'))
      throw new BatonError('invalid_request', `unknown option ${argument}; \`baton demo --help\` says what there is`)
    else dirs.push(argument)
  }
  if (dirs.length > 1) throw new BatonError('invalid_request', `one directory is audited at a time, not ${dirs.join(' and ')}`)
  return { dir: dirs[0] ?? '.', options }
}
