/**
 * `/admin/queues` and what is below it: pages for people, which the API's document leaves out. Whoever may not see them
 * gets 401, in a browser with a form for the key; whoever may only look gets 403 for the buttons. A cookie lets in, hence what changes something is refused when it comes
 * from another site.
 */
import { BatonError } from '@baton/shared'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { parametersOf } from './query.js'
import { queuePagesAccess } from './scopes.js'

export interface QueuePages {
  /** Undefined: there is nothing. */
  answer(ask: {
    readonly method: string
    readonly path: string
    readonly query: Readonly<Record<string, string>>
    readonly body: unknown
  }): Promise<
    { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly content: string | Buffer } | undefined
  >
}

export const queuesPath = '/admin/queues'

export const isQueuesPage = (url: string): boolean => /^\/admin\/queues(?:[/?#]|$)/.test(url)

export function registerQueuePages(app: FastifyInstance, pages: QueuePages): void {
  for (const url of [queuesPath, `${queuesPath}/*`])
    for (const [method, needed] of [
      [['GET'], queuePagesAccess.looking],
      [['POST', 'PUT', 'PATCH'], queuePagesAccess.changing],
    ] as const)
      app.route({
        method: [...method],
        url,
        config: { needed, rawKeys: new Set() },
        handler: async (request, reply) => {
          refuseOtherSites(request)
          const raw = request.raw.url ?? ''
          const path = raw.replace(/[?#].*$/s, '').slice(queuesPath.length)
          const query = Object.fromEntries(parametersOf(raw))
          const answer = await pages.answer({ method: request.method, path, query, body: request.body })
          if (!answer) throw new BatonError('not_found', `there is no such path below ${queuesPath}`)
          return reply.code(answer.status).headers(answer.headers).send(answer.content)
        },
      })
}

/** A browser says where a request comes from; others do not, and have no cookie. */
function refuseOtherSites({ method, headers }: FastifyRequest): void {
  if (method === 'GET') return
  const site = headers['sec-fetch-site']
  const origin = headers.origin
  const own = origin === undefined || (URL.canParse(origin) && new URL(origin).host === headers.host)
  if (!own || (site !== undefined && site !== 'same-origin' && site !== 'none'))
    throw new BatonError('forbidden', 'the pages of the queues take requests that change something from themselves only')
}
