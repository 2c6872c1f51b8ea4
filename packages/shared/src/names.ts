/**
 * Every name that Baton gives to a thing outside its own process is built here and nowhere else: queues, bus subjects,
 * job ids, subtask ids. What users chose is checked before it becomes part of one.
 *
 * BullMQ refuses `:` in job ids and takes `wait` and `meta` for its own; hence job ids are built of internal numbers,
 * and queue names carry a letter that says what they are keyed by.
 */
import { z } from 'zod'

export const taskIdPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/
export const namePattern = /^[a-z0-9][a-z0-9_.-]{0,63}$/
const namespacePattern = /^[a-z0-9][a-z0-9_-]{0,63}$/

export const taskIdSchema = z
  .string()
  .regex(taskIdPattern, 'must be 1 to 128 letters, digits, `_`, `.` or `-`, beginning with a letter or digit')
export const nameSchema = z
  .string()
  .regex(namePattern, 'must be 1 to 64 lower-case letters, digits, `_`, `.` or `-`, beginning with a letter or digit')
export const namespaceSchema = z.string().regex(namespacePattern, 'must be 1 to 64 lower-case letters, digits, `_` or `-`')
/** Without dots: with them, two pools could mean the same queue. */
export const poolSchema = namespaceSchema

/** The capability that every agent offers: its own name. */
export const agentCapability = (agent: string): string => `agent:${agent}`

/** What a queue is keyed by: a capability, or one agent. */
export type QueueKey = { readonly kind: 'capability'; readonly name: string } | { readonly kind: 'agent'; readonly name: string }

/** The name of a delivery queue; `shared.c.code-review` or `shared.a.code-review`. */
export function queueName(pool: string, key: QueueKey): string {
  return `${pool}.${key.kind === 'capability' ? 'c' : 'a'}.${key.name}`
}

/** What a queue's name says, or undefined when it is not a delivery queue. */
export function parseQueueName(name: string): (QueueKey & { readonly pool: string }) | undefined {
  const match = /^([a-z0-9_-]+)\.([ca])\.(.+)$/.exec(name)
  if (!match?.[1] || !match[3]) return undefined
  return { pool: match[1], kind: match[2] === 'c' ? 'capability' : 'agent', name: match[3] }
}

/**
 * The queue on which producers leave tasks; like all queues with the namespace as BullMQ's prefix. No delivery queue is
 * named like it: those have dots.
 */
export const intakeQueue = 'baton-tasks'

/** The key whose absence says that Redis was emptied: every job is rung again then. */
export function epochKey(namespace: string): string {
  return `${namespace}:epoch`
}

/** Where the notes of a task stand: one key each, and an index of their names by when they run out. */
export function noteKeys(namespace: string, taskPk: string): { note(name: string): string; index: string } {
  return { note: name => `${namespace}:note:${taskPk}:${name}`, index: `${namespace}:notes:${taskPk}` }
}

/** The id of a delivery job. A number of the database, never a caller's text. */
export function jobId(subtask: string, attempt: number, dispatch: number): string {
  return `${subtask}-${attempt}-${dispatch}`
}

/** `<pinned agent, else capability>::<task_id>::<n>`; fixed at planning, never parsed. */
export function subtaskId(prefix: string, taskId: string, n: number): string {
  return `${prefix}::${taskId}::${n}`
}

/** Subjects of the bus, all under one namespace. */
export function subjects(namespace: string) {
  return {
    /** Requests of workers to any coordinator (served by a queue group). */
    coordinators: `${namespace}.coordinators`,
    /** Requests of workers to every coordinator at once: the first answer counts. For when one is silent. */
    everyCoordinator: `${namespace}.every-coordinator`,
    /** Requests of workers to one coordinator. */
    coordinator: (id: string) => `${namespace}.coordinator.${id}`,
    /** Words to one worker: abort, drain. */
    worker: (id: string) => `${namespace}.worker.${id}`,
    /** Attempts that a coordinator starts on one worker: a request, which the worker answers. */
    starts: (id: string) => `${namespace}.starts.${id}`,
    /** Words to all workers. */
    workers: `${namespace}.workers`,
    /** Pulses between coordinators: "look at Postgres now". */
    pulses: `${namespace}.pulses`,
  }
}
export type Subjects = ReturnType<typeof subjects>
