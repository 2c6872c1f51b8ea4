/**
 * Three sessions of one PostgreSQL, whose transactions are interleaved as a schedule says: a command's statements run in
 * a transaction that is kept open until its turn to commit, so that the others meet its locks.
 */
import { silentLogger } from '@baton/shared/node'
import type { Database } from '../../packages/coordinator/src/store/database.js'
import { migrate } from '../../packages/coordinator/src/store/migrate.js'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js'
import { withRepeats } from '../../packages/coordinator/src/store/repeat.js'
import { cleanUp, freshDatabase } from '../harness/index.js'
import type { Command } from './command.js'
import { openStore, prepare, type Store, within } from './store.js'

export const sessionCount = 3

/** `rush`: all at once, and each commits when it can. Otherwise each number stands twice: where it starts, where it commits. */
export type Schedule = 'rush' | readonly number[]

interface Session {
  readonly store: Store
  readonly database: Database
  readonly pid: number
}

/** A command in its transaction. */
interface Running {
  /** Its statements are done; or it failed. */
  ran: boolean
  readonly mayCommit: () => void
  readonly done: Promise<unknown>
}

const tables = 'tasks, subtasks, subtask_states, dependencies, attempts, reviews, events, pauses'

export class Sessions {
  readonly store: Store
  private readonly sessions: readonly Session[]
  private readonly watch: Database

  private constructor(sessions: readonly Session[], watch: Database) {
    this.sessions = sessions
    this.watch = watch
    const [first] = sessions
    if (!first) throw new RangeError('there are sessions')
    this.store = first.store
  }

  /** A database of its own; closed when the test file ends. */
  static async open(): Promise<Sessions> {
    const url = await freshDatabase()
    const open = async () => {
      const database = await openPostgres({ url, log: silentLogger(), max: 1 })
      cleanUp(() => database.close())
      return database
    }
    const watch = await open()
    await migrate(watch)
    await prepare(watch)
    const sessions: Session[] = []
    for (let n = 0; n < sessionCount; n++) {
      const database = await open()
      // Who waits for a lock here waits for the schedule, on a machine that may be busy with something else.
      await database.script('set statement_timeout = 0; set idle_in_transaction_session_timeout = 0')
      const { rows } = await database.query<{ pid: number }>({ text: 'select pg_backend_pid() as pid' })
      sessions.push({ database, store: await openStore(database), pid: rows[0]?.pid ?? 0 })
    }
    return new Sessions(sessions, watch)
  }

  /** Runs commands at once, each on a session of its own; their replies. What Postgres breaks off is repeated, as in production. */
  async race(commands: readonly Command[], schedule: Schedule): Promise<unknown[]> {
    const running = new Map<number, Running>()
    try {
      await this.interleave(commands, schedule, running)
    } finally {
      for (const { mayCommit } of running.values()) mayCommit() // whatever happened, nobody is left holding locks
      await Promise.allSettled([...running.values()].map(r => r.done))
    }
    return Promise.all(commands.map((_, n) => running.get(n)?.done))
  }

  private async interleave(commands: readonly Command[], schedule: Schedule, running: Map<number, Running>): Promise<void> {
    const start = (n: number) => {
      const session = this.sessions[n]
      const command = commands[n]
      if (session && command) running.set(n, run(session, command))
    }
    if (schedule === 'rush') {
      for (const n of commands.keys()) start(n)
      return
    }
    for (const n of schedule) {
      const started = running.get(n)
      if (started) started.mayCommit()
      else start(n)
      if (started?.ran) await started.done
      await this.settled(running)
    }
  }

  /** Until each session is done with its statements or waits for another's lock. */
  private async settled(running: ReadonlyMap<number, Running>): Promise<void> {
    for (;;) {
      const busy = [...running].filter(([, r]) => !r.ran).map(([n]) => this.sessions[n]?.pid ?? 0)
      if (busy.length === 0) return
      const { rows } = await this.watch.query<{ waiting: number }>(waiting, [busy])
      if (rows[0]?.waiting === busy.length) return
    }
  }

  /** As it was before the first history. */
  async clear(): Promise<void> {
    await this.watch.script(
      `truncate ${tables};
       update orchestrators set status = 'running';
       update tenants set paused_at = null, paused_by = null, pause_reason = null;
       update workers set state = 'ready', drain_requested = false, last_heartbeat_at = clock_timestamp()`,
    )
  }
}

const waiting = {
  name: 'waiting_sessions',
  text: `select count(*)::int as waiting from unnest($1::int[]) as pid where cardinality(pg_blocking_pids(pid)) > 0`,
}

function run({ database, store }: Session, command: Command): Running {
  let mayCommit = () => {}
  const gate = new Promise<void>(resolve => {
    mayCommit = resolve
  })
  const running: { ran: boolean } = { ran: false }
  const work = withRepeats(database).transaction(async tx => {
    const reply = await command.run(within(store, tx))
    running.ran = true
    await gate
    return reply
  })
  const done = work.finally(() => {
    running.ran = true
  })
  done.catch(() => undefined) // whoever waits for it is told
  return Object.assign(running, { mayCommit, done })
}
