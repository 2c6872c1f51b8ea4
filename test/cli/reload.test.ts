import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@baton/client'
import { expect, test, vi } from 'vitest'
import { folder, up } from './baton.js'

const says = (name: string, text: string) => ({ name, kind: 'command', command: ['node', '-e', `console.log('${text}')`] })

const patience = { timeout: 60_000, interval: 50 }

test('a saved configuration is taken over while `up` runs, and one with a mistake never', async () => {
  const cwd = folder()
  const file = join(cwd, 'baton.config.json')
  const save = (config: unknown) => {
    // As editors do: another file, moved over the old one.
    writeFileSync(`${file}.new`, typeof config === 'string' ? config : JSON.stringify(config))
    renameSync(`${file}.new`, file)
  }
  save({ agents: [says('one', 'first')] })
  const running = await up(['--data', 'memory'], { cwd, env: { LOG_LEVEL: 'error' } })
  const client = createClient({ url: running.url })
  let count = 0
  const ask = async (capability: string) => {
    const task_id = `t${++count}`
    await client.tasks.submit({ task_id, title: 'x', subtasks: [{ name: 'a', capability }], execute: true })
    const task = await client.tasks.wait(task_id, { timeoutMs: 60_000 })
    return task.status === 'completed' ? task.subtasks[0]?.outputs : task.status
  }
  expect(await ask('one')).toBe('first')

  save({ agents: [says('one', 'second'), says('two', 'new')] })
  await running.said(/baton\.config\.json was read again: agents one, two/)
  expect(await ask('two')).toBe('new')
  await vi.waitFor(async () => expect(await ask('one')).toBe('second'), patience)

  save('{ "agents": [ }')
  await running.said(/error: baton\.config\.json:1: .*\nwhat ran before goes on/)
  save({ agents: [{ name: 'three', kind: 'comand' }] })
  await running.said(/error: baton\.config\.json: agents\[0\]\.kind .*\nwhat ran before goes on/)
  expect(await ask('two')).toBe('new')

  save({ agents: [says('one', 'third')], defaults: { sla: '1m' } })
  await running.said(/was read again: agent one\nplaybooks, rules, planner and defaults are taken over by a restart/)
  await vi.waitFor(async () => expect(await ask('one')).toBe('third'), patience)

  save({ agents: [] })
  await running.said(/was read again: no agents/)
  await vi.waitFor(async () => expect((await client.agents.list()).filter(agent => agent.health !== 'offline')).toEqual([]), patience)
  save({ agents: [says('one', 'fourth')] })
  await vi.waitFor(async () => expect(await ask('one')).toBe('fourth'), patience)
  expect((await running.stop()).code).toBe(0)
})

test('a change while work runs is taken over at once; the work is finished by the agent that began it', async () => {
  const cwd = folder()
  const file = join(cwd, 'baton.config.json')
  const gate = join(cwd, 'gate')
  const slow = `const look = () => require('fs').existsSync(${JSON.stringify(gate)}) ? console.log('begun before') : setTimeout(look, 20); look()`
  const write = (...agents: object[]) => writeFileSync(file, JSON.stringify({ agents }))
  write({ name: 'slow', kind: 'command', command: ['node', '-e', slow] })
  const running = await up(['--data', 'memory'], { cwd, env: { LOG_LEVEL: 'error' } })
  const client = createClient({ url: running.url })
  await client.tasks.submit({ task_id: 'slow', title: 'x', subtasks: [{ name: 'a', capability: 'slow' }], execute: true })
  await vi.waitFor(async () => expect((await client.tasks.get('slow')).subtasks[0]?.state).toBe('running'), { timeout: 60_000 })
  write(says('quick', 'there'))
  await running.said(/was read again: agent quick/, 25_000)
  await client.tasks.submit({ task_id: 'quick', title: 'x', subtasks: [{ name: 'a', capability: 'quick' }], execute: true })
  expect(await client.tasks.wait('quick')).toMatchObject({ status: 'completed' })
  writeFileSync(gate, '')
  expect(await client.tasks.wait('slow')).toMatchObject({ status: 'completed', subtasks: [{ outputs: 'begun before', attempt: 1 }] })
  expect((await running.stop()).code).toBe(0)
})
