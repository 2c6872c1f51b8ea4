/** Many tasks in one body, by way of a whole coordinator. */
import { openPglite } from '@baton/coordinator'
import type { OrchestrateRequest } from '@baton/shared'
import { silentLogger } from '@baton/shared/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type OpenLocal, startOpenLocal } from './open-local.js'
import { createScene } from './scene.js'

let local: OpenLocal
const { agents, untilStatus, tasks } = createScene('b', () => local)
beforeAll(async () => {
  local = await startOpenLocal(await openPglite({ dataDir: 'memory', log: silentLogger() }))
  await local.host(agents)
})
afterAll(() => local?.stop())

const many = (title = 'x'): OrchestrateRequest[] =>
  Array.from({ length: 60 }, (_, n) => ({
    task_id: `m${n}`,
    title,
    subtasks: [{ name: 'a', capability: 'echo', input: { n } }],
    execute: true,
  }))

test('without the tasks, each is answered for itself: new, there already, another under its id', async () => {
  const codes = async (requests: OrchestrateRequest[]) => {
    const results = await tasks().submitMany(requests, { minimal: true })
    expect(results.map(({ task_id }) => task_id)).toEqual(requests.map(({ task_id }) => task_id))
    expect(results.filter(({ task }) => task !== undefined)).toEqual([])
    return results.map(({ status_code }) => status_code)
  }
  expect(await codes(many())).toEqual(Array(60).fill(201))
  expect(await codes(many())).toEqual(Array(60).fill(200))
  expect(await codes(many('y'))).toEqual(Array(60).fill(409))
  const [first] = many()
  expect(
    await codes([first as OrchestrateRequest, { ...(first as OrchestrateRequest), task_id: 'new' }, first as OrchestrateRequest]),
  ).toEqual([200, 201, 200])
  for (const id of ['m0', 'm59', 'new']) await untilStatus(id, 'completed')
  expect((await tasks().get('m59')).subtasks[0]?.outputs).toEqual({ by: 'echo', got: { n: 59 } })
})

test('with the tasks, a repeat shows what became of them', async () => {
  const [result] = await tasks().submitMany(many().slice(0, 1))
  expect(result).toMatchObject({ status_code: 200, task: { status: 'completed' } })
})

test('a repeat of a task that was deleted is told so, whatever its body is', async () => {
  await local.database.script(
    "insert into tombstones (tenant_id, task_id, digest, status, finished_at) values (1, 'gone', 'another', 'failed', clock_timestamp())",
  )
  const [result] = await tasks().submitMany([{ ...(many()[0] as OrchestrateRequest), task_id: 'gone' }])
  expect(result).toMatchObject({
    status_code: 409,
    error: {
      code: 'task_conflict',
      message: 'task gone had another body, ended as failed and was deleted by retention; choose another task_id',
    },
  })
  expect(result?.error?.fields ?? []).toEqual([])
})
