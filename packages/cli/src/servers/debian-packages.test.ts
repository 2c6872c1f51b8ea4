import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { installPackages } from './debian-packages.js'

let folder: string
let policy: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-test-'))
  policy = join(folder, 'policy-rc.d')
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true, force: true })
})

test('services are forbidden while packages are installed, and allowed again afterwards', async () => {
  await aptGet(`echo "$@" >> ${folder}/calls; ${policy}; echo "policy $?" >> ${folder}/calls`)
  await installPackages(['redis', 'nats'], policy)
  const calls = await readFile(join(folder, 'calls'), 'utf8')
  expect(calls).toMatch(/^update\npolicy 101\ninstall -y .*redis-server nats-server\npolicy 101\n$/)
  expect(existsSync(policy)).toBe(false)
})

test('a failed installation says what apt printed and leaves no policy', async () => {
  await aptGet('echo "E: Unable to locate package"; exit 100')
  await expect(installPackages(['nats'], policy)).rejects.toThrow(/nats-server.*E: Unable to locate package/s)
  expect(existsSync(policy)).toBe(false)
})

test('a policy that the machine has already stays as it is', async () => {
  await writeFile(policy, '#!/bin/sh\nexit 104\n', { mode: 0o755 })
  await aptGet('exit 0')
  await installPackages(['nats'], policy)
  expect(await readFile(policy, 'utf8')).toContain('exit 104')
})

async function aptGet(script: string): Promise<void> {
  await writeFile(join(folder, 'apt-get'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}
