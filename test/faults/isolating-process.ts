/** Baton in one process with an isolated agent that blocks: prints the pid of the agent's process. The argument is a folder to work in. */
import { watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startLocal } from '@baton/local'
import type { Agent } from '@baton/worker'

const { agents } = (await import(new URL('../harness/fixtures/isolated-agents.mjs', import.meta.url).href)) as { agents: Agent[] } // made by defineAgent
const directory = process.argv[2] ?? '.'
const file = join(directory, 'pid')
const written = new Promise<void>(resolve => {
  watch(directory, () => {
    void readFile(file, 'utf8').then(
      text => text && resolve(),
      () => undefined,
    )
  })
})
const { client } = await startLocal({ agents: agents.filter(agent => agent.name === 'blocker') })
await client.tasks.submit({
  task_id: 't',
  title: 'Block',
  execute: true,
  subtasks: [{ name: 'b', capability: 'blocker', input: { file } }],
})
await written
process.stdout.write(`${await readFile(file, 'utf8')}\n`)
