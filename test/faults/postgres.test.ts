/** Faults 23 to 26 of the table in README.md: Postgres goes, cuts off, is crowded, breaks off. */
import { expect, test } from 'vitest'
import { cleanUp } from '../harness/clean-up.js'
import { eventually } from '../harness/eventually.js'
import { choices, faultStage, lasts, listen, pairs, sharedFleet, subtasksOf } from './kit/index.js'

const stage = faultStage()
const shared = sharedFleet(stage, {
  coordinators: 2,
  workers: 2,
  leaseMs: 1_500,
  proxies: { coordinator0: ['postgres'], coordinator1: ['postgres'] },
})

const cut = () => {
  for (const { proxies } of shared().coordinators) proxies.postgres?.cut()
}

const held = (taskId: string, count: number, hold: string) => ({
  task_id: taskId,
  title: 'held',
  execute: true,
  subtasks: Array.from({ length: count }, (_, i) => ({ name: `s${i}`, capability: 'fault', input: { hold, progress: { n: i } } })),
})

const starts = (prefix: string) =>
  shared().rows<{ id: string }>(
    `select s.id::text from subtask_states s join tasks k on k.id = s.task_pk where k.task_id like $1 and s.state = 'running'`,
    [`${prefix}%`],
  )

/** All of a row's subtasks were completed in their first attempt, run once: nobody died, and no result was lost. */
async function completedAtOnce(prefix: string, count: number) {
  const history = await shared().history()
  const subtasks = subtasksOf(history, prefix)
  expect(subtasks).toHaveLength(count)
  expect(subtasks.filter(({ state, attempt }) => state !== 'completed' || attempt !== 1)).toEqual([])
  const own = new Set(subtasks.map(({ uuid }) => uuid))
  expect(history.journal.filter(({ event, key }) => event === 'start' && own.has(key))).toHaveLength(count)
  // Every report was answered, and every job is finished when its worker has heard so.
  await eventually(async () => expect((await shared().history()).jobs).toEqual([]))
}

test('24: cut off between COMMIT and its answer: one accepted result', async () => {
  const fleet = shared()
  const { driver } = fleet
  await driver.known(() => driver.submit(held('r24-held', 1, 'r24')))
  await eventually(async () => expect(await starts('r24-')).toHaveLength(1))
  const heard = listen(fleet.coordinators)
  const database = await fleet.database()
  await database.transaction(async tx => {
    await tx.query({ text: `select from subtask_states s join tasks k on k.id = s.task_pk where k.task_id = 'r24-held' for update of s` })
    fleet.release('r24')
    // The result is at the server, and waits for this lock; its answer will not get through.
    await eventually(async () => {
      const waiting = await fleet.rows(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%set state = ''completed'', finished_at%'`,
      )
      expect(waiting).toHaveLength(1)
    })
    for (const { proxies } of fleet.coordinators) proxies.postgres?.stall()
  })
  await eventually(async () => {
    const [row] = await fleet.rows<{ status: string }>(`select status from tasks where task_id = 'r24-held'`)
    expect(row?.status).toBe('completed')
  })
  cut()
  await heard(/Postgres cannot commit; this coordinator leaves the group/)
  fleet.heal()

  // And wherever it strikes: submissions, claims, results.
  const { between } = choices('row 24')
  const submitted = Promise.all(pairs('r24-', 40, () => between(0, 100)).map(task => driver.known(() => driver.submit(task))))
  for (let n = 0; n < 4; n++) {
    await lasts(between(10, 150))
    cut()
    await lasts(between(0, 50))
    fleet.heal()
  }
  await submitted
  expect(await fleet.violations()).toEqual([])
  await eventually(async () => expect((await fleet.history()).jobs).toEqual([]))
  await completedAtOnce('r24-', 81)
})

test('26: deadlocks and serialization failures: whatever is broken off is repeated, and nobody is told', async () => {
  const fleet = shared()
  const { driver } = fleet
  const database = await fleet.database()
  // Postgres itself breaks off every fifteenth change of these tables, as the one and as the other.
  const tables = ['tasks', 'subtasks', 'subtask_states', 'attempts', 'workers', 'events']
  await database.script(`
    create sequence broken_off;
    create function break_off() returns trigger language plpgsql as $$
    declare n bigint := nextval('broken_off');
    begin
      if n % 30 = 15 then raise exception 'could not serialize access' using errcode = '40001'; end if;
      if n % 30 = 0 then raise exception 'deadlock detected' using errcode = '40P01'; end if;
      return null;
    end $$`)
  // A table at a time: whoever locks several of them while the fleet goes on can end in a deadlock of his own.
  cleanUp(async () => {
    for (const table of tables) await database.script(`drop trigger if exists break_off on ${table}`)
    await database.script('drop function break_off; drop sequence broken_off')
  })
  for (const table of tables) {
    await database.script(`create trigger break_off before insert or update on ${table} for each statement execute function break_off()`)
  }
  const { between } = choices('row 26')
  const tasks = [...pairs('r26-', 40, () => between(0, 100)), held('r26-held', 4, 'r26')]
  for (const { fate, code } of await Promise.all(tasks.map(task => driver.submit(task)))) expect([fate, code]).toEqual(['ok', undefined])
  await eventually(async () => expect(await starts('r26-held')).toHaveLength(4))
  for (const verb of ['pause', 'resume', 'pause', 'resume'] as const) expect(await driver[verb]('r26-held')).toMatchObject({ fate: 'ok' })
  await lasts(2 * fleet.leaseMs) // heartbeats are broken off too
  fleet.release('r26')
  expect(await fleet.violations()).toEqual([])
  const [row] = await fleet.rows<{ count: number }>('select last_value::int as count from broken_off')
  expect(row?.count).toBeGreaterThan(120)
  await completedAtOnce('r26-', 84)
})

