/**
 * How soon a fleet goes on, with the default lease of 6 s: after a worker with 50 active attempts died, after a coordinator
 * died under load, after Redis was emptied with 1,000 jobs in it. Times are taken from outside (the moment of the kill to
 * the moment at which Postgres says that it is done); the worst of the runs is held against the target.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@baton/client'
import type { OrchestrateRequest } from '@baton/shared'
import { readJobs } from '../../faults/history/collect.js'
import { redisCommand } from '../../harness/redis-command.js'
import type { BatonProcess } from '../baton-process.js'
import { peak, type Section } from '../figures.js'
import { type RecoveryFleet, startRecoveryFleet } from '../recovery-fleet.js'
import type { BenchContext, Workload } from '../workload.js'

const runs = 3
const leaseSeconds = 6
const active = 50
const rung = 1_000
const namespace = 'baton'
const lookMs = 10
const giveUpMs = 60_000

const load = { everyMs: 100, tasks: 5, steps: 2, beforeMs: 4_000, afterMs: 8_000 }

export const recovery: Workload = async context => {
  const fleet = await startRecoveryFleet({ coordinators: 2, workers: 1 }, context)
  try {
    return [await workerKilled(fleet, context), await coordinatorKilled(fleet, context), await redisEmptied(fleet, context)]
  } finally {
    await fleet.stop()
  }
}

/** Of what the fleet does not finish in time nothing is known but that. */
async function until(what: string, done: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  const begun = performance.now()
  while (!(await done())) {
    if (performance.now() - begun > giveUpMs) throw new Error(`${what}: not within ${giveUpMs / 1_000} s`)
    await delay(lookMs, undefined, { signal })
  }
}

const tasksIn = async (fleet: RecoveryFleet, states: readonly string[], prefix: string): Promise<number> => {
  const [row] = await fleet.rows<{ n: number }>(
    `select count(*)::int as n from tasks t join subtask_states s on s.task_pk = t.id
     where t.tenant_id = 1 and t.task_id like $1 and s.state = any ($2::text[])`,
    [`${prefix}%`, states],
  )
  return row?.n ?? 0
}

const taskOf = (taskId: string, capability: string, count: number): OrchestrateRequest => ({
  task_id: taskId,
  title: `${count} of ${capability}`,
  execute: true,
  subtasks: Array.from({ length: count }, (_, i) => ({ name: `s${i}`, capability })),
})

function livingCoordinator(fleet: RecoveryFleet): BatonProcess {
  const found = fleet.coordinators.find(({ lives }) => lives)
  if (!found) throw new Error('no coordinator lives')
  return found
}

/** The only worker gets the attempts; then a second one comes, and the first is killed. */
async function workerKilled(fleet: RecoveryFleet, { say, signal }: BenchContext): Promise<Section> {
  const seconds: number[] = []
  for (let n = 1; n <= runs; n++) {
    const prefix = `worker-killed-${n}`
    const victim = fleet.workers.find(({ lives }) => lives)
    if (!victim) throw new Error('no worker lives')
    await createClient({ url: livingCoordinator(fleet).url }).tasks.submit(taskOf(prefix, 'stuck-once', active))
    await until(`${active} attempts run`, async () => (await tasksIn(fleet, ['running'], prefix)) === active, signal)
    await fleet.addWorker()
    const killedAt = performance.now()
    await victim.kill()
    await until(`${active} completed elsewhere`, async () => (await tasksIn(fleet, ['completed'], prefix)) === active, signal)
    seconds.push((performance.now() - killedAt) / 1_000)
    const elsewhere = await fleet.rows(
      `select 1 from attempts a join subtasks d on d.id = a.subtask_pk join tasks t on t.id = d.task_pk
       where t.task_id = $1 and a.outcome = 'completed' and a.attempt = 2 and a.worker_id <> $2`,
      [prefix, victim.id],
    )
    if (elsewhere.length !== active)
      throw new Error(`only ${elsewhere.length} of ${active} were completed by another worker's second attempt`)
    say(`recovery, worker killed ${n}/${runs}: ${seconds.at(-1)?.toFixed(2)} s`)
  }
  return {
    title: `Recovery: a worker with ${active} active attempts is killed`,
    how: [
      `Two coordinators; one worker runs ${active} attempts at once that never end by themselves; a second, idle one is there.`,
      'SIGKILL to the first. Time runs from the signal until Postgres says that all of them are completed: each by a second',
      'attempt, which is done at once, on the other worker.',
    ],
    figures: [peak(`all ${active} completed elsewhere, the worst run`, 's', seconds, { atMost: leaseSeconds + 4 })],
  }
}

