/**
 * How a bench learns that a task has ended. Whoever measures with one of these also measures what it costs.
 *
 * `wait`: as a user does, `client.tasks.wait`: at least three requests for each task, and its pauses between them.
 * `database`: one query for what ended since the last one, every few milliseconds, past the coordinator; the
 * least that can be asked. Nothing runs inside the processes that are measured.
 */
import type { Client } from '@baton/client'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'

export interface End {
  /** When this was known here, by `performance.now()`. */
  readonly knownAt: number
}

export interface Ends {
  /** Resolves when the task is completed; throws when it ended otherwise. */
  of(taskId: string): Promise<End>
  stop(): Promise<void>
}

export function endsByWait(client: Client, signal: AbortSignal): Ends {
  return {
    async of(taskId) {
      const { status } = await client.tasks.wait(taskId, { signal })
      expectCompleted(taskId, status)
      return { knownAt: performance.now() }
    },
    stop: async () => undefined,
  }
}

const pollMs = 10
const silentMs = 300_000
/** How far a look reaches back behind what the last one saw: a task's end is stamped before it is committed. */
const overlapMs = 40
/** An end that was committed later than that is found by a look at each open task, now and then. */
const thoroughEveryMs = 1_000

/** What ended of late, by the index on it: costs what there is, however many tasks there are, open or not. */
const lately = {
  name: 'bench_ended_lately',
  text: `
select task_id, status, extract(epoch from finished_at)::float8 * 1000 as at from tasks
where finished_at > to_timestamp(($1::float8 - ${overlapMs}) / 1000) order by finished_at`,
}
/** Without a name it is planned for the tables as they are then: planned once, on empty tables, it would read every task. */
const openTasks = {
  text: `
select t.task_id, t.status, extract(epoch from t.finished_at)::float8 * 1000 as at
from unnest($1::text[]) as open(task_id)
cross join lateral (select * from tasks k where k.tenant_id = 1 and k.task_id = open.task_id offset 0) t
where t.finished_at is not null`,
}

/** For as long as `work` takes. */
export async function withEndsByDatabase<T>(databaseUrl: string, signal: AbortSignal, work: (ends: Ends) => Promise<T>): Promise<T> {
  const ends = await endsByDatabase(databaseUrl, signal)
  try {
    return await work(ends)
  } finally {
    await ends.stop()
  }
}

export async function endsByDatabase(databaseUrl: string, signal: AbortSignal): Promise<Ends> {
  const database = await openPostgres({ url: databaseUrl, log: silentLogger(), max: 1, signal })
  const open = new Map<string, { resolve: (end: End) => void; reject: (reason: unknown) => void }>()
  let lastEnd = performance.now()
  let lastThorough = Number.NEGATIVE_INFINITY
  /** By the database's clock. */
  let seenUntil = (await database.query<{ now: number }>({ text: 'select extract(epoch from clock_timestamp())::float8 * 1000 as now' }))
    .rows[0]?.now as number // a select without `from` has one row
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> = Promise.resolve()

  const look = async () => {
    signal.throwIfAborted()
    const thorough = performance.now() - lastThorough >= thoroughEveryMs
    if (thorough) lastThorough = performance.now()
    const { rows } = await database.query<{ task_id: string; status: string; at: number }>(
      thorough ? openTasks : lately,
      thorough ? [[...open.keys()]] : [seenUntil],
    )
    const knownAt = performance.now()
    for (const { task_id, status, at } of rows) {
      seenUntil = Math.max(seenUntil, at)
      const waiting = open.get(task_id)
      if (!waiting) continue
      lastEnd = knownAt
      open.delete(task_id)
      if (status === 'completed') waiting.resolve({ knownAt })
      else waiting.reject(notCompleted(task_id, status))
    }
    if (knownAt - lastEnd > silentMs) throw new Error(`no task has ended for ${silentMs / 1_000} s; ${open.size} are open`)
  }
  const lookSoon = () => {
    timer = setTimeout(() => {
      looking = look().catch((error: unknown) => {
        for (const { reject } of open.values()) reject(error)
        open.clear()
      })
      void looking.then(() => {
        timer = undefined
        if (open.size > 0) lookSoon()
      })
    }, pollMs)
  }
  return {
    of: taskId =>
      new Promise((resolve, reject) => {
        if (open.size === 0) lastEnd = performance.now()
        open.set(taskId, { resolve, reject })
        if (timer === undefined) lookSoon()
      }),
    async stop() {
      clearTimeout(timer)
      await looking
      await database.close()
    },
  }
}

function expectCompleted(taskId: string, status: string): void {
  if (status !== 'completed') throw notCompleted(taskId, status)
}

function notCompleted(taskId: string, status: string): Error {
  return new Error(`task ${taskId} is ${status}, and should have been completed`)
}
