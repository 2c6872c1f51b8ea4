import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cleanUp, eventually, startSource } from '../harness/index.js'

test('an isolated agent ends with its worker, also when the one is killed and the other blocks its event loop', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'baton-isolating-'))
  cleanUp(async () => rmSync(directory, { recursive: true, force: true }))
  const worker = startSource(new URL('isolating-process.ts', import.meta.url), directory)
  const pid = Number(await worker.line())
  cleanUp(async () => {
    if (lives(pid)) process.kill(pid, 'SIGKILL')
  })
  expect([pid !== worker.pid, lives(pid)]).toEqual([true, true])
  await worker.kill()
  await eventually(() => !lives(pid))
})

/** A killed process stays a zombie where nobody reaps orphans. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