/** Whoever sends the load goes to the other coordinator when one does not answer; a repeat of a task is the same task. */
async function submitSomewhere(fleet: RecoveryFleet, tasks: readonly OrchestrateRequest[], n: number): Promise<void> {
  const body = JSON.stringify({ tasks })
  for (let i = n; ; i++) {
    const { url } = fleet.coordinators[i % fleet.coordinators.length] ?? livingCoordinator(fleet)
    const answer = await fetch(`${url}/tasks/batch`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(5_000),
    }).catch(() => undefined)
    if (answer?.ok) return
    if (i > n + 50) throw new Error(`no coordinator takes the load: ${answer?.status ?? 'no answer'}`)
    await delay(50)
  }
}

const chainOfTwo = (taskId: string): OrchestrateRequest => ({
  task_id: taskId,
  title: 'a chain of two',
  execute: true,
  subtasks: [
    { name: 'first', capability: 'brief' },
    { name: 'second', capability: 'brief', depends_on: ['first'] },
  ],
})

interface Gaps {
  readonly all: number
  readonly oneWorker: number
}

async function coordinatorKilled(fleet: RecoveryFleet, { say, signal }: BenchContext): Promise<Section> {
  const gaps: Gaps[] = []
  const steady: number[] = []
  while (fleet.workers.filter(({ lives }) => lives).length < 2) await fleet.addWorker()
  for (let n = 1; n <= runs; n++) {
    const prefix = `coordinator-killed-${n}`
    fleet.coordinators.splice(0, fleet.coordinators.length, ...fleet.coordinators.filter(({ lives }) => lives))
    while (fleet.coordinators.length < 2) await fleet.addCoordinator()
    const sending: Promise<void>[] = []
    const problems: unknown[] = []
    let sent = 0
    const send = async (ms: number) => {
      for (const end = performance.now() + ms; performance.now() < end; ) {
        const tasks = Array.from({ length: load.tasks }, () => chainOfTwo(`${prefix}-${sent++}`))
        sending.push(submitSomewhere(fleet, tasks, sent / load.tasks).catch(problem => void problems.push(problem)))
        await delay(load.everyMs, undefined, { signal })
      }
    }
    await send(load.beforeMs)
    // The one that has been there for longer: its peers' workers are with it too.
    await fleet.coordinators[0]?.kill()
    const [killed] = await fleet.rows<{ at: number }>(`select extract(epoch from clock_timestamp())::float8 as at`)
    await send(load.afterMs)
    await Promise.all(sending)
    if (problems.length > 0) throw problems[0]
    const ended = await fleet.rows<{ at: number }>(`select extract(epoch from clock_timestamp())::float8 as at`)
    await until('all tasks completed', async () => (await tasksIn(fleet, ['completed'], prefix)) === sent * load.steps, signal)
    const window = { prefix, killedAt: killed?.at ?? 0, endedAt: ended[0]?.at ?? 0 }
    gaps.push({
      all: await longestGap(fleet, { ...window, perWorker: false }),
      oneWorker: await longestGap(fleet, { ...window, perWorker: true }),
    })
    steady.push(await longestGap(fleet, { prefix, killedAt: 0, endedAt: killed?.at ?? 0, perWorker: false }))
    say(
      `recovery, coordinator killed ${n}/${runs}: longest gap ${gaps.at(-1)?.all.toFixed(2)} s, of one worker ${gaps.at(-1)?.oneWorker.toFixed(2)} s`,
    )
  }
  const perSecond = (load.tasks * load.steps * 1_000) / load.everyMs
  return {
    title: 'Recovery: a coordinator is killed under load',
    how: [
      `Two coordinators, two workers; ${perSecond} subtasks/s (chains of ${load.steps}, 20 ms each) are submitted for ${(load.beforeMs + load.afterMs) / 1_000} s, to both in turn, and to the`,
      `other one when one does not answer. SIGKILL to one after ${load.beforeMs / 1_000} s. All tasks were completed, or this would have failed.`,
      'The gap is the longest time between two completions, as Postgres wrote them down, from a second before the kill until the',
      'load ended: of the whole fleet, and of the worker that had to wait longest. Before the kill: the same for comparison.',
    ],
    figures: [
      peak(
        'longest gap in completions, the worst run',
        's',
        gaps.map(({ all }) => all),
        { atMost: 3 },
      ),
      peak(
        '- of one worker',
        's',
        gaps.map(({ oneWorker }) => oneWorker),
      ),
      peak('- of the fleet before the kill', 's', steady),
    ],
  }
}

