/** How long the first `npm run demo` takes in a checkout whose dependencies are installed and nothing else was done. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanEnvironment } from '../baton-process.js'
import { figure } from '../figures.js'
import type { BenchContext, Workload } from '../workload.js'

const checkout = fileURLToPath(new URL('../../../../', import.meta.url))
const targetSeconds = 20
const repeats = 3
const limitMs = 180_000
/** What a fresh clone does not have. `node_modules` is copied beside them: the installation is not measured. */
const leftOut = new Set(['dist', 'prepared', 'coverage', 'logs', 'baton-report', '.baton', '.git'])

export const coldDemo: Workload = async context => {
  const runs: number[] = []
  for (let n = 1; n <= repeats; n++) {
    const seconds = await firstDemo(context)
    context.say(`cold demo ${n}/${repeats}: ${seconds.toFixed(1)} s`)
    runs.push(seconds)
  }
  return [
    {
      title: 'Cold demo',
      how: [
        '`npm run demo` in a fresh copy of this checkout with its installed dependencies, and without anything compiled or',
        'prepared: from its spawn to its exit, compiling, preparing the database and the whole audit included. The',
        "operating system's file cache is warm.",
      ],
      figures: [figure('npm run demo, first time', 's', runs, { below: targetSeconds })],
    },
  ]
}

async function firstDemo({ signal, say }: BenchContext): Promise<number> {
  signal.throwIfAborted()
  const parent = await mkdtemp(join(tmpdir(), 'baton-bench-demo-'))
  const copy = join(parent, 'baton')
  try {
    say('copying the checkout')
    await cp(checkout, copy, {
      recursive: true,
      verbatimSymlinks: true, // the workspaces' links have to lead into the copy
      filter: file => file.includes('/node_modules/') || !(leftOut.has(basename(file)) || file.endsWith('.tsbuildinfo')),
    })
    await markInstalled(copy)
    const begun = performance.now()
    await run('npm', ['run', 'demo'], { cwd: copy, signal })
    return (performance.now() - begun) / 1_000
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
}

/** As npm leaves it: its own record of the installation is the newest file. */
async function markInstalled(copy: string): Promise<void> {
  await utimes(join(copy, 'node_modules', '.package-lock.json'), new Date(), new Date())
}

async function run(command: string, args: readonly string[], { cwd, signal }: { cwd: string; signal: AbortSignal }): Promise<void> {
  const child = spawn(command, args, { cwd, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said.push(text)
    })
  // npm does not pass a SIGKILL on: the whole group is meant.
  const kill = () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL')
  }
  const timer = setTimeout(kill, limitMs)
  signal.addEventListener('abort', kill, { once: true })
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    signal.throwIfAborted()
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with code ${code}; it said: ${said.join('').slice(-2_000)}`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', kill)
  }
}
