/** Child processes that run TypeScript of this repository from its source, for tests that kill one. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { cleanUp } from './clean-up.js'

const runner = fileURLToPath(new URL('run-source.mjs', import.meta.url))
/** For the children of the process. */
const loader = new URL('source-loader.mjs', import.meta.url).href

export interface SourceProcess {
  readonly pid: number
  /** The next line that it prints; rejects with its error output when it ends first. */
  line(): Promise<string>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

/** Runs `file` (a `file:` URL) in a process of its own, which is killed when the test (or the file) ends. */
export function startSource(file: URL, ...args: readonly string[]): SourceProcess {
  const child = spawn(process.execPath, ['--import', loader, runner, fileURLToPath(file), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', chunk => {
    errors += chunk
  })
  const exited = new Promise<void>(resolve => child.once('close', () => resolve()))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  cleanUp(kill)
  return {
    pid: child.pid ?? -1,
    line: async () => {
      const next = await lines.next()
      if (!next.done) return next.value
      await exited
      throw new Error(`the process ended without another line.\n${errors}`)
    },
    kill,
  }
}
