/**
 * The HTTP server as a service: it listens, and stops within a bound. Requests in flight finish, waiting ones answer
 * with what is true now, idle connections close.
 */
import { BatonError } from '@baton/shared'
import type { Clock, Logger } from '@baton/shared/node'
import type { CoordinatorApi } from '../commands/api.js'
import { isLoopback, type MadeKeys } from './access.js'
import { type Answered, type App, buildApp } from './app.js'
import { Connections } from './connections.js'
import { defaultLimits, type HttpLimits } from './limits.js'
import type { QueuePages } from './queue-pages.js'
import type { MetricsSource } from './routes/metrics.js'

export interface HttpServerOptions {
  readonly api: CoordinatorApi
  /** The key that requests must show. Without one only a loopback host is accepted. */
  readonly apiKey?: string | undefined
  /** Those that were made, beside it. */
  readonly keys?: MadeKeys | undefined
  readonly log: Logger
  /** An address, or `localhost` for 127.0.0.1. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly version: string
  readonly mode: 'local' | 'fleet'
  readonly limits?: Partial<HttpLimits>
  /** What `GET /metrics` shows; without it there is no such path. */
  readonly metrics?: MetricsSource
  /** What is at `/admin/queues`; without them there is no such path. */
  readonly queuePages?: QueuePages
  readonly onAnswered?: (request: Answered) => void
  /** Default: the system's. */
  readonly clock?: Clock
}

export interface HttpServer {
  readonly name: 'http'
  /** Listens; `url` is where this machine reaches it. Throws `invalid_configuration` when the address cannot be had. */
  start(): Promise<{ url: string }>
  /** Idempotent; resolves within `limits.stopMs` when nothing of it is left. */
  stop(): Promise<void>
}

/**
 * Makes a server that `start` lets listen. Throws `invalid_configuration` for a host that other machines reach, when
 * there is no key.
 *
 * @example
 * const server = createHttpServer({ api, log, host: '127.0.0.1', port: 7420, version: '1.0.0', mode: 'local' })
 * const { url } = await server.start()
 */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const host = options.host.replace(/^\[(.*)\]$/, '$1')
  if (options.apiKey === undefined && !isLoopback(host))
    throw new BatonError(
      'invalid_configuration',
      `without an API key Baton listens on loopback only, not on ${host}: set BATON_API_KEY, or BATON_HOST=127.0.0.1`,
      {
        fields: [{ path: 'BATON_API_KEY', issue: `is needed to listen on ${host}` }],
      },
    )
  const limits = { ...defaultLimits, ...options.limits }
  const app = buildApp({ ...options, apiKey: options.apiKey, limits })
  const connections = new Connections(app.fastify.server)
  // An `Expect` that we do not know is no reason to refuse; Node would answer 417 without a problem document.
  app.fastify.server.on('checkExpectation', (request, response) => app.fastify.server.emit('request', request, response))
  let stopped: Promise<void> | undefined
  return {
    name: 'http',
    start: () => listen(app, host === 'localhost' ? '127.0.0.1' : host, options.port),
    stop: () => (stopped ??= close(app, connections, limits.stopMs)),
  }
}

async function listen({ fastify }: App, host: string, port: number): Promise<{ url: string }> {
  try {
    await fastify.listen({ host, port })
  } catch (cause) {
    throw new BatonError('invalid_configuration', cannotListen(cause, host, port), {
      cause,
      fields: [{ path: 'BATON_PORT', issue: 'cannot be listened on' }],
    })
  }
  const address = fastify.server.address()
  const actualPort = address !== null && typeof address === 'object' ? address.port : port
  return { url: `http://${reachable(host)}:${actualPort}` }
}

function cannotListen(cause: unknown, host: string, port: number): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} of ${host} is in use, perhaps by another Baton; stop that, or choose another port with --port or BATON_PORT (0 takes a free one)`
    case 'EACCES':
      return `this user may not listen on port ${port} of ${host}; choose a port above 1023 with --port or BATON_PORT`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine; choose another with --host or BATON_HOST`
    default:
      return `cannot listen on port ${port} of ${host}: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

/** Where this machine reaches a host that it listens on. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

async function close(app: App, connections: Connections, withinMs: number): Promise<void> {
  app.refuseRequests()
  const closed = app.fastify.close()
  connections.closeIdle()
  const deadline = setTimeout(() => connections.destroyAll(), withinMs)
  try {
    await closed
  } finally {
    clearTimeout(deadline)
  }
}
