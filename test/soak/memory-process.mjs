// Preloaded into the processes of a soak (`node --import`): now and then it collects all garbage and writes down what is
// left, so that a slope is that of what is held, and not of what merely was not collected yet.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

const { SOAK_MEMORY_DIRECTORY: directory } = process.env
const everyMs = 10_000

if (directory !== undefined && isMainThread) {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const file = join(directory, `${process.pid}.jsonl`)
  setInterval(() => {
    gc()
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
    appendFileSync(file, `${JSON.stringify({ at: Date.now(), rss, heapUsed, external, arrayBuffers })}\n`)
  }, everyMs).unref()
}
