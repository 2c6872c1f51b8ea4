/**
 * Lines that are redrawn in place. One write per frame, each line overwritten instead of cleared first, inside a
 * synchronized update where the terminal knows that: nothing flickers. The cursor always stands below the frame, so
 * that being ended in the middle leaves a clean terminal.
 */
import type { Sink } from '../io.js'

const eraseLine = '\u001b[K'
const eraseBelow = '\u001b[J'

export class LiveLines {
  private readonly sink: Sink
  private height = 0

  constructor(sink: Sink) {
    this.sink = sink
  }

  /** How many lines and columns a frame may have. */
  get room(): { columns: number; rows: number } {
    // The last column and row are left free: writing there makes terminals wrap and scroll.
    return { columns: Math.max(20, (this.sink.columns ?? 80) - 1), rows: Math.max(3, (this.sink.rows ?? 24) - 1) }
  }

  /** `above` scrolls away over the frame: what is told once. */
  draw(lines: readonly string[], above: readonly string[] = []): void {
    const up = Math.min(this.height, this.room.rows) // a terminal that was made smaller cannot go further up
    const frame = [...above, ...lines].map(line => `${line}${eraseLine}\n`).join('')
    this.sink.write(`\u001b[?2026h${up > 0 ? `\u001b[${up}A\r` : ''}${frame}${eraseBelow}\u001b[?2026l`)
    this.height = lines.length
  }

  /** Somebody else has written below the frame: it stays as it is, and the next one is drawn anew. */
  leave(): void {
    this.height = 0
  }
}
