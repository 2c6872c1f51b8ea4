/**
 * The Fastify application: what happens to every request, in order. It knows no path; the routes do.
 *
 * P1  Every answer carries `x-request-id` and the security headers.
 * P2  Access is checked before anything is read or looked up; whoever may not ask does not learn which paths exist.
 * P3  Every error leaves as a problem document. URLs are not logged: callers put secrets into them.
 */
import { BatonError, type Access as Needed } from '@baton/shared'
import { type Clock, type Logger, systemClock } from '@baton/shared/node'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Caller, CoordinatorApi } from '../commands/api.js'
import { Access, type MadeKeys } from './access.js'
import { installBodyParser } from './body.js'
import { clientErrorAnswerer, newRequestId } from './client-errors.js'
import { EventStreams } from './event-streams.js'
import type { HttpLimits } from './limits.js'
import { methodsOf } from './methods.js'
import { signInPage } from './page/sign-in-page.js'
import { sendProblem, toBatonError } from './problem.js'
import { isQueuesPage, type QueuePages, registerQueuePages } from './queue-pages.js'
import { type Route, register } from './route.js'
import { allRoutes } from './routes/index.js'
import type { MetricsSource } from './routes/metrics.js'
import { pagePolicy, securityHeaders } from './security-headers.js'
import { Waits } from './waits.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key has to allow; undefined: there is no such path. */
    needed?: Needed
    /** Keys of the body whose values keep their bytes; default: those of submissions. */
    rawKeys?: ReadonlySet<string>
    /** The key of a list in the body whose items are refused each for itself; default: none. */
    separateItems?: string
  }
}

export interface AppOptions {
  readonly api: CoordinatorApi
  readonly apiKey: string | undefined
  /** Those that were made, beside it. */
  readonly keys?: MadeKeys | undefined
  readonly log: Logger
  readonly version: string
  readonly mode: 'local' | 'fleet'
  readonly limits: HttpLimits
  readonly metrics?: MetricsSource | undefined
  /** What is at `/admin/queues`; without them there is no such path. */
  readonly queuePages?: QueuePages | undefined
  /** A request was answered; for whoever counts. */
  readonly onAnswered?: ((request: Answered) => void) | undefined
  /** Default: the system's. */
  readonly clock?: Clock
}

/** A request that was answered; `route` is the pattern, never what a caller wrote. */
export interface Answered {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly seconds: number
}

export interface App {
  readonly fastify: FastifyInstance
  readonly routes: readonly Route[]
  /** From now on new requests are refused, and waiting ones are answered. */
  refuseRequests(): void
}

export function buildApp(options: AppOptions): App {
  const { limits, log } = options
  const fastify = createFastify(limits, log)
  const access = new Access({
    apiKey: options.apiKey,
    keys: options.keys,
    badKeysPerMinute: limits.badKeysPerMinute,
    clock: options.clock ?? systemClock,
  })
  const waits = new Waits(limits.maxWaits)
  const streams = new EventStreams(limits, log)
  const routes = allRoutes({ ...options, showReasons: !access.needsKey, access })
  const callers = new WeakMap<FastifyRequest, Caller>()
  const allowed = methodsOf(routes)
  let stopping = false

  fastify.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders).headers({ 'x-request-id': request.id, 'cache-control': 'no-store' }) // P1
    if (stopping)
      throw new BatonError('unavailable', 'this coordinator is stopping; try again, perhaps at another one', {
        extra: { retry_after_seconds: 1 },
      })
    callers.set(request, await access.admit(request, request.routeOptions.config.needed)) // P2
    if (request.is404) throw noSuchRoute(request, allowed)
  })
  installBodyParser(fastify)
  fastify.setErrorHandler((thrown, request, reply) => {
    const error = toBatonError(thrown, request)
    if (error.status === 500)
      log.error({ request_id: request.id, route: request.routeOptions.url, err: error.cause ?? error }, 'a request failed')
    if (error.code === 'unauthorized' && wantsPage(request)) return sendSignIn(reply)
    return sendProblem(reply, error, request.id) // P3
  })
  fastify.setNotFoundHandler((request, reply) => sendProblem(reply, noSuchRoute(request, allowed), request.id))
  fastify.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request
    options.onAnswered?.({ method, route: routeOptions.url ?? 'none', status: reply.statusCode, seconds: reply.elapsedTime / 1_000 })
    logAnswer(log, request, reply)
  })

  const callerOf = (request: FastifyRequest): Caller => {
    const caller = callers.get(request)
    if (!caller) throw new BatonError('internal', 'a request was not admitted')
    return caller
  }
  const mayStay = (caller: Caller) => access.isInForce(caller)
  for (const route of routes) register(fastify, route, { waits, streams, submissionBytes: limits.submissionBytes, callerOf, mayStay })
  if (options.queuePages) registerQueuePages(fastify, options.queuePages)
  return {
    fastify,
    routes,
    refuseRequests() {
      stopping = true
      waits.stop()
      streams.stop()
    },
  }
}

/** A person opens one of the pages of the queues, instead of a program asking. */
function wantsPage({ method, headers, raw }: FastifyRequest): boolean {
  return method === 'GET' && isQueuesPage(raw.url ?? '') && (headers.accept ?? '').includes('text/html')
}

function sendSignIn(reply: FastifyReply): FastifyReply {
  return reply
    .code(401)
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': pagePolicy(signInPage),
      'www-authenticate': 'Bearer realm="baton"',
    })
    .send(signInPage.html)
}

function createFastify(limits: HttpLimits, log: Logger): FastifyInstance {
  return Fastify({
    logger: false,
    genReqId: newRequestId,
    requestIdHeader: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    return503OnClosing: false, // ours is a problem document
    routerOptions: { maxParamLength: limits.headerBytes, querystringParser: () => ({}) }, // routes read it by themselves
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: Math.min(15_000, limits.requestTimeoutMs),
      connectionsCheckingInterval: Math.min(5_000, limits.requestTimeoutMs),
      requireHostHeader: false, // `Access` refuses with a problem document
    },
    clientErrorHandler: clientErrorAnswerer(limits, log),
    frameworkErrors: (error, request, reply) => {
      reply.headers(securityHeaders).header('x-request-id', request.id) // hooks do not run for these
      void sendProblem(reply, toBatonError(error, request), request.id)
    },
  })
}

function noSuchRoute(request: FastifyRequest, allowed: (path: string) => string[]): BatonError {
  const allow = allowed(request.raw.url ?? '')
  if (allow.length === 0) return new BatonError('not_found', 'there is no such path; /docs lists all of them')
  return new BatonError('method_not_allowed', `this path takes ${allow.join(', ')} and not ${request.method}`, { extra: { allow } })
}

function logAnswer(log: Logger, request: FastifyRequest, reply: FastifyReply): void {
  const line = {
    request_id: request.id,
    method: request.method,
    route: request.routeOptions.url,
    task_id: reply.statusCode === 401 ? undefined : taskIdOf(request),
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime),
  }
  if (reply.statusCode >= 400 || request.method !== 'GET') log.info(line, 'answered')
  else log.debug(line, 'answered')
}

/** Of the path, else of the body. */
function taskIdOf({ params, body }: FastifyRequest): string | undefined {
  for (const part of [params, body]) {
    const id = part !== null && typeof part === 'object' && 'task_id' in part ? part.task_id : undefined
    if (typeof id === 'string' && id.length <= 128) return id
  }
  return undefined
}
