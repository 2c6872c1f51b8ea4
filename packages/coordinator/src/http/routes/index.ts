/** Every route of the API. */
import type { Logger } from '@baton/shared/node'
import type { CoordinatorApi } from '../../commands/api.js'
import type { Access } from '../access.js'
import { type OpenApi, openApiDocument } from '../openapi.js'
import type { Route } from '../route.js'
import { artifactRoutes } from './artifacts.js'
import { controlRoutes } from './control.js'
import { documentRoutes } from './documents.js'
import { eventRoutes } from './events.js'
import { fleetRoutes } from './fleet.js'
import { healthRoutes } from './health.js'
import { keyRoutes } from './keys.js'
import { type MetricsSource, metricsRoutes } from './metrics.js'
import { orchestratorRoutes } from './orchestrators.js'
import { reviewRoutes } from './reviews.js'
import { sessionRoutes } from './session.js'
import { submissionRoutes } from './submissions.js'
import { systemRoutes } from './system.js'
import { taskRoutes } from './tasks.js'
import { webhookRoutes } from './webhooks.js'

interface RoutesOptions {
  readonly api: CoordinatorApi
  readonly log: Logger
  readonly version: string
  readonly mode: 'local' | 'fleet'
  readonly showReasons: boolean
  readonly metrics?: MetricsSource | undefined
  readonly access: Pick<Access, 'beginSession' | 'endSession'>
}

export function allRoutes(options: RoutesOptions): Route[] {
  const { api, mode, version } = options
  let document: OpenApi | undefined
  const routes: Route[] = [
    ...submissionRoutes(api),
    ...taskRoutes(api),
    ...controlRoutes(api),
    ...systemRoutes(api),
    ...orchestratorRoutes(api),
    ...artifactRoutes(api),
    ...eventRoutes(api),
    ...webhookRoutes(api),
    ...keyRoutes(api),
    ...reviewRoutes(api),
    ...fleetRoutes(api),
    ...healthRoutes(api, options),
    ...(options.metrics ? metricsRoutes(options.metrics) : []),
    ...sessionRoutes(options.access),
    ...documentRoutes({ mode, openApi: () => (document ??= openApiDocument(routes, version)) }),
  ]
  return routes
}
