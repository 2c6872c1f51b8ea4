/** `baton webhooks [VERB]`. */
import {
  BatonError,
  type DeliveryState,
  type DeliveryView,
  deliveryStates,
  maxDurationMs,
  parseDuration,
  type WebhookView,
  type WebhookWithSecret,
} from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Colour, type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export interface WebhookOptions extends RemoteOptions {
  readonly events?: string
  readonly description?: string
  readonly overlap?: string
  readonly state?: string
  readonly since?: string
  readonly limit?: number
}

export const webhookVerbs = ['list', 'add', 'remove', 'enable', 'disable', 'rotate', 'deliveries', 'replay'] as const
type Verb = (typeof webhookVerbs)[number]

export async function webhooks(
  verb: string | undefined,
  target: string | undefined,
  delivery: string | undefined,
  options: WebhookOptions,
  io: Io,
): Promise<ExitCode> {
  const known = webhookVerbs.find(one => one === (verb ?? 'list'))
  if (!known) throw new BatonError('invalid_request', `${JSON.stringify(verb)} is not known; there are ${webhookVerbs.join(', ')}`)
  const { answer, lines } = await perform(known, { target, delivery, options, io })
  if (options.json) printJson(io, answer)
  else printLines(io, lines)
  return exitCodes.done
}

interface Call {
  readonly target: string | undefined
  readonly delivery: string | undefined
  readonly options: WebhookOptions
  readonly io: Io
}

async function perform(verb: Verb, { target, delivery, options, io }: Call): Promise<{ answer: unknown; lines: string[] }> {
  const client = connect(options, io).webhooks
  const id = (): string => {
    if (target !== undefined) return target
    throw new BatonError('invalid_request', `say which: baton webhooks ${verb} ${verb === 'add' ? 'URL' : 'ID'}`)
  }
  switch (verb) {
    case 'list': {
      const answer = await client.list({ limit: options.limit ?? 100 })
      return { answer, lines: webhookLines(answer.webhooks, paintFor(io), columnsOf(io)) }
    }
    case 'add': {
      const answer = await client.create({
        url: id(),
        ...(options.events !== undefined && { events: options.events.split(',').map(name => name.trim()) }),
        ...(options.description !== undefined && { description: options.description }),
      })
      return { answer, lines: [`${answer.id} sends ${answer.events.join(', ')} to ${visible(answer.url ?? '')}`, ...secretLines(answer)] }
    }
    case 'remove': {
      const answer = await client.delete(id())
      return { answer, lines: [`${answer.deleted_id} is gone, with its deliveries`] }
    }
    case 'enable':
    case 'disable': {
      const answer = await client.update(id(), { enabled: verb === 'enable' })
      return { answer, lines: [`${answer.id} ${answer.enabled ? 'sends' : 'sends nothing'}`] }
    }
    case 'rotate': {
      const overlap = options.overlap === undefined ? undefined : durationOf('--overlap', options.overlap) / 1_000
      const answer = await client.rotate(id(), overlap === undefined ? {} : { overlap_seconds: overlap })
      const until =
        answer.previous_secret_until === null
          ? 'the one before it signs no more'
          : `the one before it signs too until ${answer.previous_secret_until}`
      return { answer, lines: [`${answer.id} has a new secret; ${until}`, ...secretLines(answer)] }
    }
    case 'deliveries': {
      const answer = await client.deliveries(id(), { limit: options.limit ?? 20, ...stateOf(options) })
      return { answer, lines: deliveryLines(answer.deliveries, paintFor(io), columnsOf(io)) }
    }
    case 'replay': {
      if (delivery !== undefined) {
        const answer = await client.replayDelivery(id(), delivery)
        return { answer, lines: [`${answer.event} is sent again, as ${answer.message_id}`] }
      }
      if (options.since === undefined) throw new BatonError('invalid_request', 'say what to replay: a delivery, or --since 2h')
      const answer = await client.replay(id(), { since: momentOf(options.since), ...stateOf(options) })
      return { answer, lines: [`${answer.replayed} ${answer.replayed === 1 ? 'delivery is' : 'deliveries are'} sent again`] }
    }
  }
}

function secretLines({ secret }: WebhookWithSecret): string[] {
  return ['its secret, which is not shown again:', secret]
}

function stateOf({ state }: WebhookOptions): { state?: DeliveryState } {
  if (state === undefined) return {}
  const known = deliveryStates.find(one => one === state)
  if (known) return { state: known }
  throw new BatonError('invalid_request', `${JSON.stringify(state)} is not a state; there are ${deliveryStates.join(', ')}`)
}

function durationOf(flag: string, text: string): number {
  const ms = text === '0' ? 0 : parseDuration(text)
  if (ms !== undefined && ms <= maxDurationMs) return ms
  throw new BatonError('invalid_request', `${flag} takes a duration such as 90s, 10m or 1h30m, not ${JSON.stringify(text)}`)
}

/** A duration is counted back from now. What is neither is refused here: the coordinator knows of date-times only. */
function momentOf(text: string): string {
  const ms = parseDuration(text)
  if (ms !== undefined && ms <= maxDurationMs) return new Date(Date.now() - ms).toISOString()
  if (!Number.isNaN(Date.parse(text))) return text
  throw new BatonError(
    'invalid_request',
    `--since takes a duration such as 2h, or a date-time such as 2026-12-01T12:00:00Z, not ${JSON.stringify(text)}`,
  )
}

export function webhookLines(list: readonly WebhookView[], paint: Paint, columns: number): string[] {
  if (list.length === 0) return ['no webhooks; register one with: baton webhooks add URL']
  const rows = list.map(one => [
    one.id,
    paint(one.enabled ? 'green' : 'dim', one.enabled ? 'enabled' : 'disabled'),
    one.events.join(', '),
    visible(one.url ?? 'the callback_url of each task'),
    visible(one.description),
  ])
  return tableLines(['webhook', 'state', 'events', 'url', 'description'], rows, columns)
}

const colours: Record<DeliveryState, Colour> = { pending: 'yellow', delivered: 'green', given_up: 'red' }

export function deliveryLines(list: readonly DeliveryView[], paint: Paint, columns: number): string[] {
  if (list.length === 0) return ['no deliveries']
  const rows = list.map(one => [
    one.id,
    paint(colours[one.state], one.state.replaceAll('_', ' ')),
    one.event,
    visible(one.task_id ?? ''),
    one.at,
    String(one.attempts),
    visible(one.tries.at(-1)?.error ?? String(one.tries.at(-1)?.status ?? '')),
  ])
  return tableLines(['delivery', 'state', 'event', 'task', 'at', 'tries', 'last answer'], rows, columns)
}
