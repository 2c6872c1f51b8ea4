/**
 * Judges a batch of claims: what this coordinator has the brief of is granted by one statement; what it does not know, or
 * what that statement did not grant, is judged by another.
 */
import { type ClaimedItem, type ClaimVerdict, grantClaims } from '../store/claims.js'
import type { Queryable } from '../store/database.js'
import { startKnown } from '../store/start-known.js'
import type { Brief, Briefs } from './briefs.js'

interface Means {
  readonly database: Queryable
  readonly briefs: Pick<Briefs, 'of'>
  readonly leaseMs: number
  readonly defaultSlaMs: number
  /** How long a suspect waits whose worker runs another one. */
  readonly deferMs: number
}

/** One verdict per item, in order. */
export async function judgeClaims(means: Means, items: readonly ClaimedItem[]): Promise<ClaimVerdict[]> {
  const { database, briefs } = means
  const verdicts = new Array<ClaimVerdict | undefined>(items.length)
  const known: { readonly n: number; readonly item: ClaimedItem; readonly brief: Brief }[] = []
  const seen = new Set<string>()
  for (const [n, item] of items.entries()) {
    const brief = seen.has(item.id) ? undefined : briefs.of(item.id)
    if (brief) known.push({ n, item, brief })
    seen.add(item.id)
  }
  if (known.length > 0) {
    const started = await startKnown(
      database,
      known.map(({ item: { id, attempt, claim_id, agent, worker_id }, brief: { after, sla_ms, lease_ms, deadline_ms } }) => {
        return { id, attempt, claim_id, agent, worker_id, after, sla_ms, lease_ms, deadline_ms }
      }),
      means,
    )
    for (const [i, { n, brief }] of known.entries()) {
      const row = started[i]
      if (row)
        verdicts[n] = { status: 'granted', grant: brief.grant(row), route_id: row.route_id, task_pk: row.task_pk, waited: row.waited }
    }
  }
  const left = items.flatMap((item, n) => (verdicts[n] === undefined ? [{ n, item }] : []))
  if (left.length > 0) {
    const judged = await grantClaims(
      database,
      left.map(({ item }) => item),
      means,
    )
    for (const [i, { n }] of left.entries()) verdicts[n] = judged[i]
  }
  return verdicts as ClaimVerdict[] // every item is in one of the two
}
