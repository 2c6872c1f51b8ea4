import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startFleet } from '@baton/cli'
import { type Client, createClient } from '@baton/client'
import { agents, auditTask, reportJsonName } from '@baton/example-repo-audit'
import { startLocal } from '@baton/local'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

let directory: string
beforeAll(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'baton-demo-')), 'repository')
  for (let folder = 0; folder < 60; folder++) {
    mkdirSync(join(directory, `folder-${folder}`), { recursive: true })
    for (let file = 0; file < 40; file++) {
      const lines = Array.from(
        { length: 200 },
        (_, i) => `const value${i} = ${i * folder}${i === file ? ` // ${'TO'}${'DO'} look at ${file}` : ''}`,
      )
      writeFileSync(join(directory, `folder-${folder}`, `file-${file}.ts`), lines.join('\n'))
    }
  }
})
afterAll(() => rmSync(join(directory, '..'), { recursive: true, force: true }))

async function report(client: Client, taskId: string): Promise<string> {
  const task = await client.tasks.wait(taskId, { timeoutMs: 60_000 })
  expect(task.status).toBe('completed')
  const artifact = task.artifacts.find(a => a.name === reportJsonName)
  if (!artifact) throw new Error('the audit made no report')
  return Buffer.from(await client.tasks.artifact(taskId, artifact.subtask_id, artifact.name)).toString()
}

test("a worker killed in the middle of the demo in fleet mode changes nothing in its report, which equals local mode's", async () => {
  const local = await startLocal({ agents })
  await local.client.tasks.submit({ ...auditTask(directory, 'audit'), execute: true })
  const expected = await report(local.client, 'audit')
  await local.stop()
  expect((JSON.parse(expected) as { totals: Record<string, number> }).totals.todo).toBe(60 * 40)

  const fleet = await startFleet({
    workers: 3,
    agentsModule: '@baton/example-repo-audit',
    settings: { BATON_LEASE_MS: '1000', BATON_HEARTBEAT_MS: '250' },
  })
  try {
    const client = createClient({ url: fleet.url })
    await client.tasks.submit({ ...auditTask(directory, 'audit'), execute: true })
    const victim = fleet.workers[1]
    await vi.waitFor(
      async () => {
        const worker = (await client.workers.list()).find(w => w.id === victim?.id)
        expect(worker?.active).toBeGreaterThan(0)
      },
      { timeout: 20_000, interval: 20 },
    )
    await fleet.killWorker(1)
    expect(await report(client, 'audit')).toBe(expected)
  } finally {
    await fleet.stop()
  }
})
