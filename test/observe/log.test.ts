/** The log of a coordinator in a fleet: the same lines on stdout and in its file, with the ids of what they are about. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@baton/client'
import { silentLogger } from '@baton/shared/node'
import { defineAgent, startWorker } from '@baton/worker'
import { expect, onTestFinished, test } from 'vitest'
import { folder, start } from '../cli/baton.js'
import { eventually, freshDatabase, freshNamespace, servers } from '../harness/index.js'

const apiKey = 'the-key-that-no-line-may-show'

test('lines are JSON on stdout and in logs/orchestrator.log, those about a task name it, and none shows the key', async () => {
  const { redisUrl, natsUrl } = await servers()
  const namespace = await freshNamespace()
  const cwd = folder()
  const coordinator = start(['up', '--port', '0'], {
    cwd,
    env: {
      DATABASE_URL: await freshDatabase(),
      REDIS_URL: redisUrl,
      NATS_URL: natsUrl,
      BATON_NAMESPACE: namespace,
      BATON_API_KEY: apiKey,
      BATON_LOG_FILE: '', // the default
    },
  })
  const [, url = ''] = await coordinator.said(/Baton is up at (\S+)/)
  const worker = await startWorker({
    agents: [
      defineAgent({
        name: 'flaky',
        run: () => {
          throw new Error('the disk is full\nof line breaks')
        },
      }),
    ],
    redisUrl,
    natsUrl,
    namespace,
    log: silentLogger(),
    handleSignals: false,
  })
  onTestFinished(() => worker.stop())
  const client = createClient({ url, apiKey })
  await client.tasks.submit({
    task_id: 'logged-1',
    title: 'fails',
    subtasks: [{ name: 'a', capability: 'flaky', max_attempts: 1, on_failure: 'fail' }],
    execute: true,
  })
  await client.tasks.wait('logged-1')

  const lines = () =>
    readFileSync(join(cwd, 'logs', 'orchestrator.log'), 'utf8')
      .split('\n')
      .filter(Boolean)
  await eventually(() => lines().some(line => line.includes('"task ended"')), { timeoutMs: 10_000 })
  const entries = lines().map(line => JSON.parse(line) as Record<string, unknown>)
  const about = (msg: string) => entries.filter(entry => entry.msg === msg)
  expect(about('answered')[0]).toMatchObject({ task_id: 'logged-1', route: '/orchestrate' })
  expect(about('an attempt failed')).toEqual([
    expect.objectContaining({
      level: 'warn',
      task_id: 'logged-1',
      subtask_id: 'flaky::logged-1::1',
      attempt: 1,
      code: 'agent_error',
      reason: expect.stringContaining('the disk is full'),
    }),
  ])
  expect(about('task ended')).toEqual([expect.objectContaining({ task_id: 'logged-1', status: 'failed', seconds: expect.any(Number) })])

  await worker.stop()
  const { out, err } = await coordinator.stop()
  expect(out.split('\n').filter(Boolean)).toEqual(lines()) // stdout is for the log alone
  expect(err).toContain('Baton is up at')
  expect(out + err).not.toContain(apiKey)
}, 60_000)
