/** What the soak makes and measures; the soak itself is `npm run test:soak`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { orchestrateRequestSchema } from '@baton/shared'
import { expect, test } from 'vitest'
import { seeded } from '../faults/kit/index.js'
import { cleanUp } from '../harness/clean-up.js'
import { faultText, schedule } from './chaos.js'
import { growthOf, medianSlope, type Sample } from './memory.js'
import type { SoakFindings } from './report.js'
import { makeTask, shapes } from './shapes.js'
import { recoveryOf, throughputOf } from './throughput.js'
import { verdictsOf } from './verdicts.js'

test('a seed gives one schedule, which begins the same however long it is', () => {
  const texts = (seed: number, count: number) => schedule(seed, count).map(faultText)
  expect(texts(7, 60)).toEqual(texts(7, 60))
  expect(texts(7, 60).slice(0, 10)).toEqual(texts(7, 10))
  expect(texts(8, 60)).not.toEqual(texts(7, 60))
})

test('every kind of fault comes, and the last coordinator and the last worker are never killed', () => {
  const faults = schedule(1, 500)
  expect(new Set(faults.map(({ kind }) => kind)).size).toBe(8)
  const killed = faults.flatMap(fault => (fault.kind === 'kill' || fault.kind === 'restart' ? [fault.member] : []))
  expect([...new Set(killed)].sort()).toEqual(['coordinator0', 'worker0', 'worker1', 'worker2'])
})

test('the tasks of the load are acceptable, and all shapes come', () => {
  const choices = seeded(3)
  const tasks = Array.from({ length: 300 }, (_, n) => makeTask(`t${n}`, choices))
  for (const { request } of tasks) orchestrateRequestSchema.parse(request)
  expect(new Set(tasks.map(({ shape }) => shape))).toEqual(new Set(Object.keys(shapes)))
})

test('a slope is the median of those between any two points', () => {
  expect(medianSlope([0, 1, 2, 3].map(x => [x, 5 + 2 * x] as const))).toBeCloseTo(2)
  // One high reading, or one step up, is no growth that goes on.
  expect(medianSlope([0, 1, 2, 3, 4, 5].map(x => [x, x === 4 ? 90 : 5] as const))).toBe(0)
  expect(medianSlope([0, 1, 2, 3, 4, 5].map(x => [x, x > 3 ? 9 : 5] as const))).toBeLessThan(1)
})

const mib = 1_048_576
const clean: SoakFindings = {
  seed: 1,
  minutes: 10,
  rate: 1,
  cores: 2,
  loadAfter: [],
  driverCpu: 0,
  counts: {
    ...{ tasks: 1, submitted: 1, heldBack: 0, repeated: 0, decisions: 0, shapes: {}, checkedTasks: 1, checkedSubtasks: 1 },
    ...{ checkedEvents: 1, executions: 1, retried: 0, lost: 0 },
  },
  faults: [],
  throughput: { per10s: [], completed: 1, longestGapMs: 0, gapAt: 0 },
  recoveries: [],
  memory: [],
  sockets: {},
  drainedMs: 0,
  checkedMs: 0,
  leftovers: [],
  violationCount: 0,
  violations: [],
  logged: {},
}
const judge = (samples: readonly Sample[]) =>
  verdictsOf({ ...clean, memory: ['coordinator1', 'worker3'].map((member, pid) => ({ member, pid, ...growthOf(samples) })) })

/** Ten minutes of a process, a sample every 10 s, `held(minute)` MiB in its heap. */
const life = (held: (minute: number) => number, minutes = 10): Sample[] =>
  Array.from({ length: minutes * 6 }, (_, i) => {
    const heapUsed = held(i / 6) * mib
    return { at: i * 10_000, rss: 60 * mib + heapUsed, heapUsed, external: 3 * mib }
  })
/** Up to 24 MiB that come and go, every 70 s. */
const sawtooth = (minute: number) => ((minute * 60) % 70) * 0.35

