/**
 * The coordinator, composed: read from top to bottom, this is the architecture. What each part is given is all that it
 * knows; the parts meet in Postgres, and through the pulses that are injected here.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type BatonConfig, maxSubtasks, parseDuration, queueName, subjects } from '@baton/shared'
import {
  type ArtifactSettings,
  type Bus,
  type Consumption,
  type Logger,
  type ModelEnvironment,
  type Service,
  startAll,
  systemClock,
  type TaskQueue,
  Ticker,
} from '@baton/shared/node'
import type { Tracing } from '@baton/shared/observe'
import { localPages } from './admin/local-page.js'
import type { OpenQueueBoard } from './admin/queue-board.js'
import { Artifacts } from './artifacts/artifacts.js'
import { directoryArtifacts } from './artifacts/directory-artifacts.js'
import { openArtifactDirectory } from './artifacts/open-directory.js'
import { Briefs, maxRemembered } from './collect/briefs.js'
import { Claims } from './collect/claims.js'
import { createAfterCommit } from './collect/effects.js'
import { Heartbeats } from './collect/heartbeats.js'
import { Inbox } from './collect/inbox.js'
import { Reports } from './collect/reports.js'
import { SpawnPlanner } from './collect/spawn.js'
import { createBrokerage } from './commands/brokerage.js'
import { type Control, createControl } from './commands/control.js'
import { createCoordinatorApi } from './commands/coordinator-api.js'
import { Delegate } from './commands/delegate.js'
import { createEvents } from './commands/events.js'
import { KeyRing } from './commands/key-ring.js'
import { createKeys } from './commands/keys.js'
import { createKnowledge } from './commands/knowledge.js'
import { createOrchestrators } from './commands/orchestrators.js'
import { Replanner } from './commands/replan.js'
import { createReviews } from './commands/reviews.js'
import { Submitter } from './commands/submit.js'
import { TaskReader } from './commands/task-reader.js'
import { Thinker } from './commands/thinker.js'
import { withUnavailable } from './commands/unavailable.js'
import { createWebhooks } from './commands/webhooks.js'
import { Directory } from './dispatch/directory.js'
import { Dispatcher } from './dispatch/dispatcher.js'
import { Measurer } from './dispatch/measurer.js'
import { Ringer } from './dispatch/ringer.js'
import { Spares } from './dispatch/spares.js'
import { Starter } from './dispatch/starter.js'
import { Starts, startedRow } from './dispatch/starts.js'
import { durationsAt } from './durations.js'
import { createHttpServer, readSubmissionText } from './http/index.js'
import type { Intake } from './intake/bullmq-intake.js'
import { takeIn } from './intake/take-in.js'
import { openChat } from './mind/chat.js'
import { defaultDraftLimits, mindSettings } from './mind/settings.js'
import { takeTurns } from './mind/turns.js'
import { Changes } from './notify/changes.js'
import { EventFeed } from './notify/event-feed.js'
import { EventTail } from './notify/event-tail.js'
import { Pulses } from './notify/pulses.js'
import { AddressGuard } from './notify/webhooks/address-guard.js'
import { FanOut } from './notify/webhooks/fan-out.js'
import { Sender } from './notify/webhooks/sender.js'
import { Chronicle } from './observe/chronicle.js'
import { observedDatabase } from './observe/observed-database.js'
import { Observer } from './observe/observer.js'
import { StandingGauges } from './observe/standing-gauges.js'
import { TaskTraces } from './observe/task-traces.js'
import { ModelPlanner } from './plan/model/model-planner.js'
import { createPlanner } from './plan/planner.js'
import { readInstallation } from './store/artifacts.js'
import type { Database } from './store/database.js'
import { IdSource } from './store/ids.js'
import { migrate } from './store/migrate.js'
import type { NoteStore } from './store/note-store.js'
import { postgresNotes } from './store/notes.js'
import { postgresArtifacts } from './store/postgres-artifacts.js'
import { withRepeats } from './store/repeat.js'
import { setReviewDefaults } from './store/reviews.js'
import { Routes } from './store/routes.js'
import { readSubtaskNames } from './store/standing.js'
import { version } from './version.js'
import { Reconciler } from './watch/reconciler.js'
import { Retention } from './watch/retention.js'
import { Watcher } from './watch/watcher.js'

export interface Stores {
  readonly database: Database
  readonly queue: TaskQueue
  readonly bus: Bus
  /** The queue on which producers leave tasks; none in local mode. */
  readonly intake?: Intake | undefined
  /** The page over the queues; local mode has one of its own. */
  readonly queueBoard?: OpenQueueBoard | undefined
  /** Default: in the database. */
  readonly notes?: NoteStore
}

