/** Counts wrong keys by address, so that guessing is slowed down. Bounded: the address unheard of for longest goes first. */
import { isIPv6 } from 'node:net'
import type { Clock } from '@baton/shared/node'

const windowMs = 60_000
const maxAddresses = 10_000

interface Count {
  readonly since: number
  wrong: number
}

export class BadKeys {
  private readonly counts = new Map<string, Count>()
  private readonly limit: number
  private readonly clock: Clock

  constructor(limit: number, clock: Clock) {
    this.limit = limit
    this.clock = clock
  }

  /** Counts one more; returns the seconds to wait when there were too many, else undefined. */
  count(address: string): number | undefined {
    const key = networkOf(address)
    const now = this.clock.monotonicMs()
    const before = this.counts.get(key)
    const current = before && now - before.since < windowMs ? before : { since: now, wrong: 0 }
    current.wrong++
    this.counts.delete(key)
    this.counts.set(key, current)
    if (this.counts.size > maxAddresses) this.counts.delete(this.counts.keys().next().value ?? key)
    return current.wrong > this.limit ? Math.ceil((current.since + windowMs - now) / 1_000) : undefined
  }
}

/** Whoever has one IPv6 address has 2^64 of them. */
function networkOf(address: string): string {
  return isIPv6(address) && !address.startsWith('::') ? address.split(':').slice(0, 4).join(':') : address
}
