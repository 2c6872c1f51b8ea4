/** An event as its readers see it, in streams, pages and webhooks alike. */
import { type EventName, type EventView, RawJson } from '@baton/shared'
import type { EventRow } from '../store/events.js'

/** One view for all who are told of the same row. */
const views = new WeakMap<EventRow, EventView>()

export function viewOfEvent(row: EventRow): EventView {
  const known = views.get(row)
  if (known) return known
  const view: EventView = {
    id: `${row.xid}-${row.seq}`,
    at: row.at.toISOString(),
    name: row.name as EventName, // of the closed table, by whoever wrote it
    task_id: row.task_id,
    orchestrator_id: row.orchestrator_id,
    subtask_id: row.subtask_id,
    subtask: row.subtask,
    attempt: row.attempt,
    agent: row.agent,
    worker_id: row.worker_id,
    data: row.data === null ? null : new RawJson(row.data, JSON.parse(row.data)),
  }
  views.set(row, view)
  return view
}