export interface CoreOptions {
  readonly stores: Stores
  readonly mode: 'local' | 'fleet'
  readonly namespace: string
  readonly host: string
  readonly port: number
  readonly apiKey?: string
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly config?: BatonConfig
  /** The model that plans, as far as the configuration does not say. */
  readonly plannerModel?: ModelEnvironment
  /** Networks that webhooks may reach though they are not public; default: what the configuration says, else none. */
  readonly webhookNetworks?: readonly string[]
  /** Between attempts: exponential from `initialMs` up to `maxMs`, half of it random. Default 1 s to 60 s. */
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number }
  /** A directory for the bytes of artifacts; default: they are in the database. */
  readonly artifacts?: ArtifactSettings | undefined
  /** Multiplies every duration that nothing else gives (durations.ts); default 1. For tests. */
  readonly timeScale?: number
  /** Spans of tasks are given to it; none: nothing is traced. Whoever opened it closes it. */
  readonly tracing?: Tracing | undefined
  readonly log: Logger
}

export interface Coordinator {
  readonly id: string
  /** Where its HTTP API is. */
  readonly url: string
  /** Stops taking requests, finishes what was taken, closes nothing that it was given. Idempotent. */
  stop(): Promise<void>
}

const pool = 'shared'
/** Whose tasks come by the intake queue. */
const intakeCaller = { tenantId: 1, actor: 'intake' }
const defaultAttemptLimit = 3
const inboxLimit = 20_000
const defaultSpawnDepth = 100
/** How many submissions may wait for their turn at the model. */
const maxThoughts = 1_000

const configured = (duration: string | undefined, ms: number): number =>
  (duration === undefined ? undefined : parseDuration(duration)) ?? ms

