/** The kit itself: what it says that it does to a fleet is done. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cleanUp } from '../../harness/clean-up.js'
import { eventually } from '../../harness/eventually.js'
import { check } from '../history/check.js'
import type { History } from '../history/history.js'
import { acrossParts, historyInParts } from '../history/parts.js'
import { choices, faultStage, startFaultFleet } from './index.js'

const stage = faultStage()

test('members are frozen, cut off, killed and started again; the history knows of it', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 2, proxies: { worker0: ['nats'], coordinator0: ['postgres'] } })
  const { driver } = fleet
  const subtasks = Array.from({ length: 4 }, (_, i) => ({
    name: `s${i}`,
    capability: 'fault',
    input: { hold: 'gate', progress: { n: i } },
  }))
  await driver.known(() => driver.submit({ task_id: 'held', title: 'held', execute: true, subtasks }))
  await eventually(() => fleet.journal().filter(line => line.event === 'start').length === 4)

  // Cut from Postgres, it cannot commit: what is asked has an unknown fate, until the proxy lets it through.
  fleet.coordinator(0).proxies.postgres?.cut()
  const submit = () => driver.submit({ task_id: 'late', title: 'late', subtasks: [{ name: 'a', capability: 'fault' }] })
  expect(await submit()).toMatchObject({ fate: 'unknown', status: 503 })
  fleet.coordinator(0).proxies.postgres?.heal()
  expect(await driver.known(submit)).toMatchObject({ fate: 'ok', taskId: 'late' })
  expect(await driver.submit({ task_id: '?', title: 'bad' }, { bad: true })).toMatchObject({ fate: 'failed', status: 400 })

  // Progress travels with heartbeats.
  const saved = () => fleet.rows('select from subtask_states where progress is not null')
  await eventually(async () => (await saved()).length === 4)
  const [paused, killed] = [fleet.worker(0), fleet.worker(1)]
  const before = killed.pid
  paused.pause()
  await killed.kill()
  expect(killed.exit).toEqual({ code: null, signal: 'SIGKILL' })
  await killed.restart()
  expect(killed.pid).not.toBe(before)
  // All four were held by one of the two; each begins again elsewhere, with what it had saved, while the one is still frozen.
  const again = () => fleet.journal().filter(line => line.event === 'start' && line.attempt > 1)
  await eventually(() => new Set(again().map(line => line.subtask)).size === 4, { timeoutMs: 15_000 })
  expect(again().filter(line => line.saved === null)).toEqual([])
  fleet.release('gate')

  expect(await fleet.violations()).toEqual([])
  const history = await fleet.history()
  expect(history.disturbances.map(({ member, what }) => [member, what])).toEqual([
    ['coordinator0', 'cut from postgres'],
    ['worker0', 'paused'],
    ['worker1', 'killed'],
  ])
})

test('a failpoint before anything is ready leaves a dead member, and the restart is without it', async () => {
  const fleet = await startFaultFleet(stage, { coordinators: 1, workers: 0, failpoints: { coordinator0: 'migrate.mid:kill' } })
  await fleet.coordinator(0).reached('migrate.mid')
  expect(fleet.coordinator(0).exit?.signal).toBe('SIGKILL')
  await fleet.coordinator(0).restart()
  expect(await fleet.driver.raw({ method: 'GET', path: '/readyz' })).toMatchObject({ fate: 'ok' })
})

test('agents do what their input says', async () => {
  const fleet = await startFaultFleet(stage, { workers: 2 })
  const { driver } = fleet
  const subtasks = [
    { name: 'twice', input: { fail: 2 } },
    { name: 'never', input: { fail: true }, max_attempts: 1 },
    { name: 'parent', input: { spawn: [{ name: 'child', capability: 'fault' }] } },
    { name: 'blocks', input: { block: 50 } },
    ...['nul', 'surrogate', 'deep'].map(result => ({ name: result, input: { result }, max_attempts: 1, on_failure: 'skip' as const })),
    { name: 'large', input: { result: 'large' } },
    { name: 'kills', input: { die: 1 } },
  ].map(subtask => ({ capability: 'fault', ...subtask }))
  await driver.known(() => driver.submit({ task_id: 't', title: 't', execute: true, subtasks }))
  await eventually(() => fleet.workers.some(worker => worker.exit?.signal === 'SIGKILL'), { timeoutMs: 10_000 })
  expect(await fleet.violations()).toEqual([])
  const { subtasks: rows } = await fleet.history()
  expect(Object.fromEntries(rows.map(({ name, state }) => [name, state]))).toEqual({
    twice: 'completed',
    never: 'needs_review',
    parent: 'completed',
    child: 'completed',
    blocks: 'completed',
    nul: 'skipped',
    surrogate: 'skipped',
    deep: 'skipped',
    large: 'completed',
    kills: 'completed',
  })
})

test('a history in parts is the whole history', async () => {
  const fleet = await startFaultFleet(stage, { workers: 1 })
  const { driver } = fleet
  const requests = Array.from({ length: 25 }, (_, i) => ({
    task_id: `t${i}`,
    title: 't',
    execute: true,
    subtasks: [
      { name: 'a', capability: 'fault', input: { echo: i } },
      { name: 'b', capability: 'fault', depends_on: ['a'] },
    ],
  }))
  await eventually(async () => (await driver.submitMany(requests)).every(({ fate }) => fate === 'ok'))
  expect(await fleet.violations()).toEqual([])
  const whole = await fleet.history()

  const scratch = mkdtempSync(join(tmpdir(), 'baton-parts-'))
  cleanUp(() => rmSync(scratch, { recursive: true }))
  const parts: History[] = []
  for await (const part of await historyInParts(await fleet.sources(), { scratch, tasksInPart: 10 })) parts.push(part)
  expect(parts.map(({ tasks }) => tasks.length)).toEqual([10, 10, 5, 0])
  expect(parts.flatMap(check)).toEqual([])
  expect(await acrossParts(await fleet.sources(), parts[3] ?? whole)).toEqual([])
  for (const what of ['tasks', 'subtasks', 'dependencies', 'attempts', 'journal', 'operations'] as const)
    expect(
      parts.reduce((sum, part) => sum + part[what].length, 0),
      what,
    ).toBe(whole[what].length)
  const ofTasks = whole.events.filter(({ task_pk }) => task_pk !== null)
  expect(parts.reduce((sum, { events }) => sum + events.length, 0)).toBe(ofTasks.length)
})

test('choices are those of the seed', () => {
  const all = (made: ReturnType<typeof choices>) => [made.random(), made.between(1, 6), made.pick(['a', 'b']), made.shuffled([1, 2, 3, 4])]
  const first = choices('a')
  const before = process.env.BATON_TEST_SEED
  process.env.BATON_TEST_SEED = String(first.seed)
  try {
    expect(all(choices('again'))).toEqual(all(first))
  } finally {
    if (before === undefined) delete process.env.BATON_TEST_SEED
    else process.env.BATON_TEST_SEED = before
  }
})
