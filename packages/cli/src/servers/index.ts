// `@baton/cli/servers`: private servers for `npm run fleet`, demos, benches and tests.

export { missingServers } from './find-binaries.js'
export { type ServerHandle, type ServerName, type ServerOptions, serverNames } from './handle.js'
export { startNats } from './nats.js'
export { type PostgresOptions, startPostgres } from './postgres.js'
export { type ProvidedServers, type ProvideOptions, provideServers, type ServerOrigin } from './provide.js'
export { type RedisOptions, startRedis } from './redis.js'
export { type Servers, type StartServersOptions, startServers } from './start-servers.js'
export { startTcpProxy, type TcpProxy } from './tcp-proxy.js'
