/** Which files were found to have the right bytes, so that one range after the other does not read all of it each time. Bounded. */
import type { Stats } from 'node:fs'

const maxFiles = 1_000

export class Verified {
  private readonly seen = new Map<string, string>()

  /** Whether this file, untouched since, was verified. */
  has(sha256: string, file: Stats): boolean {
    return this.seen.get(sha256) === identity(file)
  }

  add(sha256: string, file: Stats): void {
    this.seen.delete(sha256)
    this.seen.set(sha256, identity(file))
    if (this.seen.size > maxFiles) this.seen.delete(this.seen.keys().next().value ?? sha256)
  }
}

const identity = ({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string => `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`
