/** Servers that a test may kill. Those of the run are shared, and others are in the middle of their tests. */
import type { ServerName } from '@baton/cli/servers'
import { cleanUp } from './clean-up.js'
import { servers } from './servers.js'

export interface OwnServer {
  readonly url: string
  /** As in a crash. */
  kill(): Promise<void>
  /** On the same port and data; resolves when it answers. */
  restart(): Promise<void>
  /** It keeps its connections and says nothing more, until the test ends. */
  freeze(): void
}

/**
 * A server of the test's own, gone when the test (or the file) ends. Where there is no local binary of it, a proxy
 * before the run's server plays the crash: connections are cut, the data stays.
 */
export async function ownServer(name: ServerName): Promise<OwnServer> {
  const { missingServers, startNats, startPostgres, startRedis } = await import('@baton/cli/servers')
  if ((await missingServers()).includes(name)) return behindProxy(name)
  const start = { postgres: startPostgres, redis: startRedis, nats: startNats }[name]
  const server = await start()
  cleanUp(() => server.stop())
  const freeze = () => {
    process.kill(server.pid, 'SIGSTOP')
    cleanUp(() => void process.kill(server.pid, 'SIGCONT'))
  }
  return { url: server.url, kill: () => server.kill(), restart: () => server.restart(), freeze }
}

/** The stand-in for a server that cannot be killed. */
export async function behindProxy(name: ServerName): Promise<OwnServer> {
  const { databaseUrl, redisUrl, natsUrl } = await servers()
  const url = new URL({ postgres: databaseUrl, redis: redisUrl, nats: natsUrl }[name])
  const port = Number(url.port || { postgres: 5432, redis: 6379, nats: 4222 }[name])
  const { startTcpProxy } = await import('@baton/cli/servers')
  const proxy = await startTcpProxy({ target: { host: url.hostname.replace(/^\[|\]$/g, ''), port } })
  cleanUp(() => proxy.stop())
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  return { url: url.href, kill: async () => proxy.cut(), restart: async () => proxy.heal(), freeze: () => proxy.stall() }
}