/** Seconds. The window's own ends count too: a fleet that never goes on has a gap until the end. */
async function longestGap(
  fleet: RecoveryFleet,
  { prefix, killedAt, endedAt, perWorker }: { prefix: string; killedAt: number; endedAt: number; perWorker: boolean },
): Promise<number> {
  const [row] = await fleet.rows<{ gap: number | null }>(
    `with done as (
       select extract(epoch from a.finished_at)::float8 as at, case when $4 then a.worker_id else '' end as who
       from tasks t join subtasks d on d.task_pk = t.id join attempts a on a.subtask_pk = d.id
       where t.tenant_id = 1 and t.task_id like $1 and a.outcome = 'completed'
     ), inside as (
       select at, who from done where at between $2::float8 - 1 and $3::float8
       union all select $3::float8, who from done group by who
     )
     select max(at - before)::float8 as gap from (select at, lag(at) over (partition by who order by at) as before from inside) each`,
    [`${prefix}-%`, killedAt, endedAt, perWorker],
  )
  return row?.gap ?? Number.NaN
}

/** The workers are frozen while the jobs are rung, so that all of them lie in Redis when it is emptied. */
async function redisEmptied(fleet: RecoveryFleet, { say, signal }: BenchContext): Promise<Section> {
  const seconds = { emptied: [] as number[], untouched: [] as number[] }
  const { redisUrl } = fleet.servers
  const client = createClient({ url: livingCoordinator(fleet).url })
  const workers = fleet.workers.filter(({ lives }) => lives)
  const freeze = (by: 'SIGSTOP' | 'SIGCONT') => {
    for (const { pid } of workers) process.kill(pid, by)
  }
  // Whatever was left by killed workers is not to be taken for one of the thousand.
  const rungIn = async () => (await readJobs(redisUrl, namespace)).length >= rung
  const once = async (prefix: string, empty: boolean): Promise<number> => {
    let begun: number
    freeze('SIGSTOP')
    try {
      await redisCommand(redisUrl, 'FLUSHALL')
      await client.tasks.submit(taskOf(prefix, 'endless', rung))
      await until(`${rung} jobs are rung`, rungIn, signal)
      begun = performance.now()
      if (empty) await redisCommand(redisUrl, 'FLUSHALL')
    } finally {
      freeze('SIGCONT')
    }
    await until(`${rung} run`, async () => (await tasksIn(fleet, ['running'], prefix)) === rung, signal)
    const took = (performance.now() - begun) / 1_000
    await client.tasks.cancel(prefix)
    await until('the cancelled end', async () => (await tasksIn(fleet, ['cancelled'], prefix)) === rung, signal)
    return took
  }
  for (let n = 1; n <= runs; n++) {
    seconds.untouched.push(await once(`untouched-${n}`, false))
    seconds.emptied.push(await once(`emptied-${n}`, true))
    say(
      `recovery, Redis emptied ${n}/${runs}: ${seconds.emptied.at(-1)?.toFixed(2)} s, untouched ${seconds.untouched.at(-1)?.toFixed(2)} s`,
    )
  }
  return {
    title: `Recovery: Redis is emptied with ${rung} jobs in it`,
    how: [
      `Two coordinators, two workers with ${rung / 2} slots each, which are frozen while ${rung} subtasks are submitted and rung; then FLUSHALL,`,
      `and the workers go on. Time runs from FLUSHALL until Postgres says that all ${rung} run. Untouched: the same without FLUSHALL,`,
      'which is what fetching and claiming them takes on this machine.',
    ],
    figures: [peak(`all ${rung} run, the worst run`, 's', seconds.emptied, { atMost: 10 }), peak('- untouched', 's', seconds.untouched)],
  }
}
