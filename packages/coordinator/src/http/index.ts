export { defaultLimits, type HttpLimits } from './limits.js'
export { createHttpServer, type HttpServer, type HttpServerOptions } from './server.js'
export { readSubmissionText } from './submission-text.js'