test('25: every connection is taken: 503 with Retry-After within a bound, while the peer goes on', async () => {
  const fleet = shared()
  const { driver } = fleet
  await driver.known(() => driver.submit({ task_id: 'r25-locked', title: 'locked', subtasks: [{ name: 'a', capability: 'fault' }] }))
  const database = await fleet.database()
  const late = { task_id: 'r25-late', title: 'late', execute: true, subtasks: [{ name: 'a', capability: 'fault' }] }
  const taken: Promise<unknown>[] = []
  await database.transaction(async tx => {
    await tx.query({ text: `select from tasks where task_id = 'r25-locked' for update` })
    for (let n = 0; n < 12; n++) taken.push(driver.cancel('r25-locked', { coordinator: 0, timeoutMs: 20_000 }))
    await eventually(async () => {
      const waiting = await fleet.rows(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and application_name = 'baton'`,
      )
      expect(waiting).toHaveLength(10) // the pool's size
    })
    const began = performance.now()
    const [answer, submitted, elsewhere] = await Promise.all([
      fetch(`${fleet.coordinator(0).url}/tasks/r25-locked`),
      driver.submit(late, { coordinator: 0, timeoutMs: 20_000 }),
      Promise.all(pairs('r25-peer', 1, () => 10).map(task => driver.submit(task, { coordinator: 1 }))),
    ])
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await answer.json()).toMatchObject({ code: 'unavailable' })
    expect(submitted).toMatchObject({ fate: 'unknown', status: 503, code: 'unavailable' })
    expect(elsewhere).toMatchObject([{ fate: 'ok' }])
    await eventually(
      async () => expect(await driver.get('r25-peer0', { coordinator: 1 })).toMatchObject({ body: { status: 'completed' } }),
      { timeoutMs: 10_000 },
    )
  })
  await Promise.all(taken)
  expect(await driver.known(() => driver.submit(late, { coordinator: 0 }))).toMatchObject({ fate: 'ok' })
  expect(await fleet.violations()).toEqual([])
}, 60_000)

/** Whether it said last that it left the group of coordinators. */
function isOutOfGroup({ lines }: { readonly lines: readonly string[] }): boolean {
  const left = lines.findLastIndex(line => line.includes('this coordinator leaves the group'))
  return left > lines.findLastIndex(line => line.includes('this coordinator is back in the group'))
}

test('23: restarted under load, and away for two leases: what was asked is done once, and nobody loses what it runs', async () => {
  const fleet = shared()
  const { driver, leaseMs } = fleet
  const { postgres } = fleet.servers
  cleanUp(() => postgres.restart())
  const { between } = choices('row 23')
  const submit = (prefix: string) =>
    Promise.all(
      pairs(prefix, 30, () => between(0, 200)).map(task => driver.known(() => driver.submit(task, { timeoutMs: 20_000 }), 40_000)),
    )
  await driver.known(() => driver.submit(held('r23-held', 10, 'r23')))
  await driver.known(() => driver.submit(held('r23-meanwhile', 10, 'r23-meanwhile')))
  await eventually(async () => expect(await starts('r23-')).toHaveLength(20))

  const first = submit('r23-first')
  await lasts(between(0, 100))
  await postgres.restart()
  await first
  await eventually(() => expect(fleet.coordinators.filter(isOutOfGroup)).toEqual([])) // who is still out leaves no second time

  const second = submit('r23-second')
  await lasts(between(0, 100))
  const heard = listen(fleet.coordinators)
  await postgres.kill()
  fleet.release('r23-meanwhile') // these end while nobody can take their results in
  await lasts(2 * leaseMs)
  await heard(/Postgres cannot commit; this coordinator leaves the group/)
  await postgres.restart()
  await second
  fleet.release('r23')
  expect(await fleet.violations()).toEqual([])
  await eventually(async () => expect((await fleet.history()).jobs).toEqual([]))
  await completedAtOnce('r23-', 140)
}, 90_000)
