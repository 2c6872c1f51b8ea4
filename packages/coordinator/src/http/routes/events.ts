/** `GET /events`, `GET /tasks/:task_id/events`: what happened and happens, as a stream or in pages. */
import { eventNames, isEventFilter, nameSchema, taskIdSchema } from '@baton/shared'
import { z } from 'zod'
import type { CoordinatorApi, EventFilters } from '../../commands/api.js'
import { maxPage } from '../limits.js'
import { wholeNumber } from '../query.js'
import { type Answer, type Ask, defineRoute, type Route } from '../route.js'
import { invalidRequest } from '../validate.js'
import { namedSchemas } from '../view-schemas.js'
import { taskPath } from './path-parameters.js'

const defaultPage = 100
const maxNames = 50
const isPosition = /^\d{1,20}-\d{1,19}$/

const position = (description: string) => z.string().regex(isPosition, 'is not the id of an event, such as 1234-56').meta({ description })

const namesFilter = z
  .string()
  .transform(text => text.split(',').map(item => item.trim()))
  .pipe(
    z
      .array(z.string().refine(isEventFilter, `must be a name such as ${eventNames[0]}, or a beginning such as task.*`))
      .max(maxNames, `must be at most ${maxNames} names`),
  )
  .meta({ description: 'Names of events, or beginnings such as `task.*`, with commas between them.' })

const common = {
  names: namesFilter.optional(),
  after: position('Events behind this one: the `id` of an event. The header Last-Event-ID says the same, and wins.').optional(),
  cursor: position('`next_cursor` of the page before; the same as `after`.').optional(),
  limit: wholeNumber(1, maxPage, `Events of a page; default ${defaultPage}. Refused of a stream, which has no pages.`).optional(),
}
const taskQuery = z.strictObject(common)
const allQuery = z.strictObject({
  ...common,
  task_id: taskIdSchema.optional().meta({ description: 'Of this task; the stream goes on when it has ended.' }),
  orchestrator_id: nameSchema.optional(),
})

const answers = {
  200: {
    description:
      'Server-Sent Events; or, where `Accept` names JSON and no stream, a page. An event of the stream has the `id` of the event, its name, and as `data` the event as it stands in pages.',
    schema: namedSchemas.EventList,
    mediaType: 'text/event-stream',
  },
}

export function eventRoutes(api: CoordinatorApi): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/events',
      id: 'followEvents',
      summary: 'Follow what happens, from now on or behind an event.',
      query: allQuery,
      answers,
      errors: ['task_not_found', 'orchestrator_not_found', 'too_many_requests'],
      answer(ask) {
        const { task_id: taskId, orchestrator_id: orchestratorId } = ask.query
        return answer(api, ask, { taskId, orchestratorId, endless: true })
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/tasks/:task_id/events',
      id: 'followTask',
      summary: 'Follow one task from its beginning to its end, with what its agents stream.',
      params: taskPath,
      query: taskQuery,
      answers,
      errors: ['task_not_found', 'too_many_requests'],
      answer: ask => answer(api, ask, { taskId: ask.params.task_id }),
    }),
  ]
}

async function answer(
  api: CoordinatorApi,
  { caller, query, accept, lastEventId, stream }: Ask<unknown, z.output<typeof taskQuery>>,
  of: Pick<EventFilters, 'taskId' | 'orchestratorId' | 'endless'>,
): Promise<Answer> {
  if (lastEventId !== undefined && lastEventId !== '' && !isPosition.test(lastEventId))
    throw invalidRequest([{ path: 'Last-Event-ID', issue: 'is not the id of an event, such as 1234-56' }], 'the header is not acceptable')
  const filters = { ...of, names: query.names, after: lastEventId || (query.after ?? query.cursor) }
  const { limit } = query
  const page = wantsPage(accept)
  if (!page && limit !== undefined)
    throw invalidRequest(
      [{ path: 'limit', issue: 'is of pages, and a stream has none; ask with `accept: application/json`, or leave it out' }],
      'the query is not acceptable',
    )
  if (!page) return { events: await stream(signal => api.followEvents(caller, filters, signal)) }
  return { json: await api.events(caller, { ...filters, limit: limit ?? defaultPage }) }
}

/** Who names both gets the stream. */
function wantsPage(accept = '*/*'): boolean {
  return /\bapplication\/(?:json|\*)/i.test(accept) && !/\btext\/event-stream/i.test(accept)
}
