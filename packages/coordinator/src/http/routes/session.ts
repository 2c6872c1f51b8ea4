/** `POST /admin/session`, `DELETE /admin/session`: a cookie in place of the key, for the pages of the queues. */
import type { Access } from '../access.js'
import { defineRoute, type Route } from '../route.js'

export function sessionRoutes(access: Pick<Access, 'beginSession' | 'endSession'>): Route[] {
  const answer = (cookie: string | undefined) => ({
    status: 204,
    ...(cookie !== undefined && { headers: { 'set-cookie': cookie } }),
    content: '',
  })
  return [
    defineRoute({
      method: 'POST',
      path: '/admin/session',
      id: 'beginSession',
      summary: 'Sign a browser in to /admin/queues: sets a cookie that is good there for eight hours, and for what the key may do.',
      answers: { 204: { description: 'The cookie is set; none is, where no key is needed.' } },
      errors: [],
      async answer({ secure, caller }) {
        return answer(await access.beginSession(caller, { secure }))
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: '/admin/session',
      id: 'endSession',
      summary: 'Sign a browser out of /admin/queues.',
      answers: { 204: { description: 'The cookie is taken away.' } },
      errors: [],
      async answer() {
        return answer(access.endSession())
      },
    }),
  ]
}
