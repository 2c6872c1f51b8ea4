/** Events as they are asked for: in pages, or followed. */
import { BatonError, type EventList, type EventView, matchesEventFilter } from '@baton/shared'
import { viewOfEvent } from '../core/event-view.js'
import type { EventFeed } from '../notify/event-feed.js'
import type { Subject } from '../notify/event-tail.js'
import type { Database } from '../store/database.js'
import {
  beginning,
  type EventPage,
  type EventRow,
  isBefore,
  type Position,
  parsePosition,
  positionText,
  readFollowedTask,
  readHorizon,
  readTaskEvents,
  readTenantEvents,
} from '../store/events.js'
import { knowsOrchestrator } from '../store/orchestrators.js'
import type { Caller, EventBatch, EventFilters } from './api.js'

interface EventsOptions {
  readonly database: Database
  readonly feed: EventFeed
}

/** A page that filters leave empty is read on, this often at most. */
const pagesAtMost = 10

export function createEvents({ database, feed }: EventsOptions) {
  const subjectOf = async (
    { tenantId }: Caller,
    { taskId, orchestratorId }: EventFilters,
  ): Promise<{ readonly subject: Subject; readonly ended: Position | undefined }> => {
    if (orchestratorId !== undefined && !(await knowsOrchestrator(database, { tenantId, id: orchestratorId })))
      throw new BatonError('orchestrator_not_found', `there is no orchestrator ${orchestratorId}`)
    if (taskId === undefined) return { subject: { tenantId }, ended: undefined }
    const task = await readFollowedTask(database, tenantId, taskId)
    if (!task) throw new BatonError('task_not_found', `there is no task ${taskId}`)
    return { subject: { taskPk: task.id }, ended: task.ended }
  }

  return {
    async events(caller: Caller, filters: EventFilters & { readonly limit: number }): Promise<EventList> {
      const { subject } = await subjectOf(caller, filters)
      let position = filters.after === undefined ? beginning : positionOf(filters.after)
      const events: EventView[] = []
      for (let pages = 0; ; ) {
        const wanted = filters.limit - events.length
        const page: EventPage =
          'taskPk' in subject
            ? await readTaskEvents(database, subject.taskPk, position, wanted)
            : await readTenantEvents(database, subject.tenantId, position, wanted)
        position = page.read
        events.push(...page.rows.filter(row => isMeant(row, filters)).map(viewOfEvent))
        const more = page.full
        if (!more || events.length >= filters.limit || ++pages >= pagesAtMost)
          return { events, next_cursor: more ? positionText(position) : null }
      }
    },

    async followEvents(caller: Caller, filters: EventFilters, signal: AbortSignal): Promise<AsyncIterable<EventBatch>> {
      const { subject, ended } = await subjectOf(caller, filters)
      const given = filters.after === undefined ? undefined : positionOf(filters.after)
      if (given && isBefore(await readHorizon(database), given)) throw badPosition('is ahead of everything that has happened here')
      // A task is told from its beginning; everything else from now on.
      const after = given ?? (filters.taskId === undefined ? undefined : beginning)
      const batches = feed.follow({ subject, after, ended: filters.endless ? undefined : ended, endless: filters.endless }, signal)
      return meant(batches, filters)
    },
  }
}

export type Events = ReturnType<typeof createEvents>

async function* meant(
  batches: AsyncIterable<{ readonly events: readonly EventRow[]; readonly position: Position }>,
  filters: EventFilters,
): AsyncGenerator<EventBatch, void, undefined> {
  for await (const { events, position } of batches)
    yield { events: events.filter(row => isMeant(row, filters)).map(viewOfEvent), position: positionText(position) }
}

function isMeant(row: EventRow, { names, orchestratorId }: EventFilters): boolean {
  if (orchestratorId !== undefined && row.orchestrator_id !== orchestratorId) return false
  return names === undefined || names.some(filter => matchesEventFilter(row.name, filter))
}

function positionOf(text: string): Position {
  const position = parsePosition(text)
  if (!position) throw badPosition('is not the id of an event, such as 1234-56')
  return position
}

function badPosition(issue: string): BatonError {
  return new BatonError('invalid_request', `the position ${issue}; take the id of an event, or leave it out`, {
    fields: [{ path: 'after', issue }],
  })
}
