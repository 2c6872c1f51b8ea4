/**
 * What workers and coordinators say to each other. Every request names its version; coordinators take `v` and `v-1`.
 *
 * Work goes down as a job in a queue (`deliverySchema`: a doorbell without input); words come up as requests whose
 * reply means "committed". Items of a batch are answered in their own order, each for itself.
 */
import { z } from 'zod'
import { type Failure, failureSchema } from './failure.js'
import { nameSchema, poolSchema } from './names.js'
import { type Isolation, subtaskRequestSchema } from './submission.js'

export const protocolVersion = 1

export const maxBatchItems = 500
export const maxBatchBytes = 512 * 1024
/** Results and inputs over this travel in pages. */
export const maxInlineBytes = 256 * 1024
/** One chunk of an artifact or a large result. */
export const chunkBytes = 256 * 1024
export const maxArtifactBytes = 16 * 1024 * 1024
export const maxSpawnedPerReport = 10_000
/** One chunk that an agent streams, as JSON text. */
export const maxStreamChunkBytes = 64 * 1024
/** What one attempt may stream in all. */
export const maxStreamedBytes = 16 * 1024 * 1024
/** One note of a task, as JSON text; how many a task may have at once; how long one is kept, by default and at most. */
export const maxNoteBytes = 64 * 1024
export const maxNotes = 1_000
export const defaultNoteTtlMs = 24 * 3_600_000
export const maxNoteTtlMs = 7 * 24 * 3_600_000
/** A name that no artifact can have: the chunks of a large output are kept under it. */
export const outputChunkName = '$output'
/** The same for a long list of spawned subtasks. */
export const spawnChunkName = '$spawn'

const version = z.number().int()
/** A number of the database, as text. */
const rowId = z.string().regex(/^\d{1,19}$/)
const claimId = z.uuid()

/** The data of a job. */
export const deliverySchema = z.object({
  v: version,
  /** The subtask's internal id. */
  s: rowId,
  a: z.number().int(),
  /** W3C trace context of the task. */
  tp: z.string().optional(),
  /** The coordinator that knows the task best: claims and reports are answered there with the least work. */
  c: z
    .string()
    .regex(/^[a-z0-9-]{1,100}$/i)
    .optional()
    .catch(undefined),
  /** It was put before what waits in its queue: its claim and its report go before those of others, too. */
  f: z.boolean().optional().catch(undefined),
})
export type Delivery = z.infer<typeof deliverySchema>

const hostedAgentSchema = z.object({
  name: nameSchema,
  description: z.string(),
  domain: z.string().nullable(),
  capabilities: z.array(nameSchema),
  skills: z.array(z.string()),
  concurrency: z.number().int().min(1),
  sla_ms: z.number().nullable(),
  queue_wait_ms: z.number().nullish(),
  deadline_ms: z.number().nullish(),
  lease_ms: z.number().nullish(),
  kind: z.string(),
})
export type HostedAgent = z.infer<typeof hostedAgentSchema>

const workerInfoSchema = z.object({
  id: z.string().min(1).max(128),
  host: z.string(),
  pid: z.number().int(),
  version: z.string(),
  pool: poolSchema,
  concurrency: z.number().int(),
  agents: z.array(hostedAgentSchema),
  /** `starting`: it does not consume its queues yet, and will say so when it does. Default `ready`. */
  state: z.enum(['starting', 'ready']).optional(),
})
export type WorkerInfo = z.infer<typeof workerInfoSchema>

const claimItemSchema = z.object({ subtask: rowId, attempt: z.number().int(), claim_id: claimId, agent: nameSchema })
export type ClaimItem = z.infer<typeof claimItemSchema>

export const artifactNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_. /-]{0,199}$/)
const artifactRefSchema = z.object({
  name: artifactNameSchema,
  media_type: z.string().max(200),
  bytes: z.number().int().min(0).max(maxArtifactBytes),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})
export type ArtifactRef = z.infer<typeof artifactRefSchema>

/** JSON text of what was saved since the last heartbeat, for the next attempt. */
const savedProgress = z.string().max(16_384).optional()

const outcomeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('completed'),
    /** JSON text; null when it went ahead in chunks. */
    output: z.string().nullable(),
    artifacts: z.array(artifactRefSchema).max(1_000).optional(),
    spawn: z.array(subtaskRequestSchema).max(maxSpawnedPerReport).optional(),
    /** The spawned subtasks went ahead in chunks. */
    spawn_chunked: z.boolean().optional(),
  }),
  z.object({ kind: z.literal('failed'), failure: failureSchema, progress: savedProgress }),
  /** Given back through no fault of its own: the worker drains. */
  z.object({ kind: z.literal('released'), failure: failureSchema, progress: savedProgress }),
])
export type Outcome = z.infer<typeof outcomeSchema>

