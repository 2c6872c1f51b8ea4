/**
 * The views as schemas, for the OpenAPI document only: answers are typed by TypeScript and not checked at run time.
 * `satisfies` holds each schema to its view.
 */
import {
  type AgentMatch,
  type AgentView,
  type ArtifactView,
  assignRequestSchema,
  controlRequestSchema,
  createKeyRequestSchema,
  createOrchestratorRequestSchema,
  createWebhookRequestSchema,
  type DeliveryList,
  type DeliveryView,
  type DependencyEdge,
  decideRequestSchema,
  deliveryStates,
  type EventList,
  type EventName,
  type EventView,
  errorCodes,
  eventNames,
  executeRequestSchema,
  failureSchema,
  jsonValueSchema,
  type KeyList,
  type KeyView,
  type KeyWithSecret,
  keyScopes,
  matchRequestSchema,
  type OrchestratorList,
  type OrchestratorSettingsView,
  type OrchestratorView,
  orchestrateRequestSchema,
  orchestratorSettingsRequestSchema,
  orchestratorStatuses,
  orchestratorStatusRequestSchema,
  type PlanView,
  type Problem,
  priorities,
  type ReplanView,
  type ReviewList,
  type ReviewView,
  reassignRequestSchema,
  replanRequestSchema,
  replayWebhookRequestSchema,
  rerunRequestSchema,
  reviewDecisions,
  reviewKinds,
  reviewStatuses,
  rotateWebhookRequestSchema,
  type SubtaskView,
  type SystemStanding,
  subtaskRequestSchema,
  subtaskStates,
  type TaskList,
  type TaskSummary,
  type TaskView,
  taskStatuses,
  updateOrchestratorRequestSchema,
  updateWebhookRequestSchema,
  type WebhookList,
  type WebhookView,
  type WebhookWithSecret,
  type WhyView,
  type WorkerView,
} from '@baton/shared'
import { z } from 'zod'

const at = z.string().meta({ format: 'date-time' })
const count = z.number().meta({ type: 'integer', minimum: 0 })
const nextCursor = z.string().optional().meta({ description: 'Present when there is more.' })
const why = z.string().optional().meta({ description: 'One sentence: what it waits for.' })

const status = z.enum(taskStatuses)
const state = z.enum(subtaskStates)
const subtaskCounts = z.partialRecord(state, count)

const subtask = z.object({
  subtask_id: z.string(),
  name: z.string(),
  title: z.string().nullable(),
  capability: z.string(),
  agent: z.string().nullable().meta({ description: 'Null until an agent has claimed it.' }),
  state,
  attempt: count,
  generation: count,
  started_at: at.nullable(),
  finished_at: at.nullable(),
  sla_until: at.optional().meta({ format: 'date-time', description: 'Of a running one: when its attempt has to be done.' }),
  deadline_at: at.optional().meta({
    format: 'date-time',
    description: 'Of one that has begun and not ended: when the whole subtask has to be done. Pauses put it off.',
  }),
  outputs: jsonValueSchema.optional(),
  failure: failureSchema.optional(),
  progress: jsonValueSchema.optional(),
  cancel: z.enum(['requested', 'acknowledged', 'forced']).optional().meta({ description: 'How far a cancel has come.' }),
  why,
}) satisfies z.ZodType<SubtaskView>

const dependency = z
  .object({ from: z.string(), to: z.string() })
  .meta({ description: 'Subtask ids: `to` waits for `from`.' }) satisfies z.ZodType<DependencyEdge>

const artifact = z.object({
  name: z.string(),
  subtask_id: z.string(),
  uri: z.string(),
  media_type: z.string(),
  bytes: count,
  sha256: z.string(),
}) satisfies z.ZodType<ArtifactView>

const taskSummary = z.object({
  task_id: z.string(),
  title: z.string(),
  status,
  priority: z.enum(priorities),
  orchestrator_id: z.string(),
  created_at: at,
  finished_at: at.nullable(),
  subtask_counts: subtaskCounts,
  why,
}) satisfies z.ZodType<TaskSummary>

const openReview = z.object({ id: z.string(), kind: z.string(), subtask_id: z.string().nullable() })

const plan = z.object({
  made_by: z.enum(['explicit', 'playbook', 'rules', 'model']),
  objectives: z.array(z.string()),
  constraints: z.array(z.string()),
  acceptance_criteria: z.array(z.string()),
  diagnostics: z.array(z.string()),
}) satisfies z.ZodType<PlanView>

