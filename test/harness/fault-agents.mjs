// Agents for fault tests, hosted by real worker processes. They journal what they do, one JSON line each, into the file
// that their input names: the workers' own account, beside what Postgres says.
import { appendFileSync } from 'node:fs'
import { defineAgent } from '@baton/worker'

const journal = (file, entry) => file && appendFileSync(file, `${JSON.stringify({ pid: process.pid, ...entry })}\n`)

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })

export const agents = [
  defineAgent({
    name: 'worker-bee',
    capabilities: ['bee'],
    concurrency: 50,
    async run({ ms = 0, file, firstOnly = false }, context) {
      journal(file, {
        event: 'run',
        subtask: context.subtaskId,
        attempt: context.attempt,
        key: context.idempotencyKey,
        saved: context.savedProgress,
      })
      context.progress({ at: context.attempt })
      if (!firstOnly || context.attempt === 1) await pause(ms, context.signal)
      journal(file, { event: 'done', subtask: context.subtaskId, attempt: context.attempt })
      return { attempt: context.attempt }
    },
  }),
]
