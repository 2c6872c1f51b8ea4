/** Faults 11 to 17: a worker dies by SIGKILL. */
import { queueName } from '@baton/shared'
import { expect, test, vi } from 'vitest'
import { eventually } from '../harness/eventually.js'
import { accountOf, type FaultFleet, faultStage, sharedFleet, type WorkerMember } from './kit/index.js'

vi.setConfig({ testTimeout: 60_000 })

const slots = 10
const stage = faultStage()
/** The first coordinator and the first worker outlive all rows; each row adds the worker that it kills. */
const shared = sharedFleet(stage, {
  coordinators: 1,
  workers: 1,
  agents: [{ name: 'fault', concurrency: slots }],
  settings: { LOG_LEVEL: 'debug' },
  proxies: { coordinator0: ['nats'] },
})

const one = (task_id: string, input: object = {}) => ({
  task_id,
  title: 'one',
  execute: true,
  subtasks: [{ name: 'a', capability: 'fault', input }],
})

async function submitted(fleet: FaultFleet, task: Parameters<typeof fleet.driver.submit>[0]): Promise<void> {
  expect(await fleet.driver.known(() => fleet.driver.submit(task))).toMatchObject({ fate: 'ok' })
}

const startsOf = (fleet: FaultFleet, taskId: string) =>
  fleet.journal().filter(({ event, subtask }) => event === 'start' && subtask.includes(`::${taskId}::`))

const allStarted = (fleet: FaultFleet, taskId: string, count: number) =>
  eventually(() => expect(startsOf(fleet, taskId)).toHaveLength(count), { timeoutMs: 15_000 })

/** Fills slots of the first worker, all of them by default, until `release(name)`: what is submitted meanwhile goes to those who come. */
async function occupyFirst(fleet: FaultFleet, name: string, count = slots): Promise<void> {
  const subtasks = Array.from({ length: count }, (_, i) => ({ name: `s${i}`, capability: 'fault', input: { hold: name } }))
  await submitted(fleet, { task_id: name, title: 'busy', execute: true, subtasks })
  await allStarted(fleet, name, count)
}

interface Struck {
  readonly victim: WorkerMember
  /** Of the victim's only life. */
  readonly pid: number | undefined
}

/** Has a worker of one slot take the only subtask of this task, and die of it; then the first worker has room again. */
async function strike(fleet: FaultFleet, taskId: string, failpoint: Parameters<WorkerMember['reached']>[0]): Promise<Struck> {
  await occupyFirst(fleet, `busy-${taskId}`)
  const victim = await fleet.addWorker({ failpoint: `${failpoint}:kill`, agents: [{ name: 'fault', concurrency: 1 }] })
  const { pid } = victim
  await submitted(fleet, one(taskId))
  await victim.reached(failpoint)
  expect(await victim.ended()).toEqual({ code: null, signal: 'SIGKILL' })
  fleet.release(`busy-${taskId}`)
  return { victim, pid }
}

/** Its only subtask, how its attempts ended, and in which processes it was begun. */
async function outcomeOf(fleet: FaultFleet, taskId: string) {
  const { subtasks, attempts, starts } = accountOf(await fleet.history(), taskId)
  expect(subtasks).toHaveLength(1)
  const [{ state, attempt, charged, dispatch } = { state: 'none', attempt: 0, charged: 0, dispatch: 0 }] = subtasks
  return { state, attempt, charged, dispatch, outcomes: attempts.map(({ outcome }) => outcome), pids: starts.map(({ pid }) => pid) }
}

test('11: killed with a job fetched and not claimed: no attempt is used up', async () => {
  const fleet = shared()
  await strike(fleet, 't11', 'worker.after-fetch')
  expect(await fleet.violations()).toEqual([])
  expect(await outcomeOf(fleet, 't11')).toEqual({
    state: 'completed',
    attempt: 1,
    charged: 0,
    dispatch: 2, // the job died with the worker, and was rung again
    outcomes: ['completed'],
    pids: [fleet.worker(0).pid],
  })
})

