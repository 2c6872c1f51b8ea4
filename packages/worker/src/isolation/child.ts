/**
 * The entry of isolated children, threads and processes alike.
 *
 * Invariant: C1 a child process never outlives its worker, however the worker ended and whatever the child's event loop
 * does: its attempt runs elsewhere by then. A thread of its own watches a pipe that only the worker holds open.
 */
import { parentPort, Worker } from 'node:worker_threads'
import type { FromChild, ToChild } from './messages.js'
import { type ParentLink, serve } from './serve.js'

serve(parentPort ? threadLink(parentPort) : processLink())

function threadLink(port: NonNullable<typeof parentPort>): ParentLink {
  return {
    send: message => port.postMessage(message),
    onMessage: listener => void port.on('message', listener),
    end: lastWord => {
      if (lastWord) port.postMessage(lastWord)
      process.exit(lastWord ? 1 : 0)
    },
  }
}

function processLink(): ParentLink {
  endWithParent()
  // Whether a word arrives is seen to by the worker, which notices the end of this process.
  const send = (message: FromChild, then: () => void = () => undefined) => {
    if (process.connected) process.send?.(message, undefined, {}, then)
    else then()
  }
  return {
    send,
    onMessage: listener => void process.on('message', message => listener(message as ToChild)), // the worker's word is trusted
    end: lastWord => {
      if (!lastWord) process.exit(0)
      send(lastWord, () => process.exit(1))
    },
  }
}

/** C1 */
function endWithParent(): void {
  process.once('disconnect', () => process.exit(0))
  // As text, so that it loads nothing and watches at once. The fourth descriptor is the pipe, see process.ts.
  const watch = `
    const { Socket } = require('node:net')
    const end = () => {
      try { process.kill(-process.pid, 'SIGKILL') } catch { process.kill(process.pid, 'SIGKILL') }
    }
    new Socket({ fd: 4 }).on('error', end).on('close', end).resume()`
  new Worker(watch, { eval: true, execArgv: [], env: {} }).unref()
}