const replan = z.object({
  task_id: z.string(),
  status,
  applied: z.boolean().meta({ description: 'False: it was a dry run, or waits for its review.' }),
  review: z.object({ id: z.string(), digest: z.string() }).optional().meta({ description: 'Where it has to be approved.' }),
  plan,
  diff: z
    .object({
      added: z.array(z.object({ name: z.string(), title: z.string().nullable(), capability: z.string(), depends_on: z.array(z.string()) })),
      removed: z.array(z.string()),
      changed: z.array(z.object({ name: z.string(), fields: z.array(z.string()) })),
      kept: z.array(z.string()),
    })
    .meta({ description: 'By the names of subtasks; of each list the first 1,000.' }),
}) satisfies z.ZodType<ReplanView>

const task = z.object({
  task_id: z.string(),
  title: z.string(),
  description: z.string().nullable(),
  status,
  priority: z.enum(priorities),
  orchestrator_id: z.string(),
  metadata: jsonValueSchema,
  context: jsonValueSchema,
  plan,
  subtask_counts: subtaskCounts,
  subtasks: z.array(subtask),
  subtasks_next_cursor: nextCursor,
  dependencies: z.array(dependency),
  dependencies_next_cursor: nextCursor,
  artifacts: z.array(artifact),
  artifacts_next_cursor: nextCursor,
  status_history: z.array(z.object({ at, from: status.nullable(), to: status, reason: z.string() })),
  metrics: z.object({
    elapsed_seconds: z.number(),
    on_time: z.boolean(),
    subtasks_total: count,
    subtasks_completed: count,
    attempts: count,
    due_date: z.string().nullable(),
    sla_seconds: z.number().nullable(),
  }),
  review: openReview.optional(),
  why,
  created_at: at,
  started_at: at.nullable(),
  finished_at: at.nullable(),
}) satisfies z.ZodType<TaskView>

const listCursor = z.string().nullable().meta({ description: 'Null on the last page.' })

const taskList = z.object({ tasks: z.array(taskSummary), next_cursor: listCursor }) satisfies z.ZodType<TaskList>

const agent = z.object({
  name: z.string(),
  description: z.string(),
  skills: z.array(z.string()),
  capabilities: z.array(z.string()),
  domain: z.string().nullable(),
  health: z.enum(['healthy', 'degraded', 'offline']),
  is_default: z.boolean(),
  sla_seconds: z.number().nullable().meta({ description: 'How long one of its attempts may take, as it says itself.' }),
  load: z
    .object({ active: count, slots: count, workers: count, queued: count })
    .meta({ description: '`queued`: jobs in the queues that it takes from.' }),
  measured: z
    .array(
      z.object({
        capability: z.string(),
        attempts: count,
        success_rate: z.number(),
        latency_ms: z.number().nullable().meta({ description: 'How long a completed attempt ran; null: none has completed.' }),
      }),
    )
    .meta({ description: 'How it did so far, exponentially weighted: the newest attempt counts 5 %.' }),
}) satisfies z.ZodType<AgentView>

const agentMatch = z.object({
  agent: z.string().nullable().meta({ description: 'The best placed one; null: none can take it now.' }),
  queue: z
    .object({ kind: z.enum(['capability', 'agent']), name: z.string() })
    .nullable()
    .meta({
      description: 'Where its job would go: to the queue that every agent with the capability takes from, or to that of one agent.',
    }),
  why: z.string(),
  candidates: z.array(
    z.object({
      agent: z.string(),
      eligible: z.boolean(),
      score: z.number().meta({ description: 'From 0 to 1: the weighted sum of the terms.' }),
      terms: z.object({ coverage: z.number(), health: z.number(), load: z.number(), sla_fit: z.number(), success: z.number() }),
      missing: z.array(z.string()),
      why: z.string().nullable().meta({ description: 'Why it cannot take the work now; null: it can.' }),
    }),
  ),
}) satisfies z.ZodType<AgentMatch>

const workerState = z.enum(['starting', 'ready', 'draining', 'stopped', 'lost'])

const worker = z.object({
  id: z.string(),
  host: z.string(),
  pid: z.number().meta({ type: 'integer' }),
  version: z.string(),
  agents: z.array(z.string()),
  concurrency: count,
  active: count,
  state: workerState,
  started_at: at,
  last_heartbeat_at: at,
}) satisfies z.ZodType<WorkerView>

const review = z.object({
  id: z.string(),
  kind: z.enum(reviewKinds),
  status: z.enum(reviewStatuses),
  task_id: z.string(),
  subtask_id: z.string().nullable(),
  subtask: z.string().nullable().meta({ description: "The subtask's name." }),
  subtask_state: z.string().nullable(),
  assignee: z.string().nullable(),
  due_at: at.nullable(),
  escalate_to: z.string().nullable().meta({ description: 'Who gets it when it is still open at its due time.' }),
  escalated_at: at.nullable(),
  digest: z.string().nullable().meta({ description: 'Of an approval: the SHA-256 of exactly what is approved.' }),
  detail: z.string().meta({ description: 'What is to be decided; for an exhausted subtask, its last failure as JSON.' }),
  decision: z.enum(reviewDecisions).nullable(),
  reason: z.string().nullable(),
  decided_by: z.string().nullable(),
  created_at: at,
  decided_at: at.nullable(),
}) satisfies z.ZodType<ReviewView>

