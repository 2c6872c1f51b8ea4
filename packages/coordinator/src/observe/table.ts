/**
 * The closed table of a coordinator's metrics. docs/metrics.md, the dashboard and the alert rules in ops/ are tested
 * against it. A further duty (webhooks, streams) adds its rows here and its method to `Observer`.
 *
 * Gauges about tasks, subtasks, workers and reviews are of the whole installation, the same from every coordinator: take
 * `max` of them. Counters and histograms are of one coordinator: take `sum`.
 */
import { type MetricTable, secondsBuckets } from '@baton/shared/observe'

const counts = [1, 2, 5, 10, 20, 50, 100, 200, 500] as const
const quick = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10] as const

export const coordinatorMetrics = {
  orchestrator_info: { kind: 'gauge', help: 'Always 1; the labels say which coordinator this is.', labels: ['version', 'mode'] },
  // Tasks
  orchestrator_tasks_active: {
    kind: 'gauge',
    help: 'Tasks that were started and have not ended, by status; at most 100,000 of each are counted.',
    labels: ['status'],
  },
  orchestrator_tasks_planned: {
    kind: 'gauge',
    help: 'Tasks that were not started yet; at most 100,000 are counted.',
    labels: [],
  },
  orchestrator_tasks_submitted_total: {
    kind: 'counter',
    help: 'Submissions: created, existing (a repeat) or refused.',
    labels: ['outcome'],
  },
  orchestrator_intake_jobs_total: {
    kind: 'counter',
    help: 'Jobs of the intake queue: created, existing (a repeat), refused or later (put off).',
    labels: ['outcome'],
  },
  orchestrator_latency_seconds: {
    kind: 'histogram',
    help: 'From the start of a task to its end, completed or failed.',
    labels: ['status'],
    buckets: [...secondsBuckets.slice(4), 14_400, 86_400],
  },
  orchestrator_reviews_open: { kind: 'gauge', help: 'Reviews that wait for a person; at most 10,000 are counted.', labels: [] },
  // Subtasks
  orchestrator_subtasks: {
    kind: 'gauge',
    help: 'Subtasks that are ready, queued, running, retrying or blocked, by capability; at most 10,000 of each are counted.',
    labels: ['capability', 'state'],
  },
  orchestrator_backlog_seconds: {
    kind: 'gauge',
    help: 'Work that waits: ready and queued subtasks of a capability times their mean run time. Divided by the slots it says how long a new subtask waits.',
    labels: ['capability'],
  },
  orchestrator_queue_wait_seconds: {
    kind: 'histogram',
    help: 'From when a subtask was ready until a worker had it.',
    labels: ['capability'],
  },
  orchestrator_run_seconds: {
    kind: 'histogram',
    help: 'From the grant of an attempt to its report, by how it ended.',
    labels: ['capability', 'outcome'],
  },
  orchestrator_subtasks_completed_total: { kind: 'counter', help: 'Results that were accepted.', labels: ['capability'] },
  orchestrator_subtask_failures_total: {
    kind: 'counter',
    help: 'Attempts and waits that ended without a result, by the code of the failure.',
    labels: ['capability', 'code'],
  },
  orchestrator_retries_total: {
    kind: 'counter',
    help: 'Attempts that began and were not the first of their subtask.',
    labels: ['capability'],
  },
  orchestrator_lease_losses_total: { kind: 'counter', help: 'Attempts that were lost with their worker.', labels: [] },
  orchestrator_claims_total: {
    kind: 'counter',
    help: 'Claims of workers, by the answer: granted, gone, held, not_eligible.',
    labels: ['status'],
  },
  orchestrator_reports_total: {
    kind: 'counter',
    help: 'Reports of workers, by the verdict: accepted, duplicate, stale.',
    labels: ['verdict'],
  },
  // Fleet
  orchestrator_workers: { kind: 'gauge', help: 'Workers by state.', labels: ['state'] },
  orchestrator_slots: { kind: 'gauge', help: 'Slots of live workers for a capability.', labels: ['capability'] },
  orchestrator_slots_active: { kind: 'gauge', help: 'Of these, those that were in use at the last heartbeat.', labels: ['capability'] },
  // Machinery
  orchestrator_dispatch_paused: {
    kind: 'gauge',
    help: '1 while jobs are kept back: Redis has no memory left (out_of_memory), or does not answer (unreachable).',
    labels: ['reason'],
  },
  orchestrator_jobs_kept: { kind: 'gauge', help: 'Jobs that are kept back until Redis takes them.', labels: [] },
  orchestrator_jobs_rung_total: { kind: 'counter', help: 'Jobs that were put into queues.', labels: [] },
  orchestrator_jobs_missing_total: {
    kind: 'counter',
    help: 'Queued subtasks whose job was not there and was rung again.',
    labels: [],
  },
  orchestrator_batch_items: {
    kind: 'histogram',
    help: 'Items that shared one statement: claims, results, failures, heartbeats.',
    labels: ['kind'],
    buckets: counts,
  },
  orchestrator_statement_seconds: {
    kind: 'histogram',
    help: 'Time of database statements by name, the wait for a connection included.',
    labels: ['statement'],
    buckets: quick,
  },
  orchestrator_statement_errors_total: {
    kind: 'counter',
    help: 'Database statements that failed: unavailable, transient (repeated) or other.',
    labels: ['cause'],
  },
  orchestrator_http_request_seconds: {
    kind: 'histogram',
    help: 'Time of HTTP requests by route; requests that wait (?wait) included.',
    labels: ['method', 'route', 'status'],
    buckets: quick,
  },
  orchestrator_standing_age_seconds: {
    kind: 'gauge',
    help: 'How old what was read of Postgres for the gauges above is; it rises while Postgres does not answer.',
    labels: [],
  },
} as const satisfies MetricTable
