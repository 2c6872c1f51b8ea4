import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createClient } from '@baton/client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

const main = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url))
const running = new Set<ChildProcess>()
let directory: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'baton-restart-'))
  // The first attempt takes a minute; later ones are quick.
  const slow =
    "let t='';process.stdin.on('data',d=>t+=d).on('end',()=>setTimeout(()=>console.log(JSON.stringify({attempt:process.env.BATON_ATTEMPT,input:JSON.parse(t)})),process.env.BATON_ATTEMPT==='1'&&JSON.parse(t).slow?60000:0))"
  writeFileSync(
    join(directory, 'baton.config.json'),
    JSON.stringify({ agents: [{ name: 'echo', kind: 'command', command: ['node', '-e', slow], concurrency: 2 }] }),
  )
})
afterAll(async () => {
  for (const child of running) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(directory, { recursive: true, force: true })
})

async function up(): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [main, 'up', '--json', '--port', '0', '--data', join(directory, 'data')], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', text => {
    said += text
  })
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })
  const first = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => undefined)])
  if (!first) throw new Error(`baton up ended: ${said}`)
  return { child, url: (JSON.parse(String(first[0])) as { url: string }).url }
}

test('local mode goes on where it stopped after SIGKILL, and says who has the directory while it runs', async () => {
  const first = await up()
  const client = createClient({ url: first.url })
  await client.tasks.submit({
    task_id: 'restart',
    title: 'restart',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'echo', input: { n: 1 } },
      { name: 'b', capability: 'echo', depends_on: ['a'], input: { slow: true, from: '{{a.outputs.input.n}}' } },
      { name: 'c', capability: 'echo', depends_on: ['b'], input: { n: 3 } },
    ],
  })
  await vi.waitFor(async () => expect((await client.tasks.get('restart')).subtasks[1]?.state).toBe('running'), {
    timeout: 15_000,
    interval: 50,
  })

  await expect(up()).rejects.toThrow(new RegExp(`in use by process ${first.child.pid}`))

  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  const second = await up()
  const task = await createClient({ url: second.url }).tasks.wait('restart', { timeoutMs: 20_000 })
  expect(task.status).toBe('completed')
  expect(task.subtasks.map(s => [s.name, s.attempt, s.outputs])).toEqual([
    ['a', 1, { attempt: '1', input: { n: 1 } }],
    ['b', 2, { attempt: '2', input: { slow: true, from: 1 } }],
    ['c', 1, { attempt: '1', input: { n: 3 } }],
  ])
  second.child.kill('SIGTERM')
  const [code] = await once(second.child, 'exit')
  expect(code).toBe(0)
})
