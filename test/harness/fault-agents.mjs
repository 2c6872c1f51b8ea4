// Agents for fault tests, hosted by real worker processes. They journal what they do, one JSON line each: the workers' own
// account, beside what Postgres says. A line is written before the agent goes on, so that SIGKILL loses none.
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { defineAgent } from '@baton/worker'

const journal = (file, entry) => file && appendFileSync(file, `${JSON.stringify({ pid: process.pid, ...entry })}\n`)

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', end)
      resolve()
    }, ms)
    signal.addEventListener('abort', end)
  })

const bee = defineAgent({
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
})

// What follows is for the fleets of test/faults/kit. FAULT_DIRECTORY holds the journals, one file for each process, and
// the files that let held agents go on.
const { FAULT_DIRECTORY: directory, FAULT_AGENTS: declared = '[]' } = process.env
const holdLookMs = 10

function nested(depth) {
  let value = 0
  for (let n = 0; n < depth; n++) value = [value]
  return value
}

/** Results that nobody should send, by name. */
const awkward = {
  huge: () => 'x'.repeat(50 * 1024 * 1024),
  large: () => 'x'.repeat(1024 * 1024),
  nul: () => ({ text: 'a\u0000b' }),
  surrogate: () => ({ text: 'a\ud800b' }),
  deep: () => nested(100_000),
}

/** Undefined for what is too deep to be written down here. */
function digestOf(value) {
  try {
    return createHash('sha256').update(JSON.stringify(value)).digest('hex')
  } catch {
    return undefined
  }
}

async function held(name, signal) {
  while (!existsSync(join(directory, `release-${name}`))) await pause(holdLookMs, signal)
}

function blockLoop(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** A list holds a time for each attempt, the last one also for those that follow. */
const onAttempt = (ms, attempt) => (Array.isArray(ms) ? (ms[attempt - 1] ?? ms.at(-1)) : ms)

/** `true` means on every attempt, a number on the first that many. */
const applies = (times, attempt) => times === true || (typeof times === 'number' && attempt <= times)

/**
 * What the input asks for, in this order: `progress` saves it; `spawn` adds these subtasks; `block` holds the whole
 * process for ms; `hold` waits for the test to release that name; `work` takes ms, or of a list those of the attempt;
 * `die` kills the process, and `fail` throws, on the first n attempts or on all (`true`); `result` names an awkward
 * result, `echo` is returned as it is. `firstOnly`: blocks and takes time on the first attempt only. `deaf`: does not
 * listen to its signal.
 */
async function behave(input, context) {
  const { progress, spawn = [], block, hold, work = 0, die, fail, result, echo, firstOnly = false, deaf = false } = input ?? {}
  const signal = deaf ? new AbortController().signal : context.signal
  if (progress !== undefined) context.progress(progress)
  for (const subtask of spawn) context.spawn(subtask)
  const repeated = firstOnly && context.attempt > 1
  if (block && !repeated) blockLoop(block)
  if (hold !== undefined) await held(hold, signal)
  const ms = onAttempt(work, context.attempt)
  if (ms > 0 && !repeated) await pause(ms, signal)
  if (applies(die, context.attempt)) process.kill(process.pid, 'SIGKILL')
  if (applies(fail, context.attempt)) throw new Error(`told to fail on attempt ${context.attempt}`)
  if (result !== undefined) return awkward[result]()
  return echo ?? { name: context.name, attempt: context.attempt }
}

const faultAgent = ({ name, capabilities, concurrency = 50, sla, isolation }) =>
  defineAgent({
    name,
    capabilities: capabilities ?? [name],
    concurrency,
    ...(sla !== undefined && { sla }),
    ...(isolation !== undefined && { isolation }),
    module: import.meta.url,
    async run(input, context) {
      const note = entry =>
        journal(join(directory, `${process.pid}.jsonl`), {
          at: Date.now(),
          subtask: context.subtaskId,
          key: context.idempotencyKey,
          attempt: context.attempt,
          ...entry,
        })
      note({
        event: 'start',
        saved: context.savedProgress,
        ...(input?.block && !(input.firstOnly && context.attempt > 1) && { block: input.block }),
        ...(applies(input?.die, context.attempt) && { dies: true }),
      })
      context.signal.addEventListener('abort', () => note({ event: 'abort', reason: context.signal.reason?.code ?? 'unknown' }))
      try {
        const value = await behave(input, context)
        note({ event: 'end', outcome: 'completed', sha256: digestOf(value) })
        return value
      } catch (error) {
        note({ event: 'end', outcome: 'failed', reason: String(error?.message ?? error) })
        throw error
      }
    },
  })

export const agents = directory === undefined ? [bee] : JSON.parse(declared).map(faultAgent)
