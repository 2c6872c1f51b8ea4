/** What a receiver is sent: the event as streams and pages show it, in the envelope of Standard Webhooks. */
import { viewOfEvent } from '../../core/event-view.js'
import type { Claimed } from '../../store/webhook-deliveries.js'

/** The same text in every try. */
export function payloadOf({ event, event_name: type, event_at, delivery_xid, delivery_seq }: Claimed): string {
  const timestamp = event_at.toISOString()
  if (event === null) return JSON.stringify({ type, timestamp, data: { id: `${delivery_xid}-${delivery_seq}`, at: timestamp, name: type } })
  return JSON.stringify({ type, timestamp, data: viewOfEvent(event) })
}
