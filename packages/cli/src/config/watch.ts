/**
 * Tells when the configuration file was saved with another content. It looks instead of being told: editors replace
 * files, and file events do not cross every mount.
 */
import { existsSync, readFileSync, unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'

export function contentOf(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

interface WatchOptions {
  readonly onChange: () => Promise<void>
  readonly intervalMs?: number
  /** Default: what it holds now. */
  readonly seen?: string
}

/**
 * Calls back, one call at a time, after each change of content from `seen` on: what the file held before it was loaded,
 * so that nothing saved meanwhile is missed. Returns a function that ends it.
 */
export function watchConfig(file: string, { onChange, intervalMs = 300, seen = contentOf(file) }: WatchOptions): () => void {
  let content = seen
  let turn: Promise<void> = Promise.resolve()
  let ended = false
  const look = () => {
    turn = turn.then(async () => {
      const before = content
      const now = await readFile(file, 'utf8').catch(() => undefined)
      content = now
      // A file that is gone is being replaced, or was moved away: what runs goes on with what it had.
      if (!ended && now !== undefined && now !== before) await onChange()
    })
  }
  watchFile(file, { interval: intervalMs, persistent: false }, look)
  look()
  return () => {
    ended = true
    unwatchFile(file, look)
  }
}
