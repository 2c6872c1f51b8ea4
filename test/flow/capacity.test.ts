/** A backlog uses every slot that there is, of agents of any size, also where it starts at once. */
import { setTimeout as delay } from 'node:timers/promises'
import { silentLogger } from '@baton/shared/node'
import { defineAgent } from '@baton/worker'
import { expect, test } from 'vitest'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'
import { cleanUp } from '../harness/index.js'
import { startOpenLocal } from './open-local.js'

/** Attempts wait for their agents, not for the coordinator; slots come free all the time. */
const attemptMs = 300
/** More than what a coordinator remembers of one task. */
const subtasks = 2_100

test('agents with one slot have their part of a flood beside an agent with many', async () => {
  const place = await startOpenLocal(await openPglite({ dataDir: 'memory', log: silentLogger() }))
  cleanUp(() => place.stop())
  const ran = new Map<string, number>()
  let running = 0
  let most = 0
  const agent = (name: string, concurrency: number) =>
    defineAgent({
      name,
      capabilities: ['x'],
      concurrency,
      run: async () => {
        most = Math.max(most, ++running)
        await delay(attemptMs * (0.5 + Math.random()))
        running--
        ran.set(name, (ran.get(name) ?? 0) + 1)
        return null
      },
    })
  const small = Array.from({ length: 20 }, (_, i) => `small-${i}`)
  await place.host([agent('large', 150), ...small.map(name => agent(name, 1))])
  const flood = Array.from({ length: subtasks }, (_, i) => ({ name: `s${i}`, capability: 'x' }))
  await place.client.tasks.submit({ task_id: 'flood', title: 'flood', subtasks: flood, execute: true })
  expect(await place.client.tasks.wait('flood', { timeoutMs: 60_000 })).toMatchObject({ status: 'completed' })
  expect(most).toBe(170)
  const fairShare = subtasks / 170
  for (const name of small) expect(ran.get(name)).toBeGreaterThan(fairShare / 2)
}, 90_000)
