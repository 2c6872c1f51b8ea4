/** A child that is a thread of this process, with a heap and an event loop of its own. */
import { Worker } from 'node:worker_threads'
import { childEnvironment } from '@baton/shared/node'
import { type ChildLink, childEntry, type LinkOptions, readLines } from './link.js'

export function startThread({ agent, maxHeapMb, onMessage, onLine, onEnd }: LinkOptions): ChildLink {
  const thread = new Worker(childEntry, {
    name: `baton ${agent}`,
    env: childEnvironment(),
    stdout: true,
    stderr: true,
    // It inherits Node's flags; of a script that came as text, one that no file can be run with.
    ...(process.execArgv.some(flag => flag.startsWith('--input-type')) && { execArgv: [] }),
    ...(maxHeapMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } }),
  })
  let reason: string | undefined
  thread.on('message', onMessage)
  // What the child could not catch itself: it ran out of memory, or could not be started.
  thread.on('error', error => {
    reason = error.message
  })
  readLines(thread.stdout, line => onLine('stdout', line))
  readLines(thread.stderr, line => onLine('stderr', line))
  thread.on('exit', code => onEnd(reason === undefined ? `ended with code ${code}` : `ended: ${reason}`))
  return {
    pid: process.pid,
    threadId: thread.threadId,
    send: message => thread.postMessage(message),
    kill: () => void thread.terminate(),
  }
}
