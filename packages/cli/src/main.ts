#!/usr/bin/env node
/** The command `baton`: hands the process over to `run`, and sees to how it ends. */
import { processEnvironment } from './env.js'
import { processIo } from './io.js'
import { run } from './program.js'

// Whoever read our output has seen enough (`baton status | head`).
process.stdout.on('error', error => {
  if ('code' in error && error.code === 'EPIPE') process.exit(0)
  throw error
})
process.stderr.on('error', () => undefined)

process.exitCode = await run(process.argv.slice(2), processIo(processEnvironment()))
// Whatever a stopped command may have left open must not keep its caller waiting.
setTimeout(() => process.exit(), 1_000).unref()
