/**
 * Judges a batch of results: what is as it should be is accepted by one statement; what is not is judged by another. What
 * follows from each is told as soon as it is committed, so that nothing of the first is lost when the second fails.
 */
import { failpoint } from '@baton/shared/node'
import { completeAttempts, type ReportVerdict } from '../store/complete.js'
import { completeRunning, type InlineResult } from '../store/complete-running.js'
import type { Queryable } from '../store/database.js'
import type { EffectsRow } from '../store/fragments.js'
import type { Room } from '../store/room.js'

interface Means {
  readonly database: Queryable
  readonly room: () => Room
  /** After each commit. */
  readonly onSettled: (effects: EffectsRow) => Promise<void>
}

interface Judged {
  /** One per item, in order. */
  readonly verdicts: ReportVerdict[]
  /** Positions of results that came after a cancel was asked for: dropped, and still to be acknowledged. */
  readonly refused: number[]
}

export async function judgeResults({ database, room, onSettled }: Means, items: readonly InlineResult[]): Promise<Judged> {
  failpoint('collect.before-commit')
  const { accepted, ...effects } = await completeRunning(database, items, room())
  failpoint('collect.after-commit')
  const verdicts = new Array<ReportVerdict | undefined>(items.length)
  for (const n of accepted) verdicts[n] = 'accepted'
  await onSettled(effects)
  const left = items.flatMap((item, n) => (verdicts[n] === undefined ? [{ n, item }] : []))
  if (left.length === 0) return { verdicts: verdicts as ReportVerdict[], refused: [] } // all were accepted
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
  return { verdicts: verdicts as ReportVerdict[], refused: refused.flatMap(i => left[i]?.n ?? []) } // every item is in one of the two
}
