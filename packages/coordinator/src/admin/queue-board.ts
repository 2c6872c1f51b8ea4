/**
 * Bull Board over the delivery queues, as they come and go with the workers that serve them, and the intake queue. Opened
 * when somebody looks for the first time: until then it costs nothing.
 *
 * Invariants: B1 what a button does to a delivery job changes nothing but when it is delivered: the claim decides, and the
 * reconciler rings again for what was removed. What would go further is refused. B2 names are looked up in Postgres for the
 * jobs that are shown; nothing of a task is in Redis.
 */
import { once } from 'node:events'
import { BatonError, intakeQueue, parseQueueName } from '@baton/shared'
import { type Logger, redisConnection } from '@baton/shared/node'
import type { BeforeHook, JobStatus } from '@bull-board/api/typings/app'
import { type Job, Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { QueuePages } from './pages.js'

export interface QueueBoardOptions {
  readonly url: string
  readonly namespace: string
  readonly log: Logger
}

/** What the board asks the coordinator. */
export interface BoardSources {
  /** The delivery queues that live workers serve at present. */
  readonly queues: () => Iterable<string>
  /** The names of subtasks by their internal ids. */
  readonly names: (ids: readonly string[]) => Promise<readonly { id: string; task_id: string; name: string }[]>
}

export type OpenQueueBoard = (sources: BoardSources) => QueuePages

/** How long a page waits for a Redis that is away. */
const patienceMs = 1_500

const forbidden =
  'Baton decides this itself: pause, cancel, retry and edit tasks by its own API. Here jobs can be retried, promoted and cleaned, which changes nothing but when they are delivered'

/** What may be done to a delivery queue (B1). */
const harmless: ReadonlySet<string> = new Set([
  'put /api/queues/:queueName/retry/:queueStatus',
  'put /api/queues/:queueName/promote',
  'put /api/queues/:queueName/clean/:queueStatus',
  'put /api/queues/:queueName/:jobId/retry',
  'put /api/queues/:queueName/:jobId/clean',
  'put /api/queues/:queueName/:jobId/promote',
])
/** And to the intake queue, of which a job is the only place where its task is. */
const ownersOnly: ReadonlySet<string> = new Set(['put /api/queues/:queueName/pause', 'put /api/queues/:queueName/resume'])

const before: BeforeHook = ({ method, route, request }) => {
  const what = `${method} ${route}`
  if (method === 'get' || harmless.has(what)) return
  if (request.params.queueName === intakeQueue && ownersOnly.has(what)) return
  return { allow: false, status: 403, message: forbidden }
}

export function queueBoard({ url, namespace, log }: QueueBoardOptions): OpenQueueBoard {
  return sources => {
    let opened: ReturnType<typeof open> | undefined
    return {
      async answer(ask) {
        opened ??= open({ url, namespace, log }, sources)
        const board = await opened
        if (ask.path.startsWith('/api/')) {
          await board.reachable()
          board.refresh()
        }
        return board.server.answer(ask)
      },
      close: async () => (await opened?.catch(() => undefined))?.close(),
    }
  }
}

async function open({ url, namespace, log }: QueueBoardOptions, { queues, names }: BoardSources) {
  const [{ createBullBoard }, { BullMQAdapter }, { BoardServer }] = await Promise.all([
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('./board-server.js'),
  ])
  const connection = new Redis({ ...redisConnection(url, 'baton-queues-page'), maxRetriesPerRequest: 1 })
  connection.on('error', error => log.debug({ reason: error.message }, 'the page of the queues has no Redis'))

  /** Shows delivery jobs by the names of their subtasks (B2). */
  class NamedJobs extends BullMQAdapter {
    private shown = new Map<string, string>()

    constructor(queue: Queue, display: { displayName: string; description: string }) {
      super(queue, display)
      this.setFormatter('name', job => this.shown.get(String(job.id)) ?? job.name)
    }

    override async getJobs(statuses: JobStatus[], start?: number, end?: number): Promise<Job[]> {
      const jobs = await super.getJobs(statuses, start, end)
      await this.learn(jobs)
      return jobs
    }

    override async getJob(id: string): Promise<Job | undefined> {
      const job = await super.getJob(id)
      if (job) await this.learn([job])
      return job
    }

    private async learn(jobs: readonly Job[]): Promise<void> {
      const parts = jobs.flatMap(({ id }) => {
        const [, subtask, attempt] = /^(\d+)-(\d+)-\d+$/.exec(id ?? '') ?? []
        return id && subtask && attempt ? [{ id, subtask, attempt }] : []
      })
      const known = new Map((await names([...new Set(parts.map(part => part.subtask))])).map(row => [row.id, row]))
      this.shown = new Map(
        parts.flatMap(({ id, subtask, attempt }) => {
          const row = known.get(subtask)
          return row ? [[id, `${row.task_id} / ${row.name} #${attempt}`] as const] : []
        }),
      )
    }
  }

  const adapters = new Map<string, { adapter: InstanceType<typeof BullMQAdapter>; queue: Queue }>()
  const adapterOf = (name: string) => {
    const known = adapters.get(name)
    if (known) return known.adapter
    const queue = new Queue(name, { connection, prefix: namespace, skipVersionCheck: true, skipMetasUpdate: true })
    queue.on('error', error => log.debug({ reason: error.message, queue: name }, 'BullMQ reports an error'))
    const key = parseQueueName(name)
    const adapter = key
      ? new NamedJobs(queue, {
          displayName: key.kind === 'capability' ? key.name : `agent ${key.name}`,
          description: key.kind === 'capability' ? `Attempts that need ${key.name}` : `Attempts for agent ${key.name} alone`,
        })
      : new BullMQAdapter(queue, { description: 'Tasks that producers left' })
    adapters.set(name, { adapter, queue })
    return adapter
  }

  const server = new BoardServer()
  const board = createBullBoard({
    queues: [],
    serverAdapter: server,
    options: {
      uiConfig: { boardTitle: 'Baton queues', hideDocsLink: true, miscLinks: [{ text: 'Tasks', url: '/' }] },
      handlerHooks: { before },
    },
  })
  const refresh = () => {
    const wanted = [intakeQueue, ...[...queues()].sort()]
    board.replaceQueues(wanted.map(adapterOf))
    for (const [name, { queue }] of adapters)
      if (!wanted.includes(name)) {
        adapters.delete(name)
        void queue.close().catch(() => undefined)
      }
  }
  /** Throws `unavailable` when Redis is away: the board itself would wait for long, and answer in the driver's words. */
  const reachable = async () => {
    if (connection.status === 'ready') return
    try {
      await once(connection, 'ready', { signal: AbortSignal.timeout(patienceMs) }) // just opened, or coming back
    } catch (cause) {
      throw new BatonError('unavailable', 'Redis, which holds the queues, does not answer', { cause })
    }
  }
  refresh()
  return {
    server,
    refresh,
    reachable,
    close: async () => {
      await Promise.all([...adapters.values()].map(({ queue }) => queue.close().catch(() => undefined)))
      connection.disconnect()
    },
  }
}
