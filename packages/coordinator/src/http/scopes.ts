/** Which key each route needs, in this one place: by the route's id, tested to have no gap and no leftover. */
import type { Access } from '@baton/shared'

const read: Access = { level: 'read' }
const submit: Access = { level: 'submit' }
const operate: Access = { level: 'operate' }
const admin: Access = { level: 'admin' }

export const routeAccess: Readonly<Record<string, Access>> = {
  // They show no data.
  home: 'open',
  docs: 'open',
  openapi: 'open',
  health: 'open',
  readiness: 'open',
  endSession: 'open',
  // Looking
  listTasks: read,
  getTask: read,
  whyTask: read,
  listArtifacts: read,
  getArtifact: read,
  followEvents: read,
  followTask: read,
  listReviews: read,
  getReview: read,
  listAgents: read,
  matchAgents: read,
  listWorkers: read,
  getWorker: { ...read, worker: true },
  listOrchestrators: read,
  getOrchestrator: read,
  getOrchestratorSettings: read,
  listWebhooks: read,
  getWebhook: read,
  listDeliveries: read,
  metrics: read,
  beginSession: read,
  // Handing in work
  orchestrate: submit,
  orchestrateBatch: submit,
  execute: submit,
  // Telling it what to do
  cancelTask: operate,
  pauseTask: operate,
  resumeTask: operate,
  rerunTask: operate,
  replanTask: operate,
  cancelSubtask: operate,
  retrySubtask: operate,
  reassignSubtask: operate,
  releaseSubtask: operate,
  assignReview: operate,
  decideReview: operate,
  createOrchestrator: operate,
  updateOrchestrator: operate,
  updateOrchestratorSettings: operate,
  setOrchestratorStatus: operate,
  deleteOrchestrator: operate,
  pauseSystem: operate,
  resumeSystem: operate,
  drainWorker: { ...operate, worker: true },
  replayDelivery: operate,
  replayWebhook: operate,
  // Who sees and may do what
  createWebhook: admin,
  updateWebhook: admin,
  rotateWebhook: admin,
  deleteWebhook: admin,
  createKey: admin,
  listKeys: admin,
  revokeKey: admin,
}

/** The pages of the queues: whoever may read looks at them, and who may operate presses their buttons. */
export const queuePagesAccess = { looking: read, changing: operate }
