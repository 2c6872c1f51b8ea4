/** `POST /admin/session`, `DELETE /admin/session`: a cookie in place of the key, for the pages of the queues. */
import type { AdminSessions } from '../admin-sessions.js'
import { defineRoute, type Route } from '../route.js'

export function sessionRoutes(sessions: AdminSessions | undefined): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/admin/session',
      id: 'beginSession',
      summary: 'Sign a browser in to /admin/queues: sets a cookie that is good there for eight hours.',
      answers: { 204: { description: 'The cookie is set; none is, where no key is needed.' } },
      errors: [],
      async answer({ secure }) {
        return { status: 204, ...(sessions && { headers: { 'set-cookie': sessions.begin({ secure }) } }), content: '' }
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/admin/session',
      id: 'endSession',
      summary: 'Sign a browser out of /admin/queues.',
      open: true,
      answers: { 204: { description: 'The cookie is taken away.' } },
      errors: [],
      async answer() {
        return { status: 204, ...(sessions && { headers: { 'set-cookie': sessions.end() } }), content: '' }
      },
    }),
  ]
}