export const reportItemSchema = z.object({
  subtask: rowId,
  attempt: z.number().int(),
  claim_id: claimId,
  outcome: outcomeSchema,
  /** W3C trace context of the run. */
  tp: z.string().max(64).optional(),
  /** The worker would go on with what this completes the way for, under this claim. `spare`: it has slots that nobody uses. */
  next: z.object({ claim_id: claimId, spare: z.boolean() }).optional(),
})
export type ReportItem = z.infer<typeof reportItemSchema>

const activeClaimSchema = z.object({
  subtask: rowId,
  claim_id: claimId,
  /** JSON text of the progress since the last heartbeat. */
  progress: z.string().max(16_384).optional(),
})
export type ActiveClaim = z.infer<typeof activeClaimSchema>

export const noteNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,199}$/)
/** What an agent does with its task's notes. */
export const noteAskSchema = z.discriminatedUnion('do', [
  z.object({
    do: z.literal('set'),
    name: noteNameSchema,
    /** JSON text. */
    value: z.string().max(maxNoteBytes),
    ttl_ms: z.number().int().min(1).max(maxNoteTtlMs),
  }),
  z.object({ do: z.literal('get'), name: noteNameSchema }),
  z.object({ do: z.literal('delete'), name: noteNameSchema }),
  z.object({ do: z.literal('list') }),
])
export type NoteAsk = z.infer<typeof noteAskSchema>

/** Chunks that one attempt streamed, in order; `from` is the number of the first one. */
const streamItemSchema = z.object({
  subtask: rowId,
  claim_id: claimId,
  from: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  /** JSON text: a list of chunks. */
  chunks: z.string().max(2 * maxStreamChunkBytes + 1_000),
})
export type StreamItem = z.infer<typeof streamItemSchema>

/** By agent, the slots in which a coordinator may start attempts at once (`StartRequest`). A worker that says nothing has none. */
const spareSchema = z.record(z.string(), z.number().int().min(0)).optional()
export type Spare = Readonly<Record<string, number>>
/** Slots of the worker in use, and how many of those wait for a queue or a coordinator instead of their agents. */
const busySchema = z.object({ slots: z.number().int().min(0), waiting: z.number().int().min(0) }).optional()
export type Busy = Readonly<NonNullable<z.infer<typeof busySchema>>>

export const workerRequestSchema = z.discriminatedUnion('type', [
  z.object({ v: version, type: z.literal('register'), worker: workerInfoSchema }),
  z.object({
    v: version,
    type: z.literal('claim'),
    worker_id: z.string(),
    items: z.array(claimItemSchema).min(1).max(maxBatchItems),
    spare: spareSchema,
    busy: busySchema,
  }),
  z.object({
    v: version,
    type: z.literal('report'),
    worker_id: z.string(),
    items: z.array(z.unknown()).min(1).max(maxBatchItems),
    spare: spareSchema,
    busy: busySchema,
    /** These overtook others when they started, and do so again. */
    first: z.boolean().optional(),
  }),
  /** What a coordinator started here, and its queue takes no job of: it is paused, or limited. */
  z.object({
    v: version,
    type: z.literal('return'),
    worker_id: z.string(),
    items: z
      .array(z.object({ subtask: rowId, claim_id: claimId }))
      .min(1)
      .max(maxBatchItems),
  }),
  z.object({
    v: version,
    type: z.literal('heartbeat'),
    worker_id: z.string(),
    state: z.enum(['starting', 'ready', 'draining', 'stopped']),
    active: z.array(activeClaimSchema),
    /** Active attempts per agent. */
    load: z.record(z.string(), z.number()),
    loop_lag_ms: z.number(),
    spare: spareSchema,
    busy: busySchema,
  }),
  z.object({
    v: version,
    type: z.literal('chunk'),
    worker_id: z.string(),
    subtask: rowId,
    claim_id: claimId,
    name: z.union([z.literal([outputChunkName, spawnChunkName]), artifactNameSchema]),
    n: z.number().int().min(0).max(10_000),
    data: z.base64(),
  }),
  z.object({ v: version, type: z.literal('stream'), worker_id: z.string(), items: z.array(streamItemSchema).min(1).max(maxBatchItems) }),
  z.object({ v: version, type: z.literal('note'), worker_id: z.string(), subtask: rowId, claim_id: claimId, ask: noteAskSchema }),
  z.object({
    v: version,
    type: z.literal('read'),
    worker_id: z.string(),
    /** The reader's own claim: it may read its input and what its dependencies made. */
    subtask: rowId,
    claim_id: claimId,
    what: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('input') }),
      z.object({ kind: z.literal('output'), name: z.string() }),
      z.object({ kind: z.literal('dependencies'), after: z.number().int() }),
      z.object({ kind: z.literal('artifact'), name: z.string(), artifact: z.string() }),
    ]),
    /** Characters of text, bytes of an artifact. */
    offset: z.number().int().min(0),
  }),
])
export type WorkerRequest = z.infer<typeof workerRequestSchema>

