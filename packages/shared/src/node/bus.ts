/**
 * The seam for voice: requests with replies, and published words. Words may be lost; whatever matters is a request
 * that is repeated until its reply. Implementations: NATS (fleet), in-process (local mode, tests).
 */

export interface BusSubscription {
  unsubscribe(): Promise<void>
}

export interface SubscribeOptions {
  /** Of the subscribers with the same group, one gets each message. */
  readonly group?: string
}

export interface RequestOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Thrown by `request` when nobody answered: the request may or may not have been served. */
export class NoReplyError extends Error {
  /** `no_responders`: nobody listens; `timeout`: somebody may; `closed`: this side has stopped or is cut off. */
  readonly reason: 'no_responders' | 'timeout' | 'closed'
  constructor(reason: NoReplyError['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'NoReplyError'
    this.reason = reason
  }
}

/** What a bus carries at most in one message. */
export const maxMessageBytes = 1_000_000

/** Throws a RangeError for a message that is too large to be sent. */
export function checkMessageSize(payload: string): void {
  // A character takes three bytes at most; most messages need no counting.
  if (payload.length * 3 > maxMessageBytes && Buffer.byteLength(payload) > maxMessageBytes)
    throw new RangeError(`a message may have at most ${maxMessageBytes} bytes`)
}

export interface Bus {
  /** Whether words reach the other side at present. */
  readonly connected: boolean
  /** Sends a word; lost when nobody listens or the bus is away. Throws a RangeError when it is too large, as `request` does. */
  publish(subject: string, payload: string): void
  /** From when this resolves, no word is missed while the bus is there. A listener that throws is logged. */
  subscribe(subject: string, options: SubscribeOptions, onMessage: (payload: string) => void): Promise<BusSubscription>
  /** Answers requests. A handler that throws, or whose answer is too large, leaves the request unanswered. */
  serve(subject: string, options: SubscribeOptions, handler: (payload: string) => Promise<string>): Promise<BusSubscription>
  /** Asks once. Throws `NoReplyError`. */
  request(subject: string, payload: string, options: RequestOptions): Promise<string>
  /** Whether the other side answers within this time: a connection may be up and yet silent. Never throws. */
  answers(timeoutMs: number): Promise<boolean>
  /** Calls back whenever the connection comes or goes. */
  onConnection(listener: (connected: boolean) => void): () => void
  /** Says what was said last, ends its own requests with `closed`, and takes its subscriptions away. Idempotent. */
  close(): Promise<void>
}