const reviewList = z.object({ reviews: z.array(review), next_cursor: listCursor }) satisfies z.ZodType<ReviewList>

const orchestrator = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  agent_id: z.string().nullable(),
  default_worker_agent_id: z.string().nullable().meta({ description: 'Gets the subtasks that name neither capability nor agent.' }),
  thread_id: z.string(),
  status: z.enum(orchestratorStatuses),
  metadata: jsonValueSchema,
  created_at: at,
  updated_at: at.meta({ description: 'Changes with every mutation, and by nothing else.' }),
}) satisfies z.ZodType<OrchestratorView>

const orchestratorList = z.object({
  orchestrators: z.array(orchestrator),
  next_cursor: listCursor,
}) satisfies z.ZodType<OrchestratorList>

const orchestratorSettings = orchestrator.pick({
  default_worker_agent_id: true,
  metadata: true,
}) satisfies z.ZodType<OrchestratorSettingsView>

const systemStanding = z.object({
  paused: z.boolean(),
  since: at.nullable(),
  by: z.string().nullable(),
  reason: z.string().nullable(),
}) satisfies z.ZodType<SystemStanding>

const problem = z
  .looseObject({
    type: z.string().meta({ format: 'uri-reference' }),
    title: z.string(),
    status: z.number().meta({ type: 'integer' }),
    code: z.enum(errorCodes),
    detail: z.string().meta({ description: 'What is wrong, and the remedy.' }),
    fields: z
      .array(z.object({ path: z.string(), issue: z.string() }))
      .optional()
      .meta({ description: 'Every problem of the request.' }),
    request_id: z.string(),
  })
  .meta({ description: 'RFC 9457.' }) satisfies z.ZodType<Problem>

const event = z.object({
  id: z.string().meta({ description: 'Its position: what `after` and `Last-Event-ID` take.' }),
  at,
  name: z.enum(eventNames as [EventName, ...EventName[]]),
  task_id: z.string().nullable(),
  orchestrator_id: z.string().nullable(),
  subtask_id: z.string().nullable(),
  subtask: z.string().nullable().meta({ description: "The subtask's name." }),
  attempt: z.number().nullable(),
  agent: z.string().nullable(),
  worker_id: z.string().nullable(),
  data: jsonValueSchema.meta({ description: 'What else there is to tell.' }),
}) satisfies z.ZodType<EventView>

const eventList = z.object({
  events: z.array(event),
  next_cursor: listCursor.meta({ description: 'Null where there is no more at present: go on behind the `id` of the last event.' }),
}) satisfies z.ZodType<EventList>

const webhook = z.object({
  id: z.string(),
  kind: z
    .enum(['subscription', 'callbacks'])
    .meta({ description: '`callbacks`: each event of a task goes to the `callback_url` of the task itself.' }),
  url: z.string().nullable().meta({ description: 'Without the values of its query. Null for callbacks.' }),
  events: z.array(z.string()),
  description: z.string(),
  enabled: z.boolean(),
  previous_secret_until: at.nullable().meta({ description: 'Until when the secret before the last rotation signs too.' }),
  created_at: at,
  updated_at: at,
}) satisfies z.ZodType<WebhookView>

const webhookWithSecret = webhook.extend({ secret: z.string() }) satisfies z.ZodType<WebhookWithSecret>
const webhookList = z.object({ webhooks: z.array(webhook), next_cursor: listCursor }) satisfies z.ZodType<WebhookList>

const key = z.object({
  id: z.string(),
  name: z.string(),
  scope: z.enum(keyScopes),
  tenant: z.string(),
  created_at: at,
  created_by: z
    .string()
    .meta({ description: 'The name of the key that made it; `api_key` is the one that the coordinator was started with.' }),
  revoked_at: at.nullable().meta({ description: 'Null: it is in force.' }),
  last_used_at: at.nullable().meta({ description: 'To the minute. Null: never.' }),
}) satisfies z.ZodType<KeyView>
const keyWithSecret = key.extend({
  secret: z.string().meta({ description: 'The key itself, this once.' }),
}) satisfies z.ZodType<KeyWithSecret>
const keyList = z.object({ keys: z.array(key), next_cursor: listCursor }) satisfies z.ZodType<KeyList>

