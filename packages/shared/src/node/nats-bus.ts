/**
 * The bus over core NATS. The one file that imports the NATS client.
 *
 * The client's defaults would give up after ten reconnects and drop what is published during an outage: hence endless
 * reconnects here, and the rule that whatever matters is a request.
 */
import { connect, errors, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node'
import { BatonError } from '../errors.js'
import { type Bus, type BusSubscription, NoReplyError, type RequestOptions, type SubscribeOptions } from './bus.js'
import type { Logger } from './logger.js'

interface NatsBusOptions {
  readonly url: string
  /** Shown in NATS' own monitoring. */
  readonly name: string
  readonly log: Logger
  /** Gives up waiting for the first connection. */
  readonly signal?: AbortSignal
}

const retryMs = 250
const logEveryMs = 3_000

/**
 * Connects, waiting with a log line now and then until the server is there. Throws `invalid_configuration` when the
 * server refuses the credentials: the client's own waiting would try them for ever.
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const { log, signal } = options
  const url = new URL(options.url)
  const where = `${url.protocol}//${credentialsText(url)}${url.host}`
  let loggedAt = Number.NEGATIVE_INFINITY
  while (!signal?.aborted) {
    const pending = open(url, options.name)
    try {
      const connection = await Promise.race([pending, givenUp(signal)])
      if (connection) return new NatsBus(connection, log)
      pending.then(c => c.close()).catch(() => undefined)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (isRefusal(error)) throw new BatonError('invalid_configuration', `NATS_URL ${where}: ${reason}`, { cause: error })
      if (performance.now() - loggedAt >= logEveryMs) {
        loggedAt = performance.now()
        log.warn({ url: where, reason }, 'waiting for NATS')
      }
      await Promise.race([new Promise(resolve => setTimeout(resolve, retryMs)), givenUp(signal)])
    }
  }
  throw new NoReplyError('closed', 'stopped while waiting for NATS')
}

function open(url: URL, name: string): Promise<NatsConnection> {
  return connect({
    servers: `${url.hostname}:${url.port || 4222}`,
    ...(url.username && !url.password && { token: decodeURIComponent(url.username) }),
    ...(url.username && url.password && { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) }),
    ...(url.protocol === 'tls:' && { tls: {} }),
    name,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true, // credentials that worked once are right; a server may refuse them while it is set up anew
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreClusterUpdates: false,
  })
}

/** Whether an error, or what caused it, is the server's refusal of the credentials. */
function isRefusal(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError) return true
  return false
}

function credentialsText({ username, password }: URL): string {
  if (password) return `${username}:***@`
  return username ? '***@' : ''
}

function givenUp(signal?: AbortSignal): Promise<undefined> {
  return new Promise(resolve => {
    if (signal?.aborted) resolve(undefined)
    signal?.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

class NatsBus implements Bus {
  private readonly connection: NatsConnection
  private readonly log: Logger
  private readonly listeners = new Set<(connected: boolean) => void>()
  private up = true

  constructor(connection: NatsConnection, log: Logger) {
    this.connection = connection
    this.log = log
    this.follow().catch(error => log.error({ err: error }, 'the status of the NATS connection is no longer followed'))
  }

  get connected(): boolean {
    return this.up && !this.connection.isClosed()
  }

  publish(subject: string, payload: string): void {
    if (!this.connected) return
    this.connection.publish(subject, payload)
  }

  async subscribe(subject: string, options: SubscribeOptions, onMessage: (payload: string) => void): Promise<BusSubscription> {
    return this.listen(subject, options, message => onMessage(message.string()))
  }

  async serve(subject: string, options: SubscribeOptions, handler: (payload: string) => Promise<string>): Promise<BusSubscription> {
    return this.listen(subject, options, message => {
      handler(message.string()).then(
        answer => {
          if (!this.connection.isClosed()) message.respond(answer)
        },
        error => this.log.error({ err: error, subject }, 'a request was left unanswered'),
      )
    })
  }

  async request(subject: string, payload: string, { timeoutMs, signal }: RequestOptions): Promise<string> {
    if (signal?.aborted) throw new NoReplyError('closed', 'the request was given up')
    if (!this.connected) throw new NoReplyError('closed', 'NATS is not connected')
    const abandoned = new AbortController()
    try {
      const reply = await Promise.race([
        this.connection.request(subject, payload, { timeout: timeoutMs }),
        new Promise<never>((_, reject) =>
          signal?.addEventListener('abort', () => reject(new NoReplyError('closed', 'the request was given up')), {
            once: true,
            signal: abandoned.signal,
          }),
        ),
      ])
      return reply.string()
    } catch (error) {
      throw translate(error, subject, timeoutMs)
    } finally {
      abandoned.abort()
    }
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  async close(): Promise<void> {
    if (this.connection.isClosed()) return
    // `drain` flushes what was said last; on a cut connection it would wait for a flush that cannot come.
    if (this.up) await Promise.race([this.connection.drain().catch(() => undefined), unreferencedDelay(1_000)])
    await this.connection.close().catch(() => undefined)
  }

  private listen(subject: string, options: SubscribeOptions, take: (message: Msg) => void): BusSubscription {
    const subscription: Subscription = this.connection.subscribe(subject, {
      ...(options.group !== undefined && { queue: options.group }),
      callback: (error, message) => {
        if (error) this.log.warn({ err: error, subject }, 'a message of the bus could not be read')
        else take(message)
      },
    })
    return {
      unsubscribe: async () => {
        subscription.unsubscribe()
        if (this.connected) await Promise.race([this.connection.flush().catch(() => undefined), unreferencedDelay(1_000)])
      },
    }
  }

  private async follow(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect' || status.type === 'staleConnection') this.change(false)
      else if (status.type === 'reconnect') this.change(true)
      else if (status.type === 'close') this.change(false)
    }
  }

  private change(up: boolean): void {
    if (this.up === up) return
    this.up = up
    if (up) this.log.info('NATS is back')
    else if (!this.connection.isClosed()) this.log.warn('NATS is away; reconnecting')
    for (const listener of this.listeners) listener(up)
  }
}

function unreferencedDelay(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref())
}

function translate(error: unknown, subject: string, timeoutMs: number): unknown {
  if (error instanceof NoReplyError) return error
  const cause = error instanceof errors.RequestError && error.cause instanceof Error ? error.cause : error
  if (cause instanceof errors.NoRespondersError) return new NoReplyError('no_responders', `nobody serves ${subject}`, { cause: error })
  if (cause instanceof errors.TimeoutError)
    return new NoReplyError('timeout', `no answer from ${subject} within ${timeoutMs} ms`, { cause: error })
  if (error instanceof errors.RequestError && error.isNoResponders())
    return new NoReplyError('no_responders', `nobody serves ${subject}`, { cause: error })
  return new NoReplyError('closed', `the request to ${subject} was cut off`, { cause: error })
}
