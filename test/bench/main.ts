/**
 * `npm run bench -- smoke`: measures, prints, and fails when a target is missed.
 *
 * Exit codes: 0 every target was met; 1 one was missed, or a workload failed; 2 wrong arguments.
 */
import { setMaxListeners } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { isMet, numberText, type Section, sectionLines, targetText } from './figures.js'
import type { BenchContext, Workload } from './workload.js'
import { chains } from './workloads/chains.js'
import { coldDemo } from './workloads/cold-demo.js'
import { idle } from './workloads/idle.js'
import { localReady } from './workloads/local-ready.js'
import { recovery } from './workloads/recovery.js'

const workloads: Readonly<Record<string, Workload>> = { 'cold-demo': coldDemo, 'local-ready': localReady, idle, chains, recovery }
const suites: Readonly<Record<string, readonly string[]>> = { smoke: ['cold-demo', 'local-ready', 'idle', 'chains'] }

const usage = [
  'npm run bench -- NAME... [--json FILE] [--profile DIR]',
  '',
  `  NAME           ${[...Object.keys(suites), ...Object.keys(workloads)].join(', ')}`,
  '  --json FILE    writes all figures there too',
  '  --observed     with a log file at info, metrics that are scraped, and traces of every tenth task',
  '  --profile DIR  writes CPU profiles of the fleet processes there, which slows them down',
].join('\n')

const out = (line: string) => process.stdout.write(`${line}\n`)
const say = (line: string) => process.stderr.write(`${line}\n`)

function chosen(): { names: string[]; json: string | undefined; profile: string | undefined; observed: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { json: { type: 'string' }, profile: { type: 'string' }, observed: { type: 'boolean' } },
    })
    const names = [...new Set(positionals.flatMap(name => suites[name] ?? [name]))]
    return names.length > 0 && names.every(name => workloads[name])
      ? { names, json: values.json, profile: values.profile, observed: values.observed ?? false }
      : undefined
  } catch {
    return undefined // an unknown option
  }
}

async function bench(): Promise<number> {
  const choice = chosen()
  if (choice === undefined) {
    say(usage)
    return 2
  }
  if (process.platform !== 'linux') {
    say('the bench reads CPU and memory from /proc, which this system does not have; run it on Linux')
    return 2
  }
  const interrupted = new AbortController()
  setMaxListeners(0, interrupted.signal) // every wait for a task listens to it
  process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))
  process.once('SIGTERM', () => interrupted.abort(new Error('interrupted')))
  const profileDir = choice.profile === undefined ? undefined : resolve(choice.profile)
  if (profileDir !== undefined) await mkdir(profileDir, { recursive: true })
  const context: BenchContext = {
    signal: interrupted.signal,
    say,
    observed: choice.observed,
    ...(profileDir !== undefined && { profileDir }),
  }

  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 1e9),
    node: process.version,
    load_before: loadavg(),
    measured_at: new Date().toISOString(),
  }
  out(
    `${machine.measured_at}  ${machine.cores} cores of ${machine.cpu}, ${machine.memory_gb} GB, Node ${machine.node}, load before ${machine.load_before.map(numberText).join(' ')}`,
  )
  if (profileDir !== undefined) out('the fleet processes are being profiled: their figures are worse than without')
  out('')
  const sections: Section[] = []
  const failures: string[] = []
  for (const name of choice.names) {
    try {
      for (const section of (await workloads[name]?.(context)) ?? []) {
        sections.push(section)
        for (const line of sectionLines(section)) out(line)
      }
    } catch (error) {
      failures.push(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}`)
      if (interrupted.signal.aborted) break
    }
  }
  const missed = sections.flatMap(({ title, figures }) =>
    figures.flatMap(each =>
      isMet(each) || !each.target
        ? []
        : [
            `MISSED ${title}: ${each.name} is ${numberText(each.value)} ${each.unit}, the target is ${targetText(each.target)} ${each.unit}`,
          ],
    ),
  )
  const verdicts = [...missed, ...failures]
  const loadAfter = loadavg()
  out(`load after ${loadAfter.map(numberText).join(' ')}; what else ran on this machine meanwhile is in these figures`)
  for (const line of verdicts.length > 0 ? verdicts : ['every target was met']) out(line)
  if (choice.json !== undefined)
    await writeFile(
      choice.json,
      `${JSON.stringify({ machine: { ...machine, load_after: loadAfter }, sections, verdicts }, undefined, 2)}\n`,
    )
  return verdicts.length > 0 ? 1 : 0
}

process.exitCode = await bench()