test('12: a claim committed, its reply lost: the repeated claim gets the same grant; a worker killed then loses one attempt', async () => {
  const fleet = shared()
  const silent = await fleet.addCoordinator({ failpoint: 'collect.claim-after-commit:stop' })
  await occupyFirst(fleet, 'busy-t12', slots - 1) // the last one is kept for the queue: what follows has to be claimed
  fleet.coordinator(0).proxies.nats?.cut() // all claims go to the silent one
  await submitted(fleet, one('t12'))
  await silent.reached('collect.claim-after-commit')
  const granted = await fleet.rows<{ claim: string }>(
    `select s.claim_id::text as claim from subtask_states s join tasks k on k.id = s.task_pk where k.task_id = 't12' and s.state = 'running'`,
  )
  expect(granted).toHaveLength(1)
  fleet.coordinator(0).proxies.nats?.heal()
  await allStarted(fleet, 't12', 1) // while the one that granted it first still says nothing
  fleet.release('busy-t12')
  await fleet.drain()
  await silent.kill()
  const { attempts } = accountOf(await fleet.history(), 't12')
  expect(attempts.map(({ claim_id: claim }) => ({ claim }))).toEqual(granted)
  expect(await outcomeOf(fleet, 't12')).toEqual({
    state: 'completed',
    attempt: 1,
    charged: 0,
    dispatch: 1,
    outcomes: ['completed'],
    pids: [fleet.worker(0).pid],
  })

  await strike(fleet, 't12-killed', 'worker.after-claim')
  expect(await fleet.violations()).toEqual([])
  expect(await outcomeOf(fleet, 't12-killed')).toMatchObject({
    state: 'completed',
    attempt: 2,
    charged: 1,
    outcomes: ['lost', 'completed'],
    pids: [fleet.worker(0).pid],
  })
})

test('13: killed with 50 attempts active: all completed elsewhere within lease + 4 s, saved progress handed on', async () => {
  const fleet = shared()
  await occupyFirst(fleet, 'busy-t13')
  const victim = await fleet.addWorker({ agents: [{ name: 'fault', concurrency: 50 }] })
  const { pid } = victim
  const names = Array.from({ length: 50 }, (_, i) => `s${i}`)
  await submitted(fleet, {
    task_id: 't13',
    title: 'fifty',
    execute: true,
    subtasks: names.map(name => ({
      name,
      capability: 'fault',
      input: { progress: { done: name }, work: 600_000, firstOnly: true },
    })),
  })
  await allStarted(fleet, 't13', 50)
  expect(new Set(startsOf(fleet, 't13').map(line => line.pid))).toEqual(new Set([pid]))
  const saved = `select count(*)::int as count from subtask_states s join tasks k on k.id = s.task_pk where k.task_id = 't13' and s.progress is not null`
  await eventually(async () => expect(await fleet.rows(saved)).toEqual([{ count: 50 }]))

  const killedAt = Date.now()
  await victim.kill()
  fleet.release('busy-t13')
  expect(await fleet.violations()).toEqual([])
  const { subtasks, attempts, events, starts } = accountOf(await fleet.history(), 't13')
  expect(subtasks.map(({ state, attempt }) => ({ state, attempt }))).toEqual(Array(50).fill({ state: 'completed', attempt: 2 }))
  expect(attempts.filter(({ outcome, charged }) => outcome === 'lost' && charged)).toHaveLength(50)
  const lastAt = Math.max(...events.filter(({ name }) => name === 'subtask.completed').map(({ at }) => Date.parse(at)))
  process.stdout.write(`50 attempts completed ${lastAt - killedAt} ms after SIGKILL of their worker (lease ${fleet.leaseMs} ms)\n`)
  expect(lastAt - killedAt).toBeLessThan(fleet.leaseMs + 4_000)
  // Each was begun once more, with what its own first attempt had saved.
  const uuids = new Map(subtasks.map(({ uuid, name }) => [uuid, name]))
  const again = starts.filter(({ attempt }) => attempt === 2)
  expect(again.map(({ key, saved }) => [uuids.get(key), saved]).sort()).toEqual(names.map(name => [name, { done: name }]).sort())
  expect(again.some(line => line.pid === pid)).toBe(false)
})

test('14: killed with a run done and not reported: at most one more attempt', async () => {
  const fleet = shared()
  const { pid } = await strike(fleet, 't14', 'worker.after-run')
  expect(await fleet.violations()).toEqual([])
  expect(await outcomeOf(fleet, 't14')).toMatchObject({
    state: 'completed',
    attempt: 2,
    charged: 1,
    outcomes: ['lost', 'completed'],
    pids: expect.toSatisfy((pids: number[]) => new Set(pids).size === 2 && pids.includes(pid ?? 0)),
  })
})

test('15: killed with a report sent and not answered: one accepted result', async () => {
  const fleet = shared()
  const { pid } = await strike(fleet, 't15', 'worker.after-report-sent')
  expect(await fleet.violations()).toEqual([])
  // What reached the bus counts: nothing runs again.
  expect(await outcomeOf(fleet, 't15')).toEqual({
    state: 'completed',
    attempt: 1,
    charged: 0,
    dispatch: 1,
    outcomes: ['completed'],
    pids: [pid],
  })
})

/** What BullMQ does with a job whose worker is gone: from active back to where it waits, with a wake-up. */
const deliverAgain = `
if redis.call('LREM', KEYS[1] .. ':active', 1, ARGV[1]) == 0 then return redis.error_reply('no such active job') end
redis.call('RPUSH', KEYS[1] .. ':wait', ARGV[1])
redis.call('ZADD', KEYS[1] .. ':marker', 0, '0')
return {ok = 'OK'}`

