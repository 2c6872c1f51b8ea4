// Agents for tests of isolation, which children load as they load anybody's.
import { spawn } from 'node:child_process'
import { isMainThread, threadId } from 'node:worker_threads'
import { z } from 'zod'
import { defineAgent } from '../agent.ts'

let runs = 0

const place = () => ({ pid: process.pid, threadId: isMainThread ? 0 : threadId, runs })
const whenAborted = signal => new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
const forever = () => {
  for (;;);
}

/** What the probe can be asked to do. */
const deeds = {
  echo: ({ value }) => value,
  context: (_, context) => {
    const { taskId, taskTitle, subtaskId, name, attempt, idempotencyKey, deadline, savedProgress } = context
    return {
      ...{ taskId, taskTitle, subtaskId, name, attempt, idempotencyKey, savedProgress },
      context: context.context,
      deadlineMs: deadline.getTime(),
      aborted: context.signal.aborted,
    }
  },
  place,
  output: ({ bytes }) => 'x'.repeat(bytes),
  value: ({ kind }) => {
    const loop = []
    loop.push(loop)
    return { undefined, bigint: 1n, nan: { n: Number.NaN }, date: new Date(0), loop, nul: '\u0000', function: { f: () => 1, n: 1 } }[kind]
  },
  progress: ({ values }, context) => {
    for (const value of values) context.progress(value)
  },
  badProgress: (_, context) => context.progress('x'.repeat(20_000)),
  log: (_, context) => {
    context.log.info({ step: 1, f: () => 1 }, 'one %s', 'two')
    context.log.child({ part: 'p' }).child({ deep: true }).warn('from a child')
    context.log.error({ err: new RangeError('too far') }, 'it failed')
    context.log.error(new Error('alone'))
  },
  print: () => {
    process.stdout.write('on stdout\n')
    process.stderr.write('on stderr\n')
  },
  dependencies: async (_, context) => {
    const seen = []
    for await (const d of context.dependencies) seen.push([d.name, d.state, d.subtaskId, await d.output(), d.artifacts, d.failure?.code])
    return seen
  },
  dependency: async ({ name, artifact }, context) => {
    const dependency = await context.dependencies.get(name)
    return (await dependency.artifact(artifact)).toString('utf8')
  },
  put: async ({ bytes }, context) => {
    const whole = Buffer.alloc(bytes + 20, 7)
    await context.artifacts.put('text.txt', 'grüße')
    return context.artifacts.put('part.bin', whole.subarray(10, bytes + 10), { mediaType: 'application/x-test' })
  },
  badPut: ({ name, mediaType }, context) => context.artifacts.put(name, 'x', { mediaType }),
  stream: async ({ count }, context) => {
    for (let n = 0; n < count; n++) void context.stream({ n })
    await context.stream('last')
    let refused
    try {
      void context.stream('x'.repeat(70_000))
    } catch (error) {
      refused = error.code
    }
    return refused
  },
  spawn: ({ subtasks }, context) => {
    for (const subtask of subtasks) context.spawn(subtask)
  },
  throw: ({ kind }) => {
    const cause = Object.assign(new Error('inner'), { code: 'EINNER' })
    if (kind === 'text') throw 'just text'
    if (kind === 'final') throw Object.assign(new Error('no'), { retryable: false })
    throw Object.assign(new Error('outer', { cause }), { code: 'EOUTER' })
  },
  untilAborted: async (_, context) => {
    context.progress('waiting')
    await whenAborted(context.signal)
    const { reason } = context.signal
    context.progress({ code: reason.code, message: reason.message, retryable: reason.retryable, isError: reason instanceof Error })
    throw reason
  },
  ignore: async (_, context) => {
    context.progress('ignoring')
    await new Promise(() => setInterval(() => undefined, 1_000))
  },
  block: (_, context) => {
    context.progress({ blocking: true, ...place() })
    forever()
  },
  exit: ({ code }) => process.exit(code),
  uncaught: () => {
    setImmediate(() => {
      throw new Error('nobody caught this')
    })
    return new Promise(() => undefined)
  },
  rejection: () => {
    void Promise.reject(new Error('nobody awaited this'))
    return new Promise(() => undefined)
  },
  later: (_, context) => {
    context.log.info('left something behind')
    setTimeout(() => {
      throw new Error('after the attempt')
    }, 10)
  },
  kill: ({ signal }) => {
    process.kill(process.pid, signal)
    return new Promise(() => undefined)
  },
  memory: () => {
    const kept = []
    for (;;) kept.push(new Array(100_000).fill(kept.length))
  },
  leave: (_, context) => {
    const left = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    context.progress({ left: left.pid, ...place() })
    return new Promise(() => undefined)
  },
  environment: ({ names }) => names.map(name => process.env[name] ?? null),
}

const probe = defineAgent({
  name: 'probe',
  module: import.meta.url,
  run: (input, context) => {
    runs++
    return deeds[input.do](input, context)
  },
})

let inputChecks = 0
const typed = defineAgent({
  name: 'typed',
  module: import.meta.url,
  input: z.object({ at: z.string().transform(text => new Date(text)) }).refine(() => ++inputChecks > 0),
  output: z.object({ year: z.number() }).transform(({ year }) => ({ year, inputChecks })),
  run: ({ at }) => ({ year: at.getTime() > 0 ? at.getUTCFullYear() : 'before' }),
})

export const agents = [probe, typed]
