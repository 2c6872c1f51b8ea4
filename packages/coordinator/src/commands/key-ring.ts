/**
 * The keys in force, kept in memory, so that a request is judged without asking Postgres.
 *
 * Invariants: K1 a key that was revoked is refused here at once, and by every other coordinator within seconds. K2 wrong keys
 * cost Postgres a few questions a second, however many come. K3 while Postgres is away, keys that were in force stay so: there
 * is nothing that they could do or see but metrics. K4 at most `maxKeys` are in force.
 */
import { BatonError, type KeyScope } from '@baton/shared'
import { atMost, type Clock, type Logger } from '@baton/shared/node'
import type { Database } from '../store/database.js'
import { type KeyInForce, noteKeysUsed, readKeysInForce } from '../store/keys.js'

export const maxKeys = 1_000

/** Whoever shows a key in force. */
export interface KeyHolder {
  readonly id: string
  readonly name: string
  readonly tenantId: number
  readonly scope: KeyScope
  /** SHA-256 of the key, as hexadecimal digits. */
  readonly hash: string
}

interface KeyRingOptions {
  readonly database: Database
  readonly clock: Clock
  readonly log: Logger
}

/** What was read this long ago is read again, beside the request that asked. */
const freshMs = 1_000
/** What was read this long ago is not believed any more, if Postgres can be asked. */
const believedMs = 3_000
const patienceMs = 1_000
/** A key that is not known may have been made meanwhile: so often that is looked up. */
const unknownMs = 250
const noteEveryMs = 60_000

type Held = KeyHolder & Pick<KeyInForce, 'pk'>

export class KeyRing {
  private readonly options: KeyRingOptions
  private byHash: ReadonlyMap<string, Held> = new Map()
  private byId: ReadonlyMap<string, Held> = new Map()
  private stamp: string | null = null
  private readAt = Number.NEGATIVE_INFINITY
  private reading: Promise<void> | undefined
  private readonly used = new Set<string>()
  private notedAt = Number.NEGATIVE_INFINITY

  constructor(options: KeyRingOptions) {
    this.options = options
  }

  /** Whose key this is; undefined: nobody's. Throws `unavailable` when that cannot be told. */
  async withHash(hash: string): Promise<KeyHolder | undefined> {
    const holder = await this.find(() => this.byHash.get(hash))
    if (holder) this.used.add(holder.pk)
    return holder
  }

  /** The holder of the key with this id, while it is in force. */
  withId(id: string): Promise<KeyHolder | undefined> {
    return this.find(() => this.byId.get(id))
  }

  /** Keys were made or revoked here. Never throws: what cannot be read now is read with the next request. */
  async changed(): Promise<void> {
    await this.reading?.catch(() => undefined) // it may have begun before
    await this.read().catch(() => undefined)
  }

  private async find(look: () => Held | undefined): Promise<Held | undefined> {
    const age = this.now() - this.readAt
    const found = look()
    if (found && age < freshMs) return found
    if (!found && age < unknownMs) return undefined
    const reading = this.read()
    if (!found) {
      await reading.catch(cause => {
        throw new BatonError('unavailable', 'whether the key is valid cannot be told at present; try again', {
          cause,
          extra: { retry_after_seconds: 2 },
        })
      })
      return look()
    }
    if (age < believedMs) reading.catch(() => undefined)
    else await atMost(patienceMs, reading).catch(() => undefined) // K3
    return look()
  }

  /** One reading at a time, for all who ask. */
  private read(): Promise<void> {
    this.reading ??= this.readNow().finally(() => {
      this.reading = undefined
    })
    return this.reading
  }

  private async readNow(): Promise<void> {
    const { database, log } = this.options
    const began = this.now()
    const { stamp, keys } = await readKeysInForce(database, this.stamp)
    if (keys) {
      const held = keys.map(({ pk, id, name, tenant_id: tenantId, scope, hash }) => ({ pk, id, name, tenantId, scope, hash }))
      this.byHash = new Map(held.map(key => [key.hash, key]))
      this.byId = new Map(held.map(key => [key.id, key]))
    }
    this.stamp = stamp
    this.readAt = began
    if (this.used.size === 0 || began - this.notedAt < noteEveryMs) return
    this.notedAt = began
    const pks = [...this.used]
    this.used.clear()
    noteKeysUsed(database, pks).catch(error => log.debug({ err: error }, 'the use of keys could not be noted'))
  }

  private now(): number {
    return this.options.clock.monotonicMs()
  }
}