/** Starts a coordinator on stores that are open; brings the database up to date first. */
export async function startCore(options: CoreOptions): Promise<Coordinator> {
  const { stores, mode, namespace, leaseMs, heartbeatMs, config = {}, log } = options
  const durations = durationsAt(options.timeScale ?? 1)
  const { queue, bus } = stores
  // observe: what is counted; the duties tell it, and know nothing of it
  const { tracing } = options
  const traces = tracing && new TaskTraces({ tracing, database: stores.database, log })
  const observer = new Observer({
    version,
    mode,
    capabilityOf: routeId => directory.route(routeId)?.capability,
    traces,
    onFailed: attempt => chronicle.attemptFailed(attempt),
  })
  const { metrics } = observer
  const database = withRepeats(observedDatabase(stores.database, metrics))
  const chronicle = new Chronicle({ database, log, onEnd: observer.taskEnded })
  const id = `${hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .slice(0, 40)}-${process.pid}-${randomBytes(3).toString('hex')}`
  const named = subjects(namespace)
  const applied = await migrate(database)
  if (applied > 0) log.info({ migrations: applied }, 'the database was brought up to date')

  // store: routes and ids are drawn ahead of the statements that need them
  const routes = new Routes(database)
  const ids = new IdSource(database)

  // artifacts: their bytes, in the database or in a directory
  const artifacts = new Artifacts({
    postgres: postgresArtifacts(database),
    directory:
      options.artifacts &&
      directoryArtifacts({
        root: await openArtifactDirectory(options.artifacts.directory, database),
        database,
        graceMs: durations.artifactGraceMs,
        log,
      }),
    into: options.artifacts?.into ?? 'postgres',
  })
  if (!options.artifacts && (await readInstallation(database)).used)
    log.warn('the database tells of artifacts in a directory, which BATON_ARTIFACTS_DIR does not name: they cannot be read here')
  const artifactSweeper =
    options.artifacts && new Ticker({ name: 'artifact sweeper', everyMs: durations.sweepArtifactsMs, log, run: () => artifacts.sweep() })

  // notify: who waits for a change is told; so are the other coordinators
  const changes = new Changes()
  const tail = new EventTail({ database, everyMs: durations.lookForEventsMs, log })
  const announce: Changes['announce'] = (topic, taskPks) => {
    changes.announce(topic, taskPks)
    tail.wake()
    fanOut.wake()
  }
  const guard = new AddressGuard({ networks: options.webhookNetworks ?? config.webhooks?.allow_networks ?? [] })
  const sender = new Sender({
    database,
    guard,
    version,
    timeoutMs: durations.webhookTimeoutMs,
    leaseMs: durations.webhookLeaseMs,
    backoff: durations.webhookBackoff,
    log,
  })
  const fanOut: FanOut = new FanOut({
    database,
    everyMs: durations.lookForEventsMs,
    giveUpMs: durations.webhookGiveUpMs,
    log,
    onMade: () => sender.wake(),
  })
  const pulses =
    mode === 'local'
      ? undefined
      : new Pulses({
          bus,
          subjects: named,
          coordinatorId: id,
          onReady: () => dispatcher.readyElsewhere(),
          onFleet: () => dispatcher.fleetChanged(),
          onChanged: announce,
        })

  // What was stored here needs no second look: submissions tell, claims ask.
  const briefs = new Briefs()

  const { defaults = {} } = config
  const slaMs = configured(defaults.sla, durations.slaMs)
  const attemptTimes = { leaseMs, defaultSlaMs: slaMs }

  // dispatch: ready subtasks to their queues
  const spares = new Spares(2 * heartbeatMs, () => bus.connected)
  const directory = new Directory({ db: database, routes, spares })
  const onRung = (jobs: number) => metrics.add('orchestrator_jobs_rung_total', {}, jobs)
  const ringer = new Ringer({
    queue,
    retryMs: durations.ringAgainMs,
    log,
    trace: traces?.dispatch,
    knows: subtask => (briefs.knows(subtask) ? id : undefined),
    onRung,
  })
  const measurer = new Measurer({ database, directory, everyMs: durations.measureMs, log })
  const dispatcher: Dispatcher = new Dispatcher({
    database,
    directory,
    ringer,
    log,
    times: attemptTimes,
    onStarted: rows => starts.send(rows),
    everyMs: durations.dispatchMs,
    blockAfterMs: durations.blockAfterMs,
    onChange: taskPks => after.changed(taskPks),
  })
  const fleetChanged = () => {
    dispatcher.fleetChanged()
    pulses?.send({ fleet: true })
  }
  const after = createAfterCommit({
    dispatcher,
    sweep: () => watcher.wake(),
    roomMade: () => starter.roomMade(),
    changes: { announce },
    pulses,
    onTasks: tasks => {
      for (const { id, status } of tasks) {
        if (status !== 'completed' && status !== 'failed') continue
        briefs.ended(id)
        chronicle.taskEnded(id)
      }
    },
  })
  const starter: Starter = new Starter({
    database,
    log,
    resolves: routeId => directory.resolves(routeId),
    onStarted: taskPks => {
      after.changed(taskPks)
      after.ready()
    },
  })

  // plan: words and graphs to plans
  const planner = createPlanner({
    ...(config.playbooks && { playbooks: config.playbooks }),
    ...(config.rules && { rules: config.rules }),
    ...(config.planner?.shipped_playbooks !== undefined && { shippedPlaybooks: config.planner.shipped_playbooks }),
    ...(config.planner?.fallback_capability !== undefined && { fallbackCapability: config.planner.fallback_capability }),
    defaults: {
      ...(config.defaults?.on_failure !== undefined && { onFailure: config.defaults.on_failure }),
    },
  })
  const knowledge = createKnowledge(database, config)
  const mind = mindSettings(config.planner?.model, options.plannerModel)
  const thinker =
    mind &&
    new Thinker({
      database,
      model: new ModelPlanner({
        model: mind.chat.model,
        ask: takeTurns({
          ask: await openChat(mind.chat),
          clock: systemClock,
          atOnce: mind.concurrency,
          maxWaiting: maxThoughts,
          restMs: durations.modelRestMs,
        }),
        timeoutMs: mind.timeoutMs,
        limits: mind.limits,
        defaults: { slaMs: null, maxAttempts: null, onFailure: config.defaults?.on_failure ?? 'review' },
      }),
      coordinatorId: id,
      timeoutMs: mind.timeoutMs,
      knowledge,
      clock: systemClock,
      log,
    })
  const minLeaseMs = 2 * heartbeatMs
  // Not the planner's: an orchestrator's retryAttempts come before it.
  const attemptLimit = defaults.max_attempts ?? defaultAttemptLimit
  const queueWaitMs = configured(defaults.queue_wait, durations.queueWaitMs)
  const deadlineMs = configured(defaults.deadline, durations.deadlineMs)
  // What whoever makes subtasks needs: submissions, spawners, replans.
  const newRows = { ids, routes, pool, attemptLimit, queueWaitMs, deadlineMs, minLeaseMs }
  const backoff = {
    initialMs: configured(defaults.backoff?.initial, options.backoff?.initialMs ?? durations.backoff.initialMs),
    maxMs: configured(defaults.backoff?.max, options.backoff?.maxMs ?? durations.backoff.maxMs),
  }
  await setReviewDefaults(database, {
    assignee: config.reviews?.assignee ?? null,
    escalateTo: config.reviews?.escalate_to ?? null,
    dueMs: configured(config.reviews?.due, durations.reviewDueMs),
  })

  // collect: claims, reports and heartbeats of workers, in batches
  const claims = new Claims({
    database,
    briefs,
    leaseMs,
    defaultSlaMs: slaMs,
    deferMs: Math.max(100, Math.min(1_000, leaseMs / 4)),
    maxWaiting: inboxLimit,
    log,
    onClaimed: routeIds => {
      for (const routeId of routeIds) directory.claimed(routeId)
      dispatcher.wake()
    },
    onChange: after.stepped,
    onReady: after.ready,
    observer,
  })
  const spawner = new SpawnPlanner({
    ...newRows,
    fallbackCapability: config.planner?.fallback_capability ?? 'general',
    limits: { subtasks: config.limits?.subtasks ?? maxSubtasks, depth: config.limits?.spawn_depth ?? defaultSpawnDepth },
  })
  const reports = new Reports({
    database,
    briefs,
    after,
    room: () => directory.fastRoom(),
    idle: routeId => directory.idle(routeId),
    leaseMs,
    defaultSlaMs: slaMs,
    backoff,
    spawner,
    artifacts,
    maxWaiting: inboxLimit,
    log,
    observer,
  })
  const heartbeats = new Heartbeats({
    database,
    leaseMs,
    minLeaseMs,
    maxWaiting: inboxLimit,
    log,
    onFleetChange: fleetChanged,
    observer,
  })
  const inbox = new Inbox({
    bus,
    subjects: named,
    coordinatorId: id,
    database,
    claims,
    reports,
    heartbeats,
    notes: stores.notes ?? postgresNotes(database),
    artifacts,
    leaseMs,
    heartbeatMs,
    log,
    onDeaf: () => watcher.deaf(),
    onStanding: (workerId, spare, busy) => {
      spares.heard(workerId, spare, busy)
      if (directory.awaitsSlots) dispatcher.wake()
    },
    onReturn: claims => starts.returned(claims),
    onStreamed: () => tail.wake(),
  })

  // What was stored for a worker that has slots to spare starts there.
  const starts = new Starts({
    bus,
    subjects: named,
    coordinatorId: id,
    spares,
    database,
    leaseMs,
    heartbeatMs,
    log,
    traces: rows => ringer.traces(rows),
    onBegun: rows => {
      reports.begun(rows)
      onRung(rows.length)
    },
    onReturned: rows => dispatcher.placed(rows),
  })

  // watch: what is late, what was lost
  const watcher: Watcher = new Watcher({
    database,
    bus,
    subjects: named,
    clock: systemClock,
    leaseMs,
    heartbeatMs,
    everyMs: durations.watchMs,
    ownWorkers: mode === 'local',
    cancelGraceMs: durations.cancelGraceMs,
    backoff,
    room: () => directory.fastRoom(),
    ring: rows => dispatcher.placed(rows),
    unanswered: olderThanMs => starts.takeUnanswered(olderThanMs),
    log,
    after,
    onSwept: observer.swept,
    onOverrun: observer.overrun,
    onFleetChange: fleetChanged,
  })
  const reconciler = new Reconciler({
    database,
    queue,
    ring: rows => ringer.ring(rows),
    holding: () => ringer.held.jobs > 0,
    everyMs: durations.reconcileMs,
    claimLimitMs: Math.max(leaseMs, durations.claimLimitMs),
    log,
    onMissing: observer.missing,
  })
  const { tasks: kept } = config.retention ?? {}
  const retention =
    kept === 'never'
      ? undefined
      : new Retention({
          database,
          keptMs: configured(kept, durations.retentionMs),
          toldMs: durations.webhookGiveUpMs,
          everyMs: durations.retainMs,
          log,
        })

  // commands and http: what producers and people ask for
  const webhooks = createWebhooks({
    database,
    guard,
    giveUpMs: durations.webhookGiveUpMs,
    expect: () => fanOut.expect(),
    onDue: () => sender.wake(),
  })
  const reader = new TaskReader({ database, changes })
  const submitter = new Submitter({
    database,
    planner,
    ...newRows,
    ...(thinker && { thinker }),
    limits: mind?.limits ?? defaultDraftLimits,
    knowledge,
    now: () => systemClock.now(),
    fleet: directory,
    times: attemptTimes,
    maxRemembered,
    admitCallback: webhooks.admitCallback,
    read: async (caller, taskId) => ({ kind: 'existing', task: (await reader.read(caller, taskId, { limit: 1_000 })).task }),
    onStored: async (jobs, ready, begun) => {
      starts.send(begun.map(each => startedRow(each, subtask => briefs.of(subtask))))
      if (ready.length > 0) dispatcher.wake(ready)
      tail.wake()
      fanOut.wake()
      // Room was counted when it was taken.
      await ringer.ring(jobs)
    },
    trace: traces && ((taskId, parent) => traces.plan(taskId, parent)),
    onTask: ({ task, subtasks, edges, traceparent }) => {
      briefs.stored(task, subtasks, edges)
      traces?.stored(task, subtasks, traceparent)
    },
    onUncertain: claims => starts.takeBack(claims),
    startWaiting: () => starter.now(),
  })
  const replanner = new Replanner({
    database,
    planner,
    ...(thinker && { thinker }),
    ...newRows,
    limits: mind?.limits ?? defaultDraftLimits,
    knowledge,
    now: () => systemClock.now(),
    onReplanned: (taskPk, running, status) => {
      control.tellWorkers(running)
      after.changed([taskPk])
      after.ready()
      if (status === 'completed') starter.roomMade()
    },
  })
  const delegate = new Delegate({ database, routes, replanner, everyMs: durations.delegateMs, log })
  const reviews = createReviews({
    database,
    routes,
    room: () => directory.fastRoom(),
    after,
    decidePlan: (caller, review, told) => replanner.decide(caller, review, told),
  })
  const control: Control = createControl({
    database,
    subjects: named,
    publish: (subject, payload) => bus.publish(subject, payload),
    routes,
    room: () => directory.fastRoom(),
    after,
    decide: (caller, review, decision) => reviews.decideReview(caller, review, decision),
    ownWorkers: mode === 'local',
    onEnded: () => watcher.wake(),
    onRoom: () => starter.roomMade(),
  })
  const orchestrators = createOrchestrators({ database, heartbeatMs, onReady: after.ready, onRoom: () => starter.wake() })
  const keyRing = new KeyRing({ database, clock: systemClock, log })
  const api = createCoordinatorApi({
    database,
    reader,
    submitter: {
      submit: async (caller, requests, how) => {
        const outcomes = await submitter.submit(caller, requests, how)
        for (const { kind } of outcomes) if (kind !== 'dry_run') observer.submitted(kind === 'known' ? 'existing' : kind)
        return outcomes
      },
    },
    control,
    reviews,
    orchestrators,
    brokerage: createBrokerage({ database, pool, fleet: directory }),
    replanner,
    webhooks: webhooks.api,
    keys: createKeys({ database, needed: options.apiKey !== undefined, onChange: () => keyRing.changed() }),
    readArtifact: (artifact, part) => artifacts.read(artifact, part),
    events: createEvents({ database, feed: new EventFeed(database, tail) }),
    log,
    fleet: directory,
    startWaiting: () => starter.now(),
    onReady: after.ready,
    onChange: after.changed,
    checks: {
      ...(options.artifacts && { artifacts: () => artifacts.check() }),
      redis: () => queue.check(),
      nats: async () => {
        if (!(await bus.answers(1_000))) throw new Error('does not answer')
      },
    },
  })
  // intake: what producers left in the queue
  const available = withUnavailable(api)
  let intake: Consumption | undefined
  const intakeService: Service = {
    name: 'intake',
    start: async () => {
      intake = stores.intake?.consume(async (text, traceparent) => {
        const caller = { ...intakeCaller, ...(traceparent !== undefined && { traceparent }) }
        const taken = await takeIn(text, { api: available, read: readSubmissionText, caller })
        metrics.add('orchestrator_intake_jobs_total', { outcome: taken.kind === 'taken' ? taken.outcome : taken.kind })
        return taken
      })
    },
    stop: async () => intake?.stop(),
  }

  const standing = new StandingGauges({
    database,
    observer,
    capabilityOf: routeId => directory.route(routeId)?.capability,
    capacity: () => directory.capacity(),
  })
  // admin: the queues, for people to look at
  const queuePages = stores.queueBoard
    ? stores.queueBoard({ queues: () => directory.servedQueues, names: ids => readSubtaskNames(database, ids) })
    : localPages(async () => {
        const capacity = [...directory.capacity()]
        const waiting = await queue.waiting(capacity.map(([name]) => queueName(pool, { kind: 'capability', name })))
        return capacity.map(([name, { slots, active }]) => ({
          capability: name,
          waiting: waiting.get(queueName(pool, { kind: 'capability', name })) ?? 0,
          active,
          slots,
        }))
      })

  const http = createHttpServer({
    api: available,
    ...(options.apiKey !== undefined && { apiKey: options.apiKey }),
    keys: keyRing,
    log,
    host: options.host,
    port: options.port,
    version,
    mode,
    metrics: {
      render: async () => {
        await standing.refresh()
        const { jobs, reason } = ringer.held
        metrics.set('orchestrator_jobs_kept', {}, jobs)
        for (const each of ['out_of_memory', 'unreachable'] as const)
          metrics.set('orchestrator_dispatch_paused', { reason: each }, Number(reason === each))
        return metrics.render()
      },
    },
    queuePages,
    onAnswered: observer.answered,
  })

  let url = ''
  const stopAll = await startAll(
    [
      ...(pulses ? [pulses] : []),
      ringer,
      starts, // stopped after the dispatcher, which has it start what it claimed
      dispatcher,
      starter,
      measurer,
      delegate,
      watcher,
      reconciler,
      chronicle,
      ...(retention ? [retention] : []),
      ...(artifactSweeper ? [artifactSweeper] : []),
      inbox,
      tail,
      sender,
      fanOut,
      {
        name: 'http',
        start: async () => {
          url = (await http.start()).url
        },
        stop: async () => {
          await http.stop()
          await queuePages.close()
        },
      },
      // Stopped first: requests that wait for a model are answered with the plan of the rules.
      ...(thinker ? [thinker] : []),
      intakeService,
    ],
    log,
  )
  log.info({ coordinator_id: id, url, mode }, 'coordinator ready')
  let stopped: Promise<void> | undefined
  return {
    id,
    url,
    stop: () => {
      stopped ??= stopAll().then(() => log.info({ coordinator_id: id }, 'coordinator stopped'))
      return stopped
    },
  }
}
