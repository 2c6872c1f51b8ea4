/** The bus of one process: local mode, users' own tests. Delivers on a later turn of the event loop, as a network would. */
import { type Bus, type BusSubscription, checkMessageSize, NoReplyError, type RequestOptions, type SubscribeOptions } from './bus.js'
import { type Logger, silentLogger } from './logger.js'

interface Subscriber {
  readonly group: string | undefined
  readonly take: (payload: string, reply?: (payload: string) => void) => void
}

/** One hub per process; every participant gets its own `Bus` by `connect()`. */
export class MemoryBusHub {
  private readonly subscribers = new Map<string, Set<Subscriber>>()
  private readonly log: Logger

  constructor(log: Logger = silentLogger()) {
    this.log = log
  }

  connect(): Bus {
    return new MemoryBus(this, this.log)
  }

  add(subject: string, subscriber: Subscriber): () => void {
    const set = this.subscribers.get(subject) ?? new Set()
    this.subscribers.set(subject, set)
    set.add(subscriber)
    return () => {
      set.delete(subscriber)
      if (set.size === 0 && this.subscribers.get(subject) === set) this.subscribers.delete(subject)
    }
  }

  /** Everyone without a group, and one of each group. Returns how many were reached. */
  deliver(subject: string, payload: string, reply?: (payload: string) => void): number {
    const groups = new Map<string, Subscriber[]>()
    const receivers: Subscriber[] = []
    for (const subscriber of this.subscribers.get(subject) ?? []) {
      if (subscriber.group === undefined) receivers.push(subscriber)
      else {
        const members = groups.get(subscriber.group)
        if (members) members.push(subscriber)
        else groups.set(subscriber.group, [subscriber])
      }
    }
    for (const members of groups.values()) {
      const chosen = members[Math.floor(Math.random() * members.length)]
      if (chosen) receivers.push(chosen)
    }
    for (const receiver of receivers) setImmediate(() => receiver.take(payload, reply))
    return receivers.length
  }
}

class MemoryBus implements Bus {
  private readonly hub: MemoryBusHub
  private readonly log: Logger
  private readonly removers = new Set<() => void>()
  private readonly waiting = new Set<(error: NoReplyError) => void>()
  private closed = false

  constructor(hub: MemoryBusHub, log: Logger) {
    this.hub = hub
    this.log = log
  }

  get connected(): boolean {
    return !this.closed
  }

  publish(subject: string, payload: string): void {
    checkMessageSize(payload)
    if (!this.closed) this.hub.deliver(subject, payload)
  }

  async subscribe(subject: string, options: SubscribeOptions, onMessage: (payload: string) => void): Promise<BusSubscription> {
    return this.listen(subject, options, payload => {
      try {
        onMessage(payload)
      } catch (error) {
        this.log.error({ err: error, subject }, 'a word could not be taken in')
      }
    })
  }

  async serve(subject: string, options: SubscribeOptions, handler: (payload: string) => Promise<string>): Promise<BusSubscription> {
    return this.listen(subject, options, (payload, reply) => {
      const answered = async () => {
        const answer = await handler(payload)
        checkMessageSize(answer)
        if (!this.closed) reply?.(answer)
      }
      // Unanswered: the requester's time limit tells it.
      answered().catch(error => this.log.error({ err: error, subject }, 'a request was left unanswered'))
    })
  }

  request(subject: string, payload: string, { timeoutMs, signal }: RequestOptions): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new NoReplyError('closed', 'the bus is closed'))
      if (signal?.aborted) return reject(new NoReplyError('closed', 'the request was given up'))
      checkMessageSize(payload)
      const settle = () => {
        clearTimeout(timer)
        this.waiting.delete(fail)
        signal?.removeEventListener('abort', giveUp)
      }
      const fail = (error: NoReplyError) => {
        settle()
        reject(error)
      }
      const giveUp = () => fail(new NoReplyError('closed', 'the request was given up'))
      const timer = setTimeout(() => fail(new NoReplyError('timeout', `no answer from ${subject} within ${timeoutMs} ms`)), timeoutMs)
      signal?.addEventListener('abort', giveUp)
      this.waiting.add(fail)
      const reached = this.hub.deliver(subject, payload, answer =>
        setImmediate(() => {
          settle()
          resolve(answer)
        }),
      )
      if (reached === 0) fail(new NoReplyError('no_responders', `nobody serves ${subject}`))
    })
  }

  async answers(): Promise<boolean> {
    return !this.closed
  }

  onConnection(): () => void {
    return () => undefined // one process cannot be cut off from itself
  }

  async close(): Promise<void> {
    this.closed = true
    for (const remove of this.removers) remove()
    this.removers.clear()
    for (const fail of [...this.waiting]) fail(new NoReplyError('closed', 'the bus is closed'))
  }

  private listen(subject: string, options: SubscribeOptions, take: Subscriber['take']): BusSubscription {
    if (this.closed) throw new NoReplyError('closed', 'the bus is closed')
    const remove = this.hub.add(subject, {
      group: options.group,
      take: (payload, reply) => {
        if (this.removers.has(remove)) take(payload, reply)
      },
    })
    this.removers.add(remove)
    return {
      unsubscribe: async () => {
        remove()
        this.removers.delete(remove)
      },
    }
  }
}
