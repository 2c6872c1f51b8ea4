// Preloaded into the processes of a soak (`node --import`): now and then it writes down what the process holds, after V8
// has collected all garbage and given back what it keeps free. Without the latter its young generation, which V8 grows to
// 32 MiB and shrinks again as it sees fit, hides whatever grows.
import { appendFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

const { SOAK_MEMORY_DIRECTORY: directory, SOAK_MEMORY_EVERY_MS: everyMs = '10000' } = process.env

if (directory !== undefined && isMainThread) {
  const file = join(directory, `${process.pid}.jsonl`)
  const session = new Session()
  session.connect()
  setInterval(() => {
    session.post('HeapProfiler.collectGarbage', () => {
      const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
      appendFileSync(file, `${JSON.stringify({ at: Date.now(), rss, heapUsed, external, arrayBuffers })}\n`)
    })
  }, Number(everyMs)).unref()
}
