/** Takes in what agents stream. Whoever follows parses it, so what is no list of storable JSON is dropped here. */
import { parseStrictJson, type StreamItem, type StreamReply } from '@baton/shared'
import type { Database } from '../store/database.js'
import { appendToStreams } from '../store/stream-chunks.js'

/** Answers in order; what is `stored` is committed. */
export async function takeStreams(database: Database, items: readonly StreamItem[]): Promise<StreamReply[]> {
  const sound = items.filter(isList)
  const held = sound.length === 0 ? [] : await appendToStreams(database, sound)
  const stored = new Set(sound.filter((_, i) => held[i]))
  return items.map(item => ({ status: stored.has(item) ? 'stored' : 'stale' }))
}

function isList({ chunks }: StreamItem): boolean {
  try {
    return Array.isArray(parseStrictJson(chunks))
  } catch {
    return false
  }
}
