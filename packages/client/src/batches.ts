/** Cuts a stream of requests into bodies that the batch route takes. */
import type { OrchestrateRequest } from '@baton/shared'
import { RawJson } from '@baton/shared'
import { encodeJson } from './encode-json.js'

interface BatchBounds {
  readonly maxItems: number
  /** Of characters of JSON; far below the route's 32 MiB, so that one batch is also committed soon. */
  readonly maxLength: number
}

/** Bodies of at most so many tasks and so much text; a larger task goes alone. Order is kept. */
export function* inBatches(
  requests: Iterable<OrchestrateRequest>,
  { maxItems, maxLength }: BatchBounds = { maxItems: 200, maxLength: 4 * 1024 * 1024 },
): Generator<{ tasks: RawJson[] }, void, undefined> {
  let tasks: RawJson[] = []
  let length = 0
  for (const request of requests) {
    const text = encodeJson(request) // once: the body reuses it
    if (tasks.length > 0 && (tasks.length === maxItems || length + text.length > maxLength)) {
      yield { tasks }
      tasks = []
      length = 0
    }
    tasks.push(new RawJson(text, request))
    length += text.length
  }
  if (tasks.length > 0) yield { tasks }
}
