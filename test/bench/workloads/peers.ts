/** W1 to W3 beside other systems that keep their steps durable, by the scripts of a directory that its owner has prepared. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { startPostgres } from '@baton/cli/servers'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { type Figure, figure, type Section } from '../figures.js'
import { w1, w2 } from '../graphs.js'
import { median } from '../measure.js'
import { type PeerLine, runPeer } from '../peer-process.js'
import { bestVariant, ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'
import { batonLatencies } from './latency.js'
import { batonRound } from './throughput.js'

interface Peer {
  readonly name: string
  readonly script: string
  readonly mode: string
  /** Has to be installed in the directory. */
  readonly needs: string
  readonly onPostgres: boolean
}

const dbos = { script: 'dbos.mjs', needs: '@dbos-inc/dbos-sdk', onPostgres: true }
const restate = { script: 'restate.mjs', needs: '@restatedev/restate-sdk', onPostgres: false }
const restateCall = 'Restate, a call per step'
const peers: readonly Peer[] = [
  { ...restate, name: "Restate, steps in the handler's process", mode: 'run' },
  { ...restate, name: restateCall, mode: 'call' },
  { ...dbos, name: "DBOS, steps in the workflow's process", mode: 'steps' },
  { ...dbos, name: 'DBOS, a queued child per step', mode: 'queue' },
]

interface Round {
  readonly baton: { readonly W1: number; readonly W2: number; readonly W3: number }
  /** Lines of each peer that ran, by its name. */
  readonly peers: ReadonlyMap<string, readonly PeerLine[]>
}

export const otherPeers: Workload = async context => {
  const { peersDir, rounds, say } = context
  if (peersDir === undefined) throw new Error('say with --peers DIR where the scripts are')
  const absent = new Map<string, string>()
  for (const peer of peers) {
    const why = missing(peer, peersDir)
    if (why !== undefined) absent.set(peer.name, why)
  }
  const installed = peers.filter(({ name }) => !absent.has(name))
  if (installed.length === 0) return [sectionOf([], absent)]
  const done: Round[] = []
  for (let n = 1; n <= rounds; n++) {
    const { variants } = await batonRound(context)
    const rate = (mass: typeof w1) => median(bestVariant(variants.filter(each => each.mass === mass)).rates)
    const baton = { W1: rate(w1), W2: rate(w2), W3: (await batonLatencies(context)).p50Ms }
    say(`peers, round ${n}/${rounds}: Baton W1 ${baton.W1.toFixed(0)}, W2 ${baton.W2.toFixed(0)} subtasks/s, W3 ${baton.W3.toFixed(1)} ms`)
    const lines = new Map<string, readonly PeerLine[]>()
    for (const peer of installed) {
      const found = await runUnlessItFails(peer, peersDir, context)
      if (typeof found === 'string') absent.set(peer.name, found)
      else lines.set(peer.name, found)
      say(`peers, round ${n}/${rounds}: ${peer.name}: ${typeof found === 'string' ? found : found.map(lineText).join(', ')}`)
    }
    done.push({ baton, peers: lines })
  }
  return [sectionOf(done, absent)]
}

const lineText = ({ workload, stepsPerSecond, p50Ms }: PeerLine) =>
  stepsPerSecond === undefined ? `${workload} ${p50Ms} ms` : `${workload} ${stepsPerSecond}/s`

/** Why it cannot run. */
function missing({ script, needs }: Peer, dir: string): string | undefined {
  if (!existsSync(join(dir, script))) return `${script} is not there`
  return existsSync(join(dir, 'node_modules', needs)) ? undefined : `${needs} is not installed`
}

/** What it printed, or why it failed. */
async function runUnlessItFails(
  { script, mode, onPostgres }: Peer,
  dir: string,
  { signal }: BenchContext,
): Promise<readonly PeerLine[] | string> {
  const file = join(dir, script)
  const run = async (env: Readonly<Record<string, string>>) => (await runPeer({ script: file, args: [mode], env, signal })).lines
  try {
    return await (onPostgres ? withPostgres(run) : run({}))
  } catch (error) {
    signal.throwIfAborted()
    return error instanceof Error ? error.message : String(error)
  }
}

/** A server of its own, with the same promises to the disk as a fleet's. */
async function withPostgres<T>(work: (env: Record<string, string>) => Promise<T>): Promise<T> {
  const postgres = await startPostgres()
  try {
    const database = await openPostgres({ url: postgres.url, log: silentLogger(), max: 1 })
    await database.script('create database dbos')
    await database.close()
    const url = new URL(postgres.url)
    url.pathname = '/dbos'
    return await work({ DATABASE_URL: url.href, SERVER_PIDS: String(postgres.pid) })
  } finally {
    await postgres.stop()
  }
}

function sectionOf(rounds: readonly Round[], absent: ReadonlyMap<string, string>): Section {
  const of = (name: string, workload: string) =>
    rounds.map(round => {
      const line = round.peers.get(name)?.find(each => each.workload === workload)
      return line?.stepsPerSecond ?? line?.p50Ms ?? Number.NaN
    })
  const present = rounds.length === 0 ? [] : peers.filter(({ name }) => rounds.every(round => round.peers.has(name)))
  const best = (workload: string) => rounds.map((_, n) => Math.max(...present.map(({ name }) => of(name, workload)[n] ?? Number.NaN)))
  const baton = (workload: 'W1' | 'W2' | 'W3') => rounds.map(round => round.baton[workload])
  return {
    title: 'W1 to W3 beside other durable systems',
    how: [
      'In each round Baton first, then each script in a process of its own on private servers, with the counts in flight that it',
      'comes with; their submitter and worker share one process. Baton: a fleet as in W1 and W2, and in W3.',
    ],
    notMeasured: [...absent].map(([name, why]) => `${name}: ${why}`),
    figures: [
      ...(present.length > 0
        ? [
            figure('W1, Baton : the fastest of the peers', '×', ratiosOf(baton('W1'), best('W1')), { atLeast: 3 }),
            figure('W2, Baton : the fastest of the peers', '×', ratiosOf(baton('W2'), best('W2')), { atLeast: 1.3 }),
          ]
        : []),
      ...(present.some(({ name }) => name === restateCall)
        ? [figure(`W3, p50, Baton : ${restateCall}`, '×', ratiosOf(baton('W3'), of(restateCall, 'W3')), { below: 1 })]
        : []),
      ...(rounds.length > 0 ? figuresOf('Baton', baton) : []),
      ...present.flatMap(({ name }) => figuresOf(name, workload => of(name, workload))),
    ],
  }
}

function figuresOf(name: string, values: (workload: 'W1' | 'W2' | 'W3') => readonly number[]): Figure[] {
  return [
    figure(`${name}, W1`, 'subtasks/s', values('W1')),
    figure(`${name}, W2`, 'subtasks/s', values('W2')),
    figure(`${name}, W3, p50`, 'ms', values('W3')),
  ]
}