test('16: killed with a report answered and the job not completed: a second delivery is answered `gone`, nothing runs', async () => {
  const fleet = shared()
  const { pid } = await strike(fleet, 't16', 'worker.after-answer')
  await fleet.drain()
  const { subtasks } = accountOf(await fleet.history(), 't16')
  const id = subtasks[0]?.id
  const queue = `${fleet.namespace}:${queueName('shared', { kind: 'capability', name: 'fault' })}`
  expect(await fleet.redis('EVAL', deliverAgain, '1', queue, `${id}-1-1`)).toBe('OK')
  await fleet.worker(0).said(new RegExp(`"subtask":"${id}","attempt":1,"status":"gone"`))
  await eventually(async () => expect(await fleet.jobs()).not.toContain(`${id}-1-1`)) // and that ends the job

  expect(await fleet.violations()).toEqual([])
  expect(await outcomeOf(fleet, 't16')).toEqual({
    state: 'completed',
    attempt: 1,
    charged: 0,
    dispatch: 1,
    outcomes: ['completed'],
    pids: [pid],
  })
})

test('17: all workers gone: the queue-wait deadline fires, `why` says so, work resumes when one returns', async () => {
  const fleet = shared()
  const { driver } = fleet
  const capability = 'fault'
  const queue_wait_seconds = 1
  await submitted(fleet, {
    task_id: 't17',
    title: 'alone',
    execute: true,
    subtasks: [
      ...Array.from({ length: slots }, (_, i) => ({ name: `runs${i}`, capability, input: { hold: 't17' }, queue_wait_seconds })),
      { name: 'waits', capability, input: { hold: 't17' }, queue_wait_seconds }, // or one of the others, when that comes to its queue later
      { name: 'follows', capability, depends_on: ['waits', 'runs0'] },
    ],
  })
  await allStarted(fleet, 't17', slots)
  const begun = new Set(startsOf(fleet, 't17').map(({ key }) => key))
  await fleet.worker(0).kill()
  expect(fleet.workers.filter(worker => worker.pid !== undefined)).toEqual([])

  const running = Array.from({ length: slots }, (_, i) => `runs${i}`)
  const waiting = [...running, 'waits']
  await eventually(
    async () => {
      const { subtasks, reviews } = accountOf(await fleet.history(), 't17')
      const blocked = subtasks.filter(({ state }) => state === 'blocked')
      expect(blocked.map(({ name }) => name)).toEqual(waiting)
      // Until the worker counts as lost its slots seem to be free: a review may have been closed again by that.
      const open = reviews.filter(({ status }) => status === 'open')
      expect(new Set(open.map(({ kind }) => kind))).toEqual(new Set(['unroutable']))
      expect(open.map(({ subtask_pk }) => Number(subtask_pk)).sort()).toEqual(blocked.map(({ id }) => Number(id)).sort())
    },
    { timeoutMs: 20_000, everyMs: 50 },
  )
  const { subtasks, events } = accountOf(await fleet.history(), 't17')
  const nameOf = new Map(subtasks.map(({ id, name }) => [id, name]))
  const alerts = events.filter(({ name }) => name === 'alert.queue_wait').map(({ subtask_pk }) => nameOf.get(subtask_pk ?? ''))
  expect(new Set(alerts)).toEqual(new Set(waiting))
  const { body } = await driver.known(() => driver.get('t17'))
  expect(body?.status).toBe('needs_review')
  for (const { name, state, why } of body?.subtasks ?? [])
    expect({ name, state, why }).toEqual(
      name === 'follows'
        ? { name, state: 'pending', why: 'waiting for `runs0` and `waits` to finish' }
        : {
            name,
            state: 'blocked',
            why: expect.stringMatching(/^no worker took it within its queue wait of 1s \(`fault`\); waiting for one, or/),
          },
    )

  fleet.release('t17')
  await fleet.worker(0).restart()
  await eventually(async () => expect((await driver.get('t17')).body?.status).toBe('completed'), { timeoutMs: 20_000, everyMs: 50 })
  expect(await fleet.violations()).toEqual([])
  const end = accountOf(await fleet.history(), 't17')
  expect(end.reviews.filter(({ status, decision }) => status !== 'closed' || decision !== null)).toEqual([]) // nobody had to decide
  expect(end.events.filter(({ name }) => name === 'review.closed')).toHaveLength(end.reviews.length)
  // Waiting used up no attempt; being lost with the worker did.
  expect(end.subtasks.filter(({ uuid, charged }) => charged !== Number(begun.has(uuid)))).toEqual([])
})
