/** The one thing that users of this package make: a client of one coordinator, or of several behind one URL. */
import { BatonError, type ControlRequest, type SystemStanding, urlIssue } from '@baton/shared'
import { type Events, eventsOf } from './events.js'
import { type Agents, agentsOf, type Health, healthOf, type Workers, workersOf } from './fleet.js'
import { Http, type RetryPolicy, resolveRetry } from './http.js'
import { type Keys, keysOf } from './keys.js'
import { type Orchestrators, orchestratorsOf } from './orchestrators.js'
import { type Reviews, reviewsOf } from './reviews.js'
import { type Tasks, tasksOf } from './tasks.js'
import { type Webhooks, webhooksOf } from './webhooks.js'

export const defaultUrl = 'http://127.0.0.1:7420'

export interface ClientOptions {
  /** Where the coordinator answers; default `http://127.0.0.1:7420`. A path in it is kept as a prefix. */
  readonly url?: string
  /** Sent as `Authorization: Bearer …`. */
  readonly apiKey?: string
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch
  /** How requests are repeated that met no answer or a passing 503; `false` for never. Default: 4 repeats, 100 ms to 2 s apart. */
  readonly retry?: Partial<RetryPolicy> | false
  /** How long one request may take to answer; default 60,000 ms. Long polls add what they wait. */
  readonly timeoutMs?: number
}

export interface Client {
  readonly url: string
  readonly tasks: Tasks
  readonly agents: Agents
  readonly workers: Workers
  readonly reviews: Reviews
  readonly orchestrators: Orchestrators
  readonly events: Events
  readonly webhooks: Webhooks
  readonly keys: Keys
  /** Pauses everything: what runs finishes, nothing else starts. A second pause changes nothing. */
  pause(request?: ControlRequest): Promise<SystemStanding>
  /** Lets everything go on; tasks and orchestrators that are paused by themselves stay so. */
  resume(request?: ControlRequest): Promise<SystemStanding>
  /** Whether the coordinator lives, is ready, and what its stores say. Throws `unreachable` when nobody answers. */
  health(): Promise<Health>
}

/**
 * Makes a client. Every method throws a `BatonError`: with the code and fields of the coordinator's answer, or
 * `unreachable` when there was none.
 *
 * @example
 * const baton = createClient({ url: 'http://127.0.0.1:7420' })
 * await baton.tasks.submit({ task_id: 'feature-7', title: 'Search', subtasks: [{ name: 'build', capability: 'feature-dev' }] })
 * await baton.tasks.execute('feature-7')
 * const task = await baton.tasks.wait('feature-7')
 */
export function createClient(options: ClientOptions = {}): Client {
  const url = options.url ?? defaultUrl
  const issue = urlIssue(url)
  if (issue !== undefined)
    throw new BatonError(
      'invalid_configuration',
      `${JSON.stringify(url)} is not the URL of a coordinator, which ${issue}; use one such as ${defaultUrl}`,
    )
  const http = new Http({
    url: url.replace(/\/+$/, ''),
    apiKey: options.apiKey,
    fetch: options.fetch ?? globalThis.fetch,
    retry: resolveRetry(options.retry),
    timeoutMs: options.timeoutMs ?? 60_000,
  })
  return {
    url: http.url,
    tasks: tasksOf(http),
    agents: agentsOf(http),
    workers: workersOf(http),
    reviews: reviewsOf(http),
    orchestrators: orchestratorsOf(http),
    events: eventsOf(http),
    webhooks: webhooksOf(http),
    keys: keysOf(http),
    pause: (request = {}) => http.json({ method: 'POST', path: ['pause'], body: request }),
    resume: (request = {}) => http.json({ method: 'POST', path: ['resume'], body: request }),
    health: () => healthOf(http),
  }
}
