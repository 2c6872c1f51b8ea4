/** A script of `peers/`, run as a process of its own; what it prints are lines of JSON. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { basename, dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { cleanEnvironment } from './baton-process.js'
import { peakBytes } from './measure.js'

/** What common.mjs prints of a workload. */
export interface PeerLine {
  readonly peer: string
  readonly workload: string
  readonly stepsPerSecond?: number
  readonly cpuSecondsPer1000Steps?: number
  readonly runs?: readonly number[]
  readonly p50Ms?: number
  readonly p99Ms?: number
}

export interface PeerRun {
  readonly lines: readonly PeerLine[]
  /** Of the script's own process, its servers not included. */
  readonly peakMegabytes: number
}

interface PeerOptions {
  readonly script: string
  readonly args?: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

const lookMs = 200
const limitMs = 600_000

/** Throws what the script said when it failed. */
export async function runPeer({ script, args = [], env, signal }: PeerOptions): Promise<PeerRun> {
  const child = spawn(process.execPath, [script, ...args], {
    cwd: dirname(script),
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, AbortSignal.timeout(limitMs)]),
    killSignal: 'SIGKILL',
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const lines: PeerLine[] = []
  const said: string[] = []
  let peak = 0
  const look = () => {
    if (child.pid !== undefined) peak = Math.max(peak, peakBytes(child.pid))
  }
  const looking = setInterval(look, lookMs)
  createInterface({ input: child.stderr }).on('line', line => void said.push(line))
  createInterface({ input: child.stdout }).on('line', line => {
    look()
    if (line.startsWith('{'))
      lines.push(JSON.parse(line) as PeerLine) // as common.mjs writes it
    else said.push(line)
  })
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    if (code !== 0 || lines.length === 0)
      throw new Error(`${basename(script)} ended with code ${code}; it said: ${said.slice(-10).join(' | ')}`)
  } finally {
    clearInterval(looking)
    process.off('exit', kill)
  }
  return { lines, peakMegabytes: peak / 1e6 }
}
