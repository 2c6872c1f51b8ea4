/**
 * `npm run test:soak -- --minutes 10 --seed 7 --rate 500`: a fleet with its full durations, under load, at which something
 * breaks every ten seconds; and at the end its whole history is held to the invariants.
 *
 * Exit codes: 0 everything holds; 1 something does not; 2 wrong arguments.
 */
import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { reportLines } from './report.js'
import { soak } from './soak.js'

const usage = [
  'npm run test:soak -- [--minutes N] [--seed S] [--rate R] [--json FILE]',
  '',
  '  --minutes N   how long the load and the faults last; default 10',
  '  --seed S      of the tasks, of the faults and of the decisions; default: a random one, which is printed',
  '  --rate R      subtasks per second; default 500',
  '  --json FILE   writes everything that is printed there, for programs',
].join('\n')

function chosen() {
  try {
    const { values } = parseArgs({
      options: { minutes: { type: 'string' }, seed: { type: 'string' }, rate: { type: 'string' }, json: { type: 'string' } },
    })
    const minutes = Number(values.minutes ?? 10)
    const rate = Number(values.rate ?? 500)
    const seed = Number(values.seed ?? randomInt(2 ** 31))
    const valid =
      minutes > 0 && minutes <= 24 * 60 && rate >= 1 && rate <= 5_000 && Number.isSafeInteger(seed) && seed >= 0 && seed < 2 ** 32
    return valid ? { minutes, rate, seed, json: values.json } : undefined
  } catch {
    return undefined // an unknown option
  }
}

async function main(): Promise<number> {
  const choice = chosen()
  if (choice === undefined || process.platform !== 'linux') {
    process.stderr.write(`${choice ? 'the soak reads /proc, which this system does not have; run it on Linux' : usage}\n`)
    return 2
  }
  const out = (line: string) => process.stdout.write(`${line}\n`)
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  process.once('SIGTERM', () => interrupted.abort())
  const report = await soak({ ...choice, say: out, signal: interrupted.signal })
  for (const line of reportLines(report)) out(line)
  if (choice.json !== undefined) await writeFile(choice.json, `${JSON.stringify(report, undefined, 2)}\n`)
  return report.verdicts.length > 0 ? 1 : 0
}

process.exitCode = await main()
