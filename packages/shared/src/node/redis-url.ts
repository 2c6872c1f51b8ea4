/** Options for a Redis connection from its URL; the drivers themselves stay behind their doors. */

export interface RedisEndpoint {
  readonly host: string
  readonly port: number
  readonly username?: string
  readonly password?: string
  readonly db: number
  readonly tls?: Record<string, never>
}

/** `redis[s]://[user[:password]@]host[:port][/db]` */
export function redisEndpoint(url: string): RedisEndpoint {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
    db: Number(pathname.slice(1) || 0),
    ...(protocol === 'rediss:' && { tls: {} }),
  }
}

/** What the driver is told for every connection, beside what it is for. `name`: what the server lists it under. */
export function redisConnection(url: string, name: string) {
  return {
    ...redisEndpoint(url),
    connectionName: name,
    retryStrategy: (tries: number) => Math.min(1_000, 50 * tries),
    reconnectOnError: ({ message }: Error) => demotedRedisError.test(message),
  }
}

/** What Redis says where waiting cannot mend it: wrong credentials, or a database that it does not have. */
export const hopelessRedisError = /WRONGPASS|NOAUTH|invalid username-password|DB index/i

/** What a server says that is no primary any more, and keeps its connections: new ones to the same address may reach its successor. */
export const demotedRedisError = /(?:^|: -)(?:READONLY|MASTERDOWN)\b/

/** What Redis says, of itself or within a script, where the same request may do a moment later. */
export const refusingRedisError = /(?:^|: -)(?:READONLY|MASTERDOWN|NOREPLICAS|MISCONF|LOADING|BUSY|OOM|UNBLOCKED)\b/
