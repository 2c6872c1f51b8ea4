/** Leases that a request asks for. */
import { BatonError } from '@baton/shared'

/** Throws `invalid_request` with the places of those that heartbeats could not keep; a lease that is not given is null. */
export function checkLeases(leasesMs: readonly (number | null)[], minLeaseMs: number): void {
  const fields = leasesMs.flatMap((leaseMs, i) =>
    leaseMs !== null && leaseMs < minLeaseMs
      ? [{ path: `subtasks[${i}].lease_seconds`, issue: `must be at least ${minLeaseMs / 1_000}, two heartbeats` }]
      : [],
  )
  if (fields.length > 0) throw new BatonError('invalid_request', 'a lease is shorter than heartbeats could keep it', { fields })
}
