/**
 * Judges a batch of results: what is as it should be is accepted by one statement; what is not is judged by another. What
 * follows from each is told as soon as it is committed, so that nothing of the first is lost when the second fails.
 *
 * A worker may wish to go on with what its result completes the way for. Where the child is known here, and nothing waits
 * in its queue that no slot is free for, the first statement starts it under the claim that the worker named.
 */
import { jobId } from '@baton/shared'
import { failpoint } from '@baton/shared/node'
import { completeAttempts, type ReportVerdict } from '../store/complete.js'
import { completeRunning, type InlineResult, type WishingResult } from '../store/complete-running.js'
import type { Queryable } from '../store/database.js'
import type { EffectsRow, QueuedRow } from '../store/fragments.js'
import { readHanded } from '../store/handed.js'
import type { Room } from '../store/room.js'
import type { Briefs } from './briefs.js'

/** A result as it was reported. `next`: the claim under which its worker would go on, and whether it has slots to spare. */
export type ReportedResult = InlineResult & { readonly next?: { readonly claim_id: string; readonly spare: boolean } | undefined }

interface Means {
  readonly database: Queryable
  readonly briefs: Pick<Briefs, 'of' | 'completed' | 'follower'>
  readonly room: () => Room
  /** Whether nothing waits in the queue of a route. */
  readonly idle: (routeId: number) => boolean
  readonly leaseMs: number
  readonly defaultSlaMs: number
  /** After each commit. */
  readonly onSettled: (effects: EffectsRow) => Promise<void>
}

/** What the worker of a result goes on with. */
export interface Handed extends QueuedRow {
  readonly task_pk: string
  readonly claim_id: string
  /** A `Grant` as JSON text; null where it has to be claimed for its brief. */
  readonly grant: string | null
  /** Started by an earlier report of the same. */
  readonly again: boolean
}

interface Judged {
  /** One per item, in order. */
  readonly verdicts: ReportVerdict[]
  /** Positions of results that came after a cancel was asked for: dropped, and still to be acknowledged. */
  readonly refused: number[]
  /** By position. */
  readonly handed: ReadonlyMap<number, Handed>
}

export async function judgeResults(means: Means, items: readonly ReportedResult[]): Promise<Judged> {
  const { database, briefs, room, onSettled } = means
  const firsts = firstsOf(items)
  const wishes = wishesOf(firsts, means)
  failpoint('collect.before-commit')
  const { accepted, handed: rows, ...effects } = await completeRunning(database, wishes, room(), means)
  failpoint('collect.after-commit')
  const verdicts = new Array<ReportVerdict | undefined>(items.length)
  for (const i of accepted) {
    const { n, item } = firsts[i] as (typeof firsts)[number] // a position in it
    verdicts[n] = 'accepted'
    briefs.completed(item.id, item.output) // before anybody is told that its dependents may start
  }
  const handed = new Map<number, Handed>()
  const rowOf = new Map(rows.map(row => [row.id, row]))
  for (const [i, { wish }] of wishes.entries()) {
    const row = wish && rowOf.get(wish.child)
    const n = firsts[i]?.n
    if (!row || n === undefined) continue
    // Field by field, here and below: of each of thousands a second, a copy by `...` costs several times as much.
    const { id, attempt, dispatch, queue, route_id, task_pk } = row
    handed.set(n, {
      id,
      attempt,
      dispatch,
      queue,
      route_id,
      task_pk,
      claim_id: wish.next,
      grant: briefs.of(id)?.grant(row) ?? null,
      again: false,
    })
  }
  await onSettled(effects)
  const left = items.flatMap((item, n) => (verdicts[n] === undefined ? [{ n, item }] : []))
  if (left.length === 0) return { verdicts: verdicts as ReportVerdict[], refused: [], handed } // all were accepted
  const {
    verdicts: judged,
    refused,
    ...more
  } = await completeAttempts(
    database,
    left.map(({ item }) => item),
    room(),
  )
  for (const [i, { n }] of left.entries()) verdicts[n] = judged[i]
  await onSettled(more)
  await handAgain(database, items, verdicts, handed)
  return { verdicts: verdicts as ReportVerdict[], refused: refused.flatMap(i => left[i]?.n ?? []), handed } // every item is in one of the two
}

interface Placed {
  /** Its position in the batch. */
  readonly n: number
  readonly item: ReportedResult
}

/** The first item of each subtask: a repeat in the same batch is judged by what became of it. */
function firstsOf(items: readonly ReportedResult[]): Placed[] {
  const seen = new Set<string>()
  return items.flatMap((item, n) => {
    if (seen.has(item.id)) return []
    seen.add(item.id)
    return [{ n, item }]
  })
}

function wishesOf(items: readonly Placed[], { briefs, idle }: Means): WishingResult[] {
  const completing = new Set<string>()
  const wished = new Set<string>()
  return items.map(({ item: { id, attempt, claim_id, output, next } }) => {
    completing.add(id)
    const child = next && briefs.follower(id, completing)
    if (!child || wished.has(child.id) || !(next.spare || idle(child.route_id))) return { id, attempt, claim_id, output }
    wished.add(child.id)
    const { after, sla_ms, lease_ms, deadline_ms } = child
    const terms = { child_sla_ms: sla_ms, child_lease_ms: lease_ms, child_deadline_ms: deadline_ms }
    return { id, attempt, claim_id, output, wish: { child: child.id, next: next.claim_id, after, ...terms } }
  })
}

/** The answer to an earlier report was lost: what was handed over with it is said again. */
async function handAgain(
  database: Queryable,
  items: readonly ReportedResult[],
  verdicts: readonly (ReportVerdict | undefined)[],
  handed: Map<number, Handed>,
): Promise<void> {
  const repeats = items.flatMap(({ id, next }, n) => (next && verdicts[n] === 'duplicate' ? [{ n, id, claim_id: next.claim_id }] : []))
  if (repeats.length === 0) return
  for (const { n, claim_id, ...row } of await readHanded(database, repeats)) handed.set(n, { ...row, claim_id, grant: null, again: true })
}

/** The id of the job of what was handed over. */
export const jobOf = ({ id, attempt, dispatch }: Pick<Handed, 'id' | 'attempt' | 'dispatch'>): string => jobId(id, attempt, dispatch)
