/** `GET /healthz`: the process is alive. `GET /readyz`: it can commit. Both are open, for load balancers. */
import { BatonError } from '@baton/shared'
import { type Logger, maskSecrets } from '@baton/shared/node'
import type { CoordinatorApi } from '../../commands/api.js'
import { defineRoute, type Route } from '../route.js'
import { namedSchemas } from '../view-schemas.js'

interface HealthOptions {
  readonly version: string
  readonly mode: 'local' | 'fleet'
  /** Whether anybody may read why a store does not answer; else only the log says it. */
  readonly showReasons: boolean
  readonly log: Logger
}

export function healthRoutes(api: CoordinatorApi, { version, mode, showReasons, log }: HealthOptions): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/healthz',
      id: 'health',
      summary: 'Whether the process is alive.',
      answers: { 200: { description: 'It is.', schema: namedSchemas.Health } },
      errors: [],
      async answer() {
        return { json: { status: 'ok', version, mode } }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/readyz',
      id: 'readiness',
      summary: 'Whether the stores answer.',
      answers: { 200: { description: 'They do.', schema: namedSchemas.Readiness } },
      errors: ['unavailable'],
      async answer() {
        const { ready, checks } = await api.readiness()
        if (ready) return { json: { status: 'ready', checks } }
        log.warn({ checks }, 'not ready')
        const failing = Object.keys(checks).filter(name => checks[name] !== 'ok')
        const shown = Object.fromEntries(
          Object.entries(checks).map(([name, word]) => [name, word === 'ok' ? 'ok' : showReasons ? maskSecrets(word) : 'failing']),
        )
        throw new BatonError(
          'unavailable',
          `${failing.join(' and ') || 'a store'} cannot be used at present; the coordinator goes on trying`,
          { extra: { checks: shown } },
        )
      },
    }),
  ]
}
