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

/** What Redis says where waiting cannot mend it: wrong credentials, or a database that it does not have. */
export const hopelessRedisError = /WRONGPASS|NOAUTH|invalid username-password|DB index/i
