export { type HttpLimits, defaultLimits } from './limits.js'
export { type HttpServer, type HttpServerOptions, createHttpServer } from './server.js'
