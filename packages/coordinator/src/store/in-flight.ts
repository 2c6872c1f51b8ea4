/** What a database that is being closed still waits for, and refuses from then on. */
import { atMost } from '@baton/shared/node'
import { DatabaseClosedError } from './database.js'

/** Longer than any statement of Baton takes; a server that hangs is not waited for. */
const farewellMs = 3_000

export class InFlight {
  private count = 0
  private closing = false
  private onIdle: (() => void) | undefined

  /** Does the work, or throws `DatabaseClosedError`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.closing) throw new DatabaseClosedError()
    this.count++
    try {
      return await work()
    } finally {
      this.count--
      if (this.count === 0) this.onIdle?.()
    }
  }

  /** Refuses new work; resolves when what runs has ended, or after a few seconds. */
  async close(): Promise<void> {
    this.closing = true
    if (this.count > 0)
      await atMost(
        farewellMs,
        new Promise<void>(resolve => {
          this.onIdle = resolve
        }),
      )
  }
}
