// A TCP proxy that misbehaves on request: it stands between a client and a server to play a network partition.
//
// T1  The port stays bound while the proxy lives. Cut off, it resets a new connection at once instead of closing the
//     listener, so that no other process can take the port before `heal`.
// T2  Stalled, it neither reads nor writes, so neither side learns of anything, not even of the other side's end.

import { connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** How many clients are connected now. */
  readonly connections: number
  /** Resets all connections, and every new one until `heal`. */
  cut(): void
  /** Keeps connections, also new ones, and forwards nothing until `heal` or `cut`. */
  stall(): void
  /** Connections made from now on go there; those that stand stay where they are. */
  redirect(target: { host: string; port: number }): void
  /** Forwards again. After a stall nothing has been lost; after a cut clients must connect anew. */
  heal(): void
  /** Drops all connections and frees the port. Idempotent. */
  stop(): Promise<void>
}

interface Pair {
  readonly client: Socket
  /** Undefined while the pair waits for the end of a stall. */
  upstream: Socket | undefined
}

/**
 * Listens on a free port of the loopback interface and forwards to `target`.
 *
 * @example
 * const proxy = await startTcpProxy({ target: { host: '127.0.0.1', port: redis.port } })
 * proxy.cut()
 */
export async function startTcpProxy(options: { target: { host: string; port: number } }): Promise<TcpProxy> {
  const pairs = new Set<Pair>()
  let { target } = options
  let mode: 'forwarding' | 'cut' | 'stalled' = 'forwarding'
  let stopped: Promise<void> | undefined

  const drop = (pair: Pair) => {
    pairs.delete(pair)
    reset(pair.client)
    if (pair.upstream) reset(pair.upstream)
  }

  const open = (pair: Pair) => {
    const { client } = pair
    const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true })
    pair.upstream = upstream
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => drop(pair)) // an upstream that refuses becomes a reset
      socket.on('close', () => {
        pairs.delete(pair)
        other.end()
      })
    }
    forward(client, upstream)
  }

  // Paused on accept, so that a stalled client sends into the void of its own socket buffer.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, client => {
    const pair: Pair = { client, upstream: undefined }
    client.on('error', () => drop(pair))
    if (mode === 'cut') {
      client.resetAndDestroy() // T1
      return
    }
    pairs.add(pair)
    if (mode === 'forwarding') open(pair)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  const cut = () => {
    mode = 'cut'
    for (const pair of pairs) drop(pair)
  }
  return {
    port,
    get connections() {
      return pairs.size
    },
    cut,
    redirect: next => {
      target = next
    },
    stall: () => {
      if (mode === 'forwarding') for (const pair of pairs) hold(pair)
      mode = 'stalled'
    },
    heal: () => {
      if (mode === 'stalled') {
        for (const pair of pairs) {
          if (pair.upstream === undefined) open(pair)
          else forward(pair.client, pair.upstream)
        }
      }
      mode = 'forwarding'
    },
    stop: () => {
      stopped ??= new Promise(resolve => {
        cut()
        server.close(() => resolve())
      })
      return stopped
    },
  }
}

/** A socket that is just saying goodbye cannot be reset: the driver would refuse, and leave its handle open for good. */
function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

function forward(client: Socket, upstream: Socket): void {
  client.pipe(upstream)
  upstream.pipe(client)
}

// T2
function hold({ client, upstream }: Pair): void {
  if (upstream === undefined) return
  client.unpipe(upstream).pause()
  upstream.unpipe(client).pause()
}
