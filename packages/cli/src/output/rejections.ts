/**
 * A promise that an agent left behind and that is rejected later would end the whole process, and with it the work of
 * every other agent. It is told instead: the attempt it came from has been decided already.
 */
import type { Io } from '../io.js'

export function surviveRejections(io: Io): void {
  process.on('unhandledRejection', reason => {
    const text = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)
    io.stderr.write(`warning: a promise was rejected that nobody waited for, probably an agent's; the process goes on\n${text}\n`)
  })
}
