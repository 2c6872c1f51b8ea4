// What a private server looks like to whoever asked for one. The life behind it is in managed-server.ts.

/** The servers of a fleet, in the order in which they are named in messages. */
export const serverNames = ['postgres', 'redis', 'nats'] as const

export type ServerName = (typeof serverNames)[number]

/** A server that runs from a local binary and belongs to this process. */
export interface ServerHandle {
  readonly name: ServerName
  /** Where clients connect, for example `postgres://postgres@127.0.0.1:21034/baton`. */
  readonly url: string
  /** The same for the whole life of the handle, also across `restart`. */
  readonly port: number
  /** The process of now, for CPU accounting (the postmaster for Postgres); a restart changes it. */
  readonly pid: number
  /** Where it keeps its data. */
  readonly directory: string
  /** Stops gracefully, after 10 seconds with SIGKILL; removes a temporary data directory. Idempotent. */
  stop(): Promise<void>
  /** SIGKILL for the whole process tree, as in a crash, and waits until it is gone. The data stays. */
  kill(): Promise<void>
  /** Starts again on the same port and the same data (stops gracefully first when it runs) and waits for an answer. */
  restart(): Promise<void>
  /** Freezes or thaws the whole process tree. Does nothing while the server is down. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void
}

export interface ServerOptions {
  /** Aborts the start; once the server runs, stops it. */
  signal?: AbortSignal
  /** Receives every line that the server prints. */
  log?: (line: string) => void
  /** Where data is kept after `stop`. Default: a fresh temporary directory, removed at `stop`. */
  dataDir?: string
  /** Default: a free one. A given port that is taken fails the start. */
  port?: number
}
