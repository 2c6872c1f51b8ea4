import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { missingServers } from './find-binaries.js'
import { allGone, descendants } from './process-tree.js'

const timeout = 60_000
const missing = await missingServers()

// The parent runs the source through jiti, so that this test does not depend on a build.
const jiti = pathToFileURL(createRequire(import.meta.url).resolve('jiti')).href
const parent = `
import { createJiti } from ${JSON.stringify(jiti)}
const load = createJiti(${JSON.stringify(import.meta.url)}, { fsCache: false })
const { startServers } = await load.import('./start-servers.ts')
const servers = await startServers()
if (process.env.BATON_TEST_DOWN) await servers[process.env.BATON_TEST_DOWN].kill()
if (process.env.BATON_TEST_FROZEN) servers[process.env.BATON_TEST_FROZEN].signal('SIGSTOP')
console.log(JSON.stringify([servers.postgres.pid, servers.redis.pid, servers.nats.pid]))
`

for (const [circumstance, env] of [
  ['', {}],
  [', also when one of them was down', { BATON_TEST_DOWN: 'postgres' }],
  [', also when one of them was frozen', { BATON_TEST_FROZEN: 'postgres' }],
] as const) {
  const name = `a parent that dies of SIGKILL leaves no server and no directory${circumstance}`
  test.skipIf(missing.length > 0)(name, { timeout }, async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'baton-test-'))
    onTestFinished(() => rm(scratch, { recursive: true, force: true }))
    await chmod(scratch, 0o755) // the user that runs Postgres must get through
    const child = spawn(process.execPath, ['--input-type=module', '-e', parent], {
      env: { ...process.env, ...env, TMPDIR: scratch },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const [line] = await once(createInterface(child.stdout), 'line')
    const pids: number[] = JSON.parse(line)
    const all = [...pids, ...pids.flatMap(pid => descendants(pid))]
    expect(await readdir(scratch)).toHaveLength(3)

    child.kill('SIGKILL')
    expect(await allGone(all, 20_000)).toBe(true)
    await expect.poll(() => readdir(scratch), { timeout: 10_000 }).toEqual([])
    expect(existsSync(scratch)).toBe(true)
  })
}
