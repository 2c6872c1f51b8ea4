/**
 * A route as data: its path, what it takes, what it answers. The server and the OpenAPI document are both made of the
 * same list of routes, so neither can say what the other does not do.
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { type Access, BatonError, type ErrorCode } from '@baton/shared'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Caller, EventBatch } from '../commands/api.js'
import type { EventStream, EventStreams } from './event-streams.js'
import { toJsonText } from './json-text.js'
import { readQuery } from './query.js'
import { routeAccess } from './scopes.js'
import { validate } from './validate.js'
import type { Waits } from './waits.js'

/** A request that was let in and is valid. */
export interface Ask<P = unknown, Q = unknown, B = unknown> {
  readonly params: P
  readonly query: Q
  readonly body: B
  readonly caller: Caller
  readonly requestId: string
  /** Whether the client speaks TLS, as far as a proxy says. */
  readonly secure: boolean
  readonly ifNoneMatch: string | undefined
  readonly range: string | undefined
  readonly ifRange: string | undefined
  /** What the header says, or undefined. */
  readonly accept: string | undefined
  readonly lastEventId: string | undefined
  /** Waits for something, at most until the client leaves or the server stops; undefined: it has stopped already. */
  hold<T>(wait: (signal: AbortSignal) => Promise<T>): Promise<T | undefined>
  /** Takes one of the places for streams; answers how to stream. Throws `too_many_requests`. */
  stream(open: (signal: AbortSignal) => Promise<AsyncIterable<EventBatch>>): Promise<EventStream>
}

export interface Answer {
  /** Default 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is; `headers` say what it is. */
  readonly content?: string | Buffer
  /** Instead of all that: Server-Sent Events for as long as it takes. */
  readonly events?: EventStream
}

/** What a status means, for the OpenAPI document. */
export interface AnswerMeaning {
  readonly description: string
  /** Of a JSON answer. */
  readonly schema?: z.ZodType
  /** Of another answer; beside a schema, of the same answer in another form. */
  readonly mediaType?: string
}

export interface BodyReader<B> {
  /** For the OpenAPI document. */
  readonly schema: z.ZodType
  /** Throws `invalid_request`. */
  read(value: unknown): B
  /** What an absent body means; without it one is needed. */
  readonly absent?: unknown
  /** Whether the large limit applies. */
  readonly large?: boolean
  /** Keys whose values keep their bytes, instead of those of submissions. */
  readonly rawKeys?: ReadonlySet<string>
  /** The key of a list whose items are refused each for itself. */
  readonly separateItems?: string
}

export interface Route<P = unknown, Q = unknown, B = unknown> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/tasks/:task_id` */
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly params?: z.ZodType<P>
  readonly query?: z.ZodType<Q>
  readonly body?: BodyReader<B>
  readonly answers: Readonly<Record<number, AnswerMeaning>>
  /** Beside those that every route has. */
  readonly errors: readonly ErrorCode[]
  // A method, so that routes of all types fit into one list.
  answer(ask: Ask<P, Q, B>): Promise<Answer>
}

/** Gives a route's `answer` the types of its schemas. */
export function defineRoute<P = undefined, Q = undefined, B = undefined>(route: Route<P, Q, B>): Route {
  return route as Route // register() hands `answer` only what the schemas have read
}

const noQuery = z.strictObject({})

/** What a key has to allow for this route. */
export function neededBy(routeId: string): Access {
  const needed = routeAccess[routeId]
  if (needed === undefined) throw new BatonError('internal', `scopes.ts does not say who may use the route ${routeId}`)
  return needed
}

interface RegisterOptions {
  readonly waits: Waits
  readonly streams: EventStreams
  readonly submissionBytes: number
  callerOf(request: FastifyRequest): Caller
  /** Whether whoever began to follow may go on. */
  mayStay(caller: Caller): Promise<boolean>
}

export function register(app: FastifyInstance, route: Route, options: RegisterOptions): void {
  app.route({
    method: route.method,
    url: route.path,
    config: { needed: neededBy(route.id), rawKeys: route.body?.rawKeys, separateItems: route.body?.separateItems },
    ...(route.body?.large && { bodyLimit: options.submissionBytes }),
    handler: async (request, reply) => {
      const { status = 200, headers = {}, json, content, events } = await route.answer(read(route, request, reply.raw, options))
      if (events) {
        reply.hijack()
        // What was set is text, and lists of text.
        await events.send(reply.raw, { headers: reply.getHeaders() as OutgoingHttpHeaders, bodiless: request.method === 'HEAD' })
        return reply
      }
      reply.code(status)
      if (json !== undefined) reply.header('content-type', 'application/json; charset=utf-8')
      return reply.headers(headers).send(json === undefined ? content : toJsonText(json))
    },
  })
}

function read(route: Route, request: FastifyRequest, response: ServerResponse, options: RegisterOptions): Ask {
  const caller = options.callerOf(request)
  return {
    params: route.params && validate(route.params, request.params, 'the path is not acceptable'),
    query: readQuery(route.query ?? noQuery, request.raw.url ?? ''),
    body: route.body && readBody(route.body, request.body),
    caller: traced(caller, request.headers.traceparent),
    requestId: request.id,
    secure: request.headers['x-forwarded-proto'] === 'https',
    ifNoneMatch: request.headers['if-none-match'],
    range: request.headers.range,
    ifRange: typeof request.headers['if-range'] === 'string' ? request.headers['if-range'] : undefined,
    accept: request.headers.accept,
    lastEventId: lastEventIdOf(request),
    hold: wait => options.waits.hold(response, wait),
    stream: open => options.streams.open(response, open, () => options.mayStay(caller)),
  }
}

function traced(caller: Caller, traceparent: unknown): Caller {
  return typeof traceparent === 'string' ? { ...caller, traceparent } : caller
}

function readBody<B>(reader: BodyReader<B>, value: unknown): B {
  if (value !== undefined) return reader.read(value)
  if (reader.absent === undefined) throw new BatonError('invalid_json', 'the body is empty; send a JSON object')
  return reader.read(reader.absent)
}

function lastEventIdOf({ headers }: FastifyRequest): string | undefined {
  const id = headers['last-event-id']
  return Array.isArray(id) ? id.join() : id
}
