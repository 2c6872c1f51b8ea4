/**
 * The bus over core NATS. The one file that imports the NATS client.
 *
 * The client's defaults would give up after ten reconnects and drop what is published during an outage: hence endless
 * reconnects here, and the rule that whatever matters is a request.
 */
import { connect, errors, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node'
import { BatonError } from '../errors.js'
import { atMost } from './at-most.js'
import { type Bus, type BusSubscription, checkMessageSize, NoReplyError, type RequestOptions, type SubscribeOptions } from './bus.js'
import type { Logger } from './logger.js'

interface NatsBusOptions {
  readonly url: string
  /** Shown in NATS' own monitoring. */
  readonly name: string
  readonly log: Logger
  /** Gives up waiting for the first connection. */
  readonly signal?: AbortSignal
}

const connectMs = 5_000
const retryMs = 250
/** How long the server may take to confirm what was sent. */
const flushMs = 1_000

/**
 * Connects, waiting with a log line now and then until the server is there. Throws `invalid_configuration` at once when
 * it does not take the credentials.
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const { log, signal } = options
  const url = new URL(options.url)
  const where = `${url.protocol}//${credentialsText(url)}${url.host}`
  for (let tries = 0; ; tries++) {
    if (signal?.aborted) throw new NoReplyError('closed', 'stopped while waiting for NATS')
    const connecting = open(url, options.name)
    try {
      return new NatsBus(await unlessAborted(connecting, signal), log)
    } catch (error) {
      if (signal?.aborted)
        connecting.then(
          connection => connection.close(),
          () => undefined,
        )
      const reason = error instanceof Error ? error.message : String(error)
      if (isRefusal(error)) throw new BatonError('invalid_configuration', `NATS_URL ${where}: ${reason}`, { cause: error })
      if (tries % 12 === 0 && !signal?.aborted) log.warn({ url: where, reason }, 'waiting for NATS')
      await unlessAborted(new Promise(resolve => setTimeout(resolve, retryMs)), signal).catch(() => undefined)
    }
  }
}

function open(url: URL, name: string): Promise<NatsConnection> {
  return connect({
    servers: `${url.hostname}:${url.port || 4222}`,
    ...(url.username && !url.password && { token: decodeURIComponent(url.username) }),
    ...(url.username && url.password && { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) }),
    ...(url.protocol === 'tls:' && { tls: {} }),
    name,
    timeout: connectMs,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true, // credentials that worked once are right; a server may refuse them while it is set up anew
    reconnectTimeWait: retryMs,
    reconnectJitter: retryMs,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreClusterUpdates: false,
    noAsyncTraces: true, // an error object for each request, in case that it fails
  })
}

/** Whether an error, or what caused it, is the server's refusal of the credentials. */
function isRefusal(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError)
      return !/authentication timeout/i.test(cause.message) // they came too late, on a machine that is busy
  return false
}

function credentialsText({ username, password }: URL): string {
  if (password) return `${username}:***@`
  return username ? '***@' : ''
}

/** Rejects as soon as the signal says so; the work itself goes on. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  // Taken away by hand: of several listeners that are bound to signals of their own, Node.js 20 forgets to take away some.
  let leave = () => {}
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    leave = () => signal.removeEventListener('abort', onAbort)
  })
  return Promise.race([work, aborted]).finally(() => leave())
}

class NatsBus implements Bus {
  private readonly connection: NatsConnection
  private readonly log: Logger
  private readonly listeners = new Set<(connected: boolean) => void>()
  private up = true
  private closing: Promise<void> | undefined

  constructor(connection: NatsConnection, log: Logger) {
    this.connection = connection
    this.log = log
    this.follow().catch(error => log.error({ err: error }, 'the status of the NATS connection is no longer followed'))
  }

  get connected(): boolean {
    return this.up && this.closing === undefined && !this.connection.isClosed()
  }

  publish(subject: string, payload: string): void {
    checkMessageSize(payload)
    if (this.connected) this.connection.publish(subject, payload)
  }

  async subscribe(subject: string, options: SubscribeOptions, onMessage: (payload: string) => void): Promise<BusSubscription> {
    return this.listen(subject, options, message => onMessage(message.string()))
  }

  async serve(subject: string, options: SubscribeOptions, handler: (payload: string) => Promise<string>): Promise<BusSubscription> {
    return this.listen(subject, options, message => {
      const answered = async () => {
        const answer = await handler(message.string())
        checkMessageSize(answer)
        if (!this.connection.isClosed()) message.respond(answer)
      }
      // Unanswered: the requester's time limit tells it.
      answered().catch(error => this.log.error({ err: error, subject }, 'a request was left unanswered'))
    })
  }

  async request(subject: string, payload: string, { timeoutMs, signal }: RequestOptions): Promise<string> {
    if (signal?.aborted) throw new NoReplyError('closed', 'the request was given up')
    if (!this.connected) throw new NoReplyError('closed', 'NATS is not connected')
    checkMessageSize(payload)
    try {
      return (await unlessAborted(this.connection.request(subject, payload, { timeout: timeoutMs }), signal)).string()
    } catch (error) {
      if (signal?.aborted) throw new NoReplyError('closed', 'the request was given up', { cause: error })
      throw translate(error, subject, timeoutMs)
    }
  }

  async answers(timeoutMs: number): Promise<boolean> {
    if (!this.connected) return false
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<false>(resolve => {
      timer = setTimeout(() => resolve(false), timeoutMs)
    })
    const answer = this.connection.rtt().then(
      () => true,
      () => false,
    )
    return Promise.race([answer, silence]).finally(() => clearTimeout(timer))
  }

  onConnection(listener: (connected: boolean) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  close(): Promise<void> {
    this.closing ??= (async () => {
      // `drain` says what was said last; on a cut connection it would wait for a flush that cannot come.
      if (this.up && !this.connection.isClosed()) await atMost(flushMs, this.connection.drain()).catch(() => undefined)
      await this.connection.close().catch(() => undefined)
    })()
    return this.closing
  }

  private async listen(subject: string, options: SubscribeOptions, take: (message: Msg) => void): Promise<BusSubscription> {
    if (this.closing || this.connection.isClosed()) throw new NoReplyError('closed', 'the bus is closed')
    const subscription: Subscription = this.connection.subscribe(subject, {
      ...(options.group !== undefined && { queue: options.group }),
      callback: (error, message) => {
        if (error) return this.log.warn({ err: error, subject }, 'a message of the bus could not be read')
        try {
          take(message)
        } catch (thrown) {
          // The client would read no further message, of any subject.
          this.log.error({ err: thrown, subject }, 'a word could not be taken in')
        }
      },
    })
    await this.flush()
    return {
      unsubscribe: async () => {
        subscription.unsubscribe()
        await this.flush()
      },
    }
  }

  /** Waits until the server knows of what was sent. Without a server there is nobody to wait for. */
  private async flush(): Promise<void> {
    if (this.connected) await atMost(flushMs, this.connection.flush()).catch(() => undefined)
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
    for (const listener of this.listeners) {
      try {
        listener(up)
      } catch (error) {
        this.log.error({ err: error }, 'a listener to the connection failed')
      }
    }
  }
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
