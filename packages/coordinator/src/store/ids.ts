/**
 * Draws ids for tasks and subtasks from blocks of 1,000, so that a graph's rows and edges can be written in one
 * statement. Ids are unique, not ordered in time; blocks that were not used up when a coordinator ends are lost.
 */
import { setImmediate } from 'node:timers/promises'
import type { Queryable } from './database.js'
import { prepared } from './statements.js'

const blockSize = 1_000
/** Blocks that are drawn beside those that are wanted: next time nobody waits. */
const spareBlocks = 4

const statement = prepared('draw_id_blocks', `select nextval('id_blocks')::text as block from generate_series(1, $1)`)

/** `count` ids from blocks of their own, within a transaction. */
export async function drawIds(tx: Queryable, count: number): Promise<string[]> {
  const { rows } = await tx.query<{ block: string }>(statement, [Math.ceil(count / blockSize)])
  return Array.from({ length: count }, (_, i) => String(Number(rows[Math.floor(i / blockSize)]?.block) * blockSize + (i % blockSize)))
}

export class IdSource {
  private readonly db: Queryable
  private readonly free: number[] = []
  private next = 0
  private end = 0
  /** Ids that are waited for. */
  private missing = 0
  private refilling: Promise<void> | undefined

  constructor(db: Queryable) {
    this.db = db
  }

  /** `count` ids, as text. */
  async draw(count: number): Promise<() => string> {
    const reserved: { next: number; end: number }[] = []
    let left = count
    for (;;) {
      if (this.next === this.end && this.free.length > 0) {
        const block = this.free.shift() as number // its length was just checked
        this.next = block * blockSize
        this.end = this.next + blockSize
      }
      const taken = Math.min(left, this.end - this.next)
      if (taken > 0) reserved.push({ next: this.next, end: this.next + taken })
      this.next += taken
      left -= taken
      if (left === 0) break
      if (this.free.length === 0) await this.refill(left)
    }
    if (this.free.length === 0) this.refill(0).catch(() => undefined) // whoever needs them asks again
    return () => {
      const range = reserved[0]
      if (!range) throw new RangeError('more ids were taken than drawn')
      const id = range.next++
      if (range.next === range.end) reserved.shift()
      return String(id)
    }
  }

  /** All that miss some share one statement. */
  private refill(missing: number): Promise<void> {
    this.missing += missing
    this.refilling ??= this.drawBlocks().finally(() => {
      this.refilling = undefined
    })
    return this.refilling
  }

  private async drawBlocks(): Promise<void> {
    await setImmediate() // for whoever asks in the same turn
    const blocks = Math.ceil(this.missing / blockSize) + spareBlocks
    this.missing = 0
    const { rows } = await this.db.query<{ block: string }>(statement, [blocks])
    this.free.push(...rows.map(row => Number(row.block)))
  }
}
