/**
 * Tells when the configuration file was saved with another content. It looks instead of being told: editors replace
 * files, and file events do not cross every mount.
 */
import { existsSync, readFileSync, unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'

/** Calls back, one call at a time, after each change of content. Returns a function that ends it. */
export function watchConfig(file: string, onChange: () => Promise<void>, intervalMs = 300): () => void {
  let content = existsSync(file) ? readFileSync(file, 'utf8') : undefined // at once: nothing may be saved in between
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
  return () => {
    ended = true
    unwatchFile(file, look)
  }
}