/** `stale`: the claim is no longer the running one; `full`: the task has as many notes as it may have. */
export interface NoteReply {
  status: 'ok' | 'stale' | 'full'
  /** JSON text; null: there is no such note (any more). */
  value: string | null
  /** In alphabetical order. */
  names: string[]
}

/** A dependency as its dependents see it. */
export interface DependencyView {
  name: string
  subtask_id: string
  ordinal: number
  state: string
  /** JSON text, when it is small enough to travel with the grant. */
  output: string | null
  output_chars: number | null
  failure: Failure | null
  artifacts: string[]
}

/** What a granted claim hands to the worker: the brief. */
export interface Grant {
  task_id: string
  task_title: string
  subtask_id: string
  /** Stable across attempts: the idempotency key for side effects. */
  uuid: string
  name: string
  title: string | null
  capability: string
  attempt: number
  attempt_limit: number
  /** JSON text; null when there is none or when it has to be read in pages (`input_chars` says). */
  input: string | null
  input_chars: number | null
  /** JSON text of the task's shared context. */
  context: string | null
  dependencies: DependencyView[]
  /** Whether there are more dependencies than the grant lists. */
  more_dependencies: boolean
  /** What an earlier attempt saved, as JSON text. */
  progress: string | null
  /** The least isolation that the subtask asks for; null: the agent's own will do. */
  isolation: Isolation | null
  lease_ms: number
  sla_ms: number
  /** Until the deadline of the whole subtask, where that comes before the SLA; older coordinators do not say. */
  deadline_in_ms?: number | null
}

export type ClaimReply =
  | { status: 'granted'; grant: Grant }
  /** Granted, but the reply had no room: claim again. */
  | { status: 'again' }
  | { status: 'gone' | 'held' | 'not_eligible' }

/** A subtask that the reporting worker goes on with: it was queued and started with the commit of its result. */
export interface HandedOver {
  subtask: string
  attempt: number
  /** The id of its job, which the worker puts into the queue that the one before came from, and takes out of it. */
  job: string
  tp?: string
  /** None: the reply had no room, or it is a repeat. The claim is granted already and may be asked for. */
  grant?: Grant
}

/** A subtask that was queued and started with one commit, on a worker that had a slot to spare. */
export interface Start extends HandedOver {
  agent: string
  /** Where its job belongs: the worker puts it in and takes it out. */
  queue: string
  claim_id: string
  /** It goes before others: so does its report. */
  first?: boolean
}

/**
 * What a coordinator asks of a worker, by a subject of its own. It may be repeated: under the same `id` it is answered as it
 * was the first time.
 */
export const startRequestSchema = z.object({
  v: version,
  id: z.uuid(),
  coordinator: z.string(),
  items: z.array(z.custom<Start>(item => typeof item === 'object' && item !== null)).max(maxBatchItems),
})
export type StartRequest = z.infer<typeof startRequestSchema>

export interface StartReply {
  /** For each item, in order, whether it runs here now; what does not is to be given back. */
  started: boolean[]
  spare: Spare
  /** A worker of an earlier version does not say. */
  busy?: Busy
}

export type ReportReply =
  | { status: 'accepted' | 'duplicate'; next?: HandedOver }
  | { status: 'stale' }
  | { status: 'rejected'; failure: Failure }

export interface RegisterReply {
  coordinator: string
  lease_ms: number
  heartbeat_ms: number
}

export interface HeartbeatReply {
  /** Claims that are no longer this worker's, or were cancelled. */
  abort: string[]
  /** False: the coordinator does not know this worker (any more); register again. */
  known: boolean
  drain: boolean
}

export type ChunkReply = { status: 'stored' | 'stale' } | { status: 'rejected'; failure: Failure }

/** `stale`: the claim is not (any more) the running one. */
export type StreamReply = { status: 'stored' | 'stale' }

export interface ReadReply {
  status: 'ok' | 'stale' | 'not_found'
  /** Text, or base64 of an artifact's bytes. */
  data: string
  /** Whether there is more behind it, and from where. */
  next_offset: number | null
  media_type?: string
  dependencies?: DependencyView[]
}

/** How long a worker waits for an answer before it asks another coordinator. */
export const answerWithinMs = (leaseMs: number): number => Math.max(250, leaseMs / 4)

/** Every reply's envelope, with the id of the coordinator that answers. `busy` and `error`: nothing was committed, ask again (elsewhere). */
export type Reply<T> =
  | { v: number; status: 'ok'; coordinator?: string; body: T }
  | { v: number; status: 'busy' | 'error'; failure: Failure }

/** Words to workers. */
export const workerWordSchema = z.discriminatedUnion('type', [
  z.object({ v: version, type: z.literal('abort'), claim_ids: z.array(z.string()) }),
  z.object({ v: version, type: z.literal('drain'), restart: z.boolean().optional() }),
])
export type WorkerWord = z.infer<typeof workerWordSchema>
