export { type BackoffPolicy, backoffMs, defaultRetryBackoff } from './backoff.js'
export { type AgentConfig, type BatonConfig, type Playbook, type VerbRule, agentConfigSchema, configSchema, defineConfig, playbookSchema } from './config.js'
export { durationSchema, formatDuration, maxDurationMs, parseDuration, secondsSchema } from './durations.js'
export { BatonError, type ErrorCode, type FieldIssue, type Problem, assertNever, errorCodes, errorTable } from './errors.js'
export { type EventName, eventNames, eventTable } from './events.js'
export { type Failure, failure, failureSchema, toFailure } from './failure.js'
export { RawJson, canonicalJson, jsonProblem, jsonText, maxJsonDepth, parseStrictJson, plainValue } from './json.js'
export { type QueueKey, type Subjects, agentCapability, jobId, namePattern, nameSchema, namespaceSchema, parseQueueName, queueName, subjects, subtaskId, taskIdPattern, taskIdSchema } from './names.js'
export type { Plan, PlanMaker, PlannedSubtask, Understanding } from './plan.js'
export {
  type ActiveClaim,
  type ArtifactRef,
  type ChunkReply,
  type ClaimItem,
  type ClaimReply,
  type Delivery,
  type DependencyView,
  type Grant,
  type HeartbeatReply,
  type HostedAgent,
  type Outcome,
  type ReadReply,
  type RegisterReply,
  type Reply,
  type ReportItem,
  type ReportReply,
  type WorkerInfo,
  type WorkerRequest,
  type WorkerWord,
  artifactNameSchema,
  chunkBytes,
  deliverySchema,
  maxArtifactBytes,
  maxBatchBytes,
  maxBatchItems,
  maxInlineBytes,
  maxSpawnedPerReport,
  outputChunkName,
  protocolVersion,
  reportItemSchema,
  spawnChunkName,
  workerRequestSchema,
  workerWordSchema,
} from './protocol.js'
export { type SubtaskState, type SubtaskTransition, type TaskStatus, type TaskTransition, activeSubtaskStates, isLegalSubtaskStep, isLegalTaskStep, reviewingSubtaskStates, subtaskStates, subtaskTransitions, taskStatuses, taskTransitions, terminalSubtaskStates, terminalTaskStatuses } from './states.js'
export { type ExecuteRequest, type ExecutionMode, type OnFailure, type OrchestrateRequest, type Priority, type SubtaskRequest, executeRequestSchema, executionModes, jsonValueSchema, maxSubtasks, metadataSchema, onFailurePolicies, orchestrateRequestSchema, priorities, rawRequestKeys, subtaskNameSchema, subtaskRequestSchema } from './submission.js'
export { type Found, type Lookup, type OutputReference, type Reference, type Resolved, type TaskField, type TaskReference, type TemplateSources, findReferences, lookupIn, resolveTemplates, withoutReferences } from './templates.js'
export type { AgentView, ArtifactView, DependencyEdge, SubtaskView, TaskList, TaskSummary, TaskView, WorkerView } from './views.js'