const delivery = z.object({
  id: z.string(),
  webhook_id: z.string(),
  message_id: z.string().meta({ description: 'The header `webhook-id`, the same in every try.' }),
  event_id: z.string(),
  event: z.string(),
  at,
  task_id: z.string().nullable(),
  state: z.enum(deliveryStates),
  attempts: count,
  next_at: at.nullable(),
  ended_at: at.nullable(),
  tries: z
    .array(z.object({ at, ms: count, status: z.number().nullable(), error: z.string().nullable() }))
    .meta({ description: 'The last ones, the newest first.' }),
}) satisfies z.ZodType<DeliveryView>
const deliveryList = z.object({ deliveries: z.array(delivery), next_cursor: listCursor }) satisfies z.ZodType<DeliveryList>

const whyView = z.object({
  task_id: z.string(),
  status,
  why,
  review: openReview.optional().meta({ description: 'Its oldest open review.' }),
  subtasks: z.array(z.object({ subtask_id: z.string(), name: z.string(), state, why: z.string() })),
  next_cursor: listCursor.meta({ description: 'Null on the last page; a page before it may hold few nodes, or none.' }),
}) satisfies z.ZodType<WhyView>

const execution = z.object({ task_id: z.string(), status })

const batchRequest = z.strictObject({ tasks: z.array(orchestrateRequestSchema) })
const batchResults = z.object({
  results: z.array(
    z.object({
      task_id: z.string().nullable(),
      status_code: z.number().meta({ type: 'integer' }),
      task: task.optional(),
      error: problem.optional(),
    }),
  ),
})

/** Every schema that has a name in the OpenAPI document. */
export const namedSchemas = {
  OrchestrateRequest: orchestrateRequestSchema,
  SubtaskRequest: subtaskRequestSchema,
  ExecuteRequest: executeRequestSchema,
  MatchRequest: matchRequestSchema,
  AgentMatch: agentMatch,
  ControlRequest: controlRequestSchema,
  ReassignRequest: reassignRequestSchema,
  RerunRequest: rerunRequestSchema,
  ReplanRequest: replanRequestSchema,
  Replan: replan,
  AssignRequest: assignRequestSchema,
  DecideRequest: decideRequestSchema,
  BatchRequest: batchRequest,
  CreateOrchestratorRequest: createOrchestratorRequestSchema,
  UpdateOrchestratorRequest: updateOrchestratorRequestSchema,
  OrchestratorSettingsRequest: orchestratorSettingsRequestSchema,
  OrchestratorStatusRequest: orchestratorStatusRequestSchema,
  Task: task,
  Subtask: subtask,
  Dependency: dependency,
  Artifact: artifact,
  Failure: failureSchema,
  TaskSummary: taskSummary,
  TaskList: taskList,
  ArtifactList: z.object({ artifacts: z.array(artifact), next_cursor: listCursor }),
  BatchResults: batchResults,
  Execution: execution,
  Rerun: z.object({ task_id: z.string(), status, subtasks: count.meta({ description: 'How many subtasks run again.' }) }),
  Why: whyView,
  Event: event,
  CreateWebhookRequest: createWebhookRequestSchema,
  UpdateWebhookRequest: updateWebhookRequestSchema,
  RotateWebhookRequest: rotateWebhookRequestSchema,
  ReplayWebhookRequest: replayWebhookRequestSchema,
  Webhook: webhook,
  WebhookWithSecret: webhookWithSecret,
  WebhookList: webhookList,
  CreateKeyRequest: createKeyRequestSchema,
  Key: key,
  KeyWithSecret: keyWithSecret,
  KeyList: keyList,
  DeletedWebhook: z.object({ deleted_id: z.string() }),
  Delivery: delivery,
  DeliveryList: deliveryList,
  Replayed: z.object({ replayed: count }),
  EventList: eventList,
  SubtaskStanding: z.object({ subtask_id: z.string(), state }),
  Orchestrator: orchestrator,
  OrchestratorList: orchestratorList,
  OrchestratorSettings: orchestratorSettings,
  DeletedOrchestrator: z.object({ deleted_id: z.string() }),
  SystemStanding: systemStanding,
  Review: review,
  ReviewList: reviewList,
  Agent: agent,
  AgentList: z.object({ agents: z.array(agent), next_cursor: listCursor }),
  Worker: worker,
  WorkerList: z.object({ workers: z.array(worker), next_cursor: listCursor }),
  WorkerStanding: z.object({ id: z.string(), state: workerState }),
  Health: z.object({ status: z.literal('ok'), version: z.string(), mode: z.enum(['local', 'fleet']) }),
  Readiness: z.object({ status: z.literal('ready'), checks: z.record(z.string(), z.string()) }),
  Problem: problem,
} as const satisfies Record<string, z.ZodType>