test('a leak of 1.5 MiB per minute fails the soak, a sawtooth and what fills up at first do not', () => {
  expect(judge(life(minute => 30 + sawtooth(minute)))).toEqual([])
  expect(judge(life(minute => 30 + Math.min(minute, 2) * 20))).toEqual([])
  const grows = expect.stringMatching(/^(coordinator1|worker3) .* grows by 1\.\d+ MiB per minute/)
  expect(judge(life(minute => 30 + 1.5 * minute))).toEqual([grows, grows])
  expect(judge(life(minute => 30 + 1.5 * minute + sawtooth(minute)))).toEqual([grows, grows])
})

test('a process that did not live for three minutes after its second is not judged, and a soak that judged nobody fails', () => {
  const [coordinator, worker] = judge(life(minute => 30 + 5 * minute, 4.8))
  expect([coordinator, worker]).toEqual([
    'the memory of no coordinator was seen for long enough to be judged',
    'the memory of no worker was seen for long enough to be judged',
  ])
  expect(judge(life(minute => 30 + 5 * minute, 5.5))).toHaveLength(2)
})

/** Runs a process for a moment; in its samples that is ten minutes. */
async function sampled(program: string): Promise<Sample[]> {
  const directory = mkdtempSync(join(tmpdir(), 'baton-memory-'))
  cleanUp(() => rmSync(directory, { recursive: true }))
  const preload = pathToFileURL(join(import.meta.dirname, 'memory-process.mjs')).href
  const child = spawn(process.execPath, ['--import', preload, '-e', program], {
    env: { PATH: process.env.PATH, SOAK_MEMORY_DIRECTORY: directory, SOAK_MEMORY_EVERY_MS: '50' },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  expect(await once(child, 'exit')).toEqual([0, null])
  const samples = readFileSync(join(directory, `${child.pid}.jsonl`), 'utf8')
    .split('\n')
    .slice(0, -1)
  const real = samples.map(line => JSON.parse(line) as Sample) // our own module's
  const [first, last] = [real[0]?.at ?? 0, real.at(-1)?.at ?? 0]
  return real.map(sample => ({ ...sample, at: ((sample.at - first) / (last - first)) * 600_000 }))
}

test('of a process, what it leaks is seen, in its heap and outside of it, and not what it merely makes', { timeout: 30_000 }, async () => {
  // For 2.4 s: garbage all the time, of which `keep` holds 15 MiB by the end.
  const program = (keep: string) => `
    const kept = [], began = performance.now()
    const timer = setInterval(() => {
      const share = (performance.now() - began) / 2400
      for (let i = 0, made = []; i < 20_000; i++) made.push({ i, text: 'text ' + i })
      while (kept.length < 60 * Math.min(1, share)) kept.push(${keep})
      if (share >= 1) clearInterval(timer)
    }, 10)`
  const [tidy, leaky, outside] = await Promise.all(
    ['null', 'Array.from({ length: 32_768 }, (_, i) => i + 0.5)', 'Buffer.alloc(262_144, 1)'].map(keep => sampled(program(keep))),
  )
  expect(judge(tidy ?? [])).toEqual([])
  expect(judge(leaky ?? [])).toHaveLength(2)
  expect(judge(outside ?? [])).toHaveLength(2)
})

test('the longest gap, the throughput and the recovery are those of the bins', () => {
  const bins = [...Array<number>(8).fill(5), ...Array<number>(12).fill(0), ...Array<number>(60).fill(5)]
  expect(throughputOf(bins)).toEqual({ per10s: [(8 * 5 + 20 * 5) / 10, 20], completed: 340, longestGapMs: 3_000, gapAt: 2_000 })
  const happened = { fault: { kind: 'flush' as const }, from: 1_002_000, until: 1_004_000, pid: undefined }
  expect(recoveryOf(happened, { text: 'x', bins, start: 1_000_000, rate: 20 })).toEqual({ text: 'x', atMs: 2_000, recoveredMs: 500 })
})
