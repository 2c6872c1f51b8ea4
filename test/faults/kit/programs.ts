/** What the processes of a fleet run: the command and the agents, compiled from their sources once for a test run. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Programs {
  /** `node FILE up`, `node FILE worker --agents …`. */
  readonly baton: string
  /** The module that exports the fault agents. */
  readonly agents: string
  remove(): Promise<void>
}

const builder = fileURLToPath(new URL('build.mjs', import.meta.url))
/** Below the repository's modules, so that those which are not compiled in are found. */
const cache = fileURLToPath(new URL('../../../node_modules/.cache/baton-faults/', import.meta.url))

export async function buildPrograms(): Promise<Programs> {
  const folder = join(cache, randomBytes(6).toString('hex'))
  await mkdir(folder, { recursive: true })
  const child = spawn(process.execPath, [builder, folder], { stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', chunk => {
    errors += chunk
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  if (code !== 0) throw new Error(`the programs of the fault tests do not compile:\n${errors}`)
  return {
    baton: join(folder, 'baton.mjs'),
    agents: join(folder, 'agents.mjs'),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
