/**
 * `npm run bench`: measures, prints, and fails when a target is missed. docs/performance.md says what each part is.
 *
 * Exit codes: 0 every target was met; 1 one was missed, or a workload failed; 2 wrong arguments.
 */
import { setMaxListeners } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { floorText, isMet, numberText, type Section, sectionLines, targetText } from './figures.js'
import { othersSince } from './others.js'
import { defaultSuite, suites, workloads } from './parts.js'
import { plotOf } from './plot.js'
import type { BenchContext } from './workload.js'

const defaultRounds = 3
const defaultHistory = 2_000_000

const usage = [
  'npm run bench -- [NAME...] [--rounds N] [--history N] [--json FILE] [--svg FILE] [--peers DIR] [--profile DIR] [--observed]',
  '',
  ...Object.entries(suites).map(
    ([name, parts]) => `  ${name.padEnd(14)} ${parts.join(', ')}${name === defaultSuite ? '; without a NAME' : ''}`,
  ),
  `  other NAMEs    ${Object.keys(workloads)
    .filter(name => !Object.values(suites).flat().includes(name))
    .join(', ')}`,
  `  --rounds N     how often the sides of a comparison take turns; default ${defaultRounds}`,
  `  --history N    how many finished subtasks w9 puts into the tables; default ${defaultHistory}`,
  '  --json FILE    writes all figures there too',
  '  --svg FILE     draws the ratios, with their spread and their targets',
  '  --peers DIR    runs the scripts of other peers too (part `peers`); DIR has them, and what they need installed',
  '  --profile DIR  writes CPU profiles of the fleet processes and the costliest SQL statements there, which slows them down',
  '  --observed     watches over the fleets: a log file at info, metrics that are scraped, traces of every tenth task',
].join('\n')

const out = (line: string) => process.stdout.write(`${line}\n`)
const say = (line: string) => process.stderr.write(`${line}\n`)

interface Choice {
  readonly names: readonly string[]
  readonly rounds: number
  readonly history: number
  readonly json: string | undefined
  readonly svg: string | undefined
  readonly peers: string | undefined
  readonly profile: string | undefined
  readonly observed: boolean
}

/** What was asked for, or what is wrong with it. */
function chosen(): Choice | string {
  try {
    const text = { type: 'string' } as const
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { rounds: text, history: text, json: text, svg: text, peers: text, profile: text, observed: { type: 'boolean' } },
    })
    const { json, svg, peers, profile } = values
    const asked = positionals.length > 0 ? positionals : [defaultSuite]
    const names = [...new Set([...asked.flatMap(name => suites[name] ?? [name]), ...(peers === undefined ? [] : ['peers'])])]
    const unknown = names.filter(name => !Object.hasOwn(workloads, name))
    if (unknown.length > 0) return `there is no ${unknown.join(', no ')}`
    const rounds = Number(values.rounds ?? defaultRounds)
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) return `--rounds takes a whole number from 1 to 100, not ${values.rounds}`
    const history = Number(values.history ?? defaultHistory)
    if (!Number.isInteger(history) || history < 1_000) return `--history takes a whole number from 1000, not ${values.history}`
    if (names.includes('peers') && peers === undefined) return 'peers needs --peers DIR'
    return { names, rounds, history, json, svg, peers, profile, observed: values.observed ?? false }
  } catch (error) {
    return error instanceof Error ? error.message : String(error) // an unknown option
  }
}

async function bench(): Promise<number> {
  const choice = chosen()
  if (typeof choice === 'string') {
    say(`${choice}\n\n${usage}`)
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
    rounds: choice.rounds,
    history: choice.history,
    ...(choice.peers !== undefined && { peersDir: resolve(choice.peers) }),
    ...(profileDir !== undefined && { profileDir }),
    observed: choice.observed,
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
  out(`${choice.names.join(', ')}; rounds: ${choice.rounds}`)
  out('')
  const sections: Section[] = []
  const failures: string[] = []
  const othersCores: Record<string, number> = {}
  for (const name of choice.names) {
    const others = othersSince()
    try {
      for (const section of (await workloads[name]?.(context)) ?? []) {
        sections.push(section)
        for (const line of sectionLines(section)) out(line)
      }
    } catch (error) {
      failures.push(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}`)
      if (interrupted.signal.aborted) break
    }
    othersCores[name] = others()
    out(`${name}: meanwhile other processes used ${numberText(others())} of ${machine.cores} cores`)
    out('')
  }
  const missed = sections.flatMap(({ title, figures }) =>
    figures.flatMap(each =>
      isMet(each) || !each.target
        ? []
        : [
            `MISSED ${title}: ${each.name} is ${numberText(each.value)} ${each.unit}, the target is ${targetText(each.target)} ${each.unit}${floorText(each)}`,
          ],
    ),
  )
  const verdicts = [...missed, ...failures]
  const notMeasured = sections.flatMap(section => section.notMeasured ?? [])
  const held = sections.some(({ figures }) => figures.some(({ target }) => target !== undefined))
  const loadAfter = loadavg()
  out(`load after ${loadAfter.map(numberText).join(' ')}; what others used of this machine is missing in these figures`)
  for (const what of notMeasured) out(`NOT MEASURED ${what}`)
  for (const line of verdicts.length > 0 ? verdicts : [held ? 'every target was met' : 'nothing was held against a target']) out(line)
  if (choice.json !== undefined)
    await writeFile(
      choice.json,
      `${JSON.stringify({ machine: { ...machine, load_after: loadAfter }, others_cores: othersCores, sections, verdicts, not_measured: notMeasured }, undefined, 2)}\n`,
    )
  if (choice.svg !== undefined) {
    const title = `Baton, ${machine.cores} cores of ${machine.cpu}, ${machine.measured_at.slice(0, 16)}Z, rounds: ${choice.rounds}`
    await writeFile(choice.svg, plotOf({ title, sections }))
  }
  return verdicts.length > 0 ? 1 : 0
}

process.exitCode = await bench()
