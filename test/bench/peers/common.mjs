// Set by the environment, for comparisons: IN_FLIGHT (tasks), WORKLOADS (W1,W2,W3), RUNS (of each throughput workload in
// this process), LATENCIES (how often W3 runs). Without them:
//
// The workloads, the same for every peer:
//   W1  1,000 tasks, each a chain of 3 no-op steps        (100 in flight)
//   W2  200 tasks, each 20 parallel no-op steps and a join (50 in flight)
//   W3  one 3-step chain at a time on an idle system, 100 times: latency in ms
// Every peer prints one JSON line per workload. CPU counts user + system seconds of this process and of the
// process trees named by SERVER_PIDS (comma-separated), reaped children included.
import { readFileSync } from 'node:fs'

const given = name => (process.env[name] ? Number(process.env[name]) : undefined)
export const inFlightOr = fallback => given('IN_FLIGHT') ?? fallback
const isChosen = workload => (process.env.WORKLOADS ?? 'W1,W2,W3').split(',').includes(workload)

const ticksPerSecond = 100
const stat = pid => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
}
const children = pid => {
  try { return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number) } catch { return [] }
}
const treeCpu = pid => {
  try {
    const s = stat(pid)
    return (s[11] + s[12] + s[13] + s[14]) / ticksPerSecond + children(pid).reduce((sum, child) => sum + treeCpu(child), 0)
  } catch { return 0 }
}
export const serverPids = () => (process.env.SERVER_PIDS ?? '').split(',').filter(Boolean).map(Number)
const cpu = pids => [process.pid, ...pids].reduce((sum, pid) => sum + treeCpu(pid), 0)

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))]
const round = x => Math.round(x * 100) / 100

async function inFlight(count, limit, run) {
  let next = 0
  await Promise.all(Array.from({ length: Math.min(limit, count) }, async () => { while (next < count) await run(next++) }))
}

/** Runs W1 to W3 on `{ chain(id), fan(id) }`, each resolving when the whole task has ended. `scale` shrinks a slow peer's counts. */
export async function bench({ peer, chain, fan, pids = serverPids(), runs = 3, scale = 1 }) {
  runs = given('RUNS') ?? runs
  const throughput = async (workload, run, tasks, limit, steps) => {
    if (!isChosen(workload)) return
    await inFlight(Math.min(30, tasks), 20, i => run(`warm-${workload}-${i}-${Date.now()}`))
    const samples = []
    for (let r = 0; r < runs; r++) {
      const began = performance.now(), cpuBefore = cpu(pids)
      await inFlight(tasks, limit, i => run(`${workload}-${r}-${i}-${Date.now()}`))
      const seconds = (performance.now() - began) / 1000
      samples.push({ stepsPerSecond: tasks * steps / seconds, cpuPer1000: (cpu(pids) - cpuBefore) / (tasks * steps) * 1000 })
    }
    console.log(JSON.stringify({
      peer, workload,
      stepsPerSecond: Math.round(quantile(samples.map(s => s.stepsPerSecond), 0.5)),
      cpuSecondsPer1000Steps: round(quantile(samples.map(s => s.cpuPer1000), 0.5)),
      runs: samples.map(s => Math.round(s.stepsPerSecond)),
    }))
  }
  await throughput('W1', chain, Math.round(1000 * scale), inFlightOr(100), 3)
  await throughput('W2', fan, Math.round(200 * scale), inFlightOr(50), 21)
  if (!isChosen('W3')) return
  await new Promise(resolve => setTimeout(resolve, 1500))
  const latencies = []
  for (let i = 0; i < Math.max(10, Math.round((given('LATENCIES') ?? 100) * scale)); i++) {
    const began = performance.now()
    await chain(`W3-${i}-${Date.now()}`)
    if (i >= 5) latencies.push(performance.now() - began)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  console.log(JSON.stringify({ peer, workload: 'W3', p50Ms: round(quantile(latencies, 0.5)), p99Ms: round(quantile(latencies, 0.99)) }))
}
