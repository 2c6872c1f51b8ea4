/** Our scripts leave in Redis what BullMQ's own leave, and answer what they answer. */
import { createRequire } from 'node:module'
import { JobAdder, JobWork, type QueueHand, type Ring, Slots } from '@baton/shared/node'
import type { MinimalJob, RedisQueueBackend } from 'bullmq'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cleanUp, eventually, freshNamespace, servers } from '../harness/index.js'
import { Bench, consume, jobs, openBullmq } from './queues.js'

// The driver and BullMQ belong to coordinator and worker; a test of what both put around them uses those of one of them.
const required = createRequire(new URL('../../packages/worker/package.json', import.meta.url))
const { Redis } = required('ioredis') as typeof import('ioredis')
const { FlowProducer, Queue, Worker } = required('bullmq') as typeof import('bullmq')

const queue = 'q'
const token = 'hand-1'
const hand: QueueHand = { queue, token, lockMs: 60_000 }
type Job = Pick<Ring, 'id' | 'delivery' | 'ahead'>

/** What a worker asks for in one turn. */
interface Turn {
  readonly finish: readonly { readonly id: string; readonly takes: boolean }[]
  readonly enter: readonly Job[]
  readonly take: number
}

interface Answers {
  readonly finished: readonly string[]
  readonly entered: readonly boolean[]
  readonly taken: readonly string[]
}

/** One of the two ways to work a queue in a namespace of its own. */
interface Way {
  add(jobs: readonly Job[]): Promise<void>
  work(turn: Turn): Promise<Answers>
}

async function connected() {
  const url = new URL((await servers()).redisUrl)
  const redis = new Redis(url.href)
  cleanUp(() => redis.disconnect())
  return { redis, connection: { host: url.hostname, port: Number(url.port || 6379) } }
}

type Place = Awaited<ReturnType<typeof placed>>

async function placed() {
  const namespace = await freshNamespace()
  const { redis, connection } = await connected()
  const own = new Queue(queue, { connection, prefix: namespace, skipVersionCheck: true })
  cleanUp(() => own.close())
  await own.waitUntilReady()
  const key = (name: string) => `${namespace}:${queue}:${name}`
  return { namespace, redis, connection, own, key }
}

function ours({ redis, namespace }: Place): Way {
  const adder = new JobAdder(redis, namespace)
  const work = new JobWork(redis, namespace)
  return {
    add: async jobs => {
      await Promise.all(jobs.map(job => adder.add({ queue, ...job })))
    },
    work: async ({ finish, enter, take }) => {
      const finishing = finish.map(({ id, takes }) => work.finish(hand, id, takes))
      const entering = enter.map(job => work.enter(hand, job))
      const taking = take > 0 ? [work.take(hand, take)] : []
      const finished = await Promise.allSettled(finishing)
      const more = [
        ...finished.flatMap(each => (each.status === 'fulfilled' ? each.value.jobs : [])),
        ...(await Promise.all(taking)).flatMap(({ jobs }) => jobs),
      ]
      return {
        finished: finished.map(({ status }) => status),
        entered: await Promise.all(entering),
        taken: more.map(({ id, data }) => `${id} ${data}`),
      }
    },
  }
}

/** One after the other, by BullMQ's scripts: what is finished, what enters, what is taken. */
async function theirs({ namespace, connection, own }: Place): Promise<Way> {
  const worker = new Worker(queue, null, {
    connection,
    prefix: namespace,
    autorun: false,
    skipVersionCheck: true,
    lockDuration: hand.lockMs,
  })
  cleanUp(() => worker.close(true))
  await worker.waitUntilReady()
  const backend = worker.backend as unknown as RedisQueueBackend
  const add = async ({ id, delivery, ahead = false }: Job) => {
    const opts = { attempts: 1, removeOnComplete: true, removeOnFail: { count: 1_000 }, ...(ahead && { lifo: true }) }
    const rest = { progress: 0, attemptsMade: 0, attemptsStarted: 0, stalledCounter: 0, failedReason: '', returnvalue: '' }
    await own.backend.addJob({ id, name: 'attempt', data: JSON.stringify(delivery), opts, timestamp: Date.now(), ...rest }, id)
  }
  const take = async () => {
    const [record, id] = (await backend.moveToActive(token)) as [record?: { data: string } | null, id?: string]
    return record && id ? `${id} ${record.data}` : undefined
  }
  return {
    add: async jobs => {
      for (const job of jobs) await add(job)
    },
    work: async ({ finish, enter, take: count }) => {
      let more = count
      const finished: string[] = []
      const model = { opts: { attempts: 1 } } as MinimalJob
      for (const { id, takes } of finish) {
        const args = backend.moveToCompletedArgs({ ...model, id }, 'null', true, token, false)
        const [{ status }] = await Promise.allSettled([backend.moveToFinished(id, args)])
        finished.push(status)
        if (takes && status === 'fulfilled') more++
      }
      const entered: boolean[] = []
      for (const job of enter) {
        const limit = await own.getGlobalConcurrency()
        if ((await own.isPaused()) || (limit !== null && (await own.getActiveCount()) >= limit)) {
          entered.push(false) // it would be left in the queue
          continue
        }
        await add({ ...job, ahead: true })
        entered.push((await take())?.startsWith(`${job.id} `) ?? false)
      }
      const taken: string[] = []
      for (let job = more > 0 ? await take() : undefined; job !== undefined; job = taken.length < more ? await take() : undefined)
        taken.push(job)
      return { finished, entered, taken }
    },
  }
}

/** All keys of a queue and what is in them, without times; the queue's marker, and the event that it is empty, apart. */
async function contents({ redis, key }: Place) {
  const found: Record<string, unknown> = {}
  for (const each of (await redis.keys(key('*'))).sort()) {
    const name = each.slice(key('').length)
    if (name === 'marker') continue
    const type = await redis.type(each)
    if (type === 'hash') {
      const fields = await redis.hgetall(each)
      for (const time of ['timestamp', 'processedOn'])
        if (fields[time] !== undefined) fields[time] = Math.abs(Number(fields[time]) - Date.now()) < 60_000 ? 'now' : fields[time]
      found[name] = { ...fields, ...(fields.opts !== undefined && { opts: JSON.parse(fields.opts) }) }
    } else if (type === 'list') found[name] = await redis.lrange(each, 0, -1)
    else if (type === 'set') found[name] = (await redis.smembers(each)).sort()
    else if (type === 'zset') found[name] = await redis.call('ZRANGE', each, 0, -1, 'WITHSCORES')
    else if (type === 'stream')
      found[name] = (await redis.xrange(each, '-', '+')).map(([, fields]) => fields.join(' ')).filter(event => event !== 'event drained')
    else found[name] = [await redis.get(each), (await redis.pttl(each)) > 50_000 ? 'for its time' : 'for ever, or for another time']
  }
  return found
}

const delivery = (n: number) => ({ v: 1, s: String(n), a: 1, tp: '00-ä🧪' })

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('add' as const),
      jobs: fc.array(fc.tuple(fc.nat(40), fc.boolean()), { minLength: 1, maxLength: 12 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('work' as const),
      finish: fc.array(fc.tuple(fc.nat(200), fc.boolean()), { maxLength: 8 }),
      enter: fc.oneof(fc.constant(0), fc.nat(6)),
      take: fc.oneof(fc.constant(0), fc.nat(10)),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'pause' as const }, { kind: 'resume' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('limit' as const), to: fc.integer({ min: 0, max: 8 }) }) },
)

describe('whatever a queue is asked', () => {
  test('both ways leave the same, and say the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async steps => {
        const [one, other] = [await placed(), await placed()]
        const ways: readonly [Way, Way] = [ours(one), await theirs(other)]
        const held: string[] = []
        let fresh = 0
        for (const each of steps) {
          if (each.kind === 'add') {
            const jobs = each.jobs.map(([n, ahead]) => ({ id: `j-${n}`, delivery: delivery(n), ahead }))
            for (const way of ways) await way.add(jobs)
          } else if (each.kind === 'pause' || each.kind === 'resume') {
            for (const { own } of [one, other]) await own[each.kind]()
          } else if (each.kind === 'limit') {
            for (const { own } of [one, other]) await (each.to === 0 ? own.removeGlobalConcurrency() : own.setGlobalConcurrency(each.to))
          } else {
            // Of those that are held, and now and then one that is not.
            const finish = [...new Set(each.finish.map(([n]) => held[n % (held.length + 1)] ?? `j-${n}`))].map((id, i) => ({
              id,
              takes: each.finish[i]?.[1] ?? false,
            }))
            const enter = Array.from({ length: each.enter }, () => ({ id: `next-${fresh++}`, delivery: delivery(fresh) }))
            for (const { redis, key } of [one, other]) await redis.del(key('marker'))
            const turn = { finish, enter, take: each.take }
            const [said, expected] = [await ways[0].work(turn), await ways[1].work(turn)]
            expect(said).toEqual(expected)
            for (const [i, { id }] of finish.entries()) if (said.finished[i] === 'fulfilled') held.splice(held.indexOf(id), 1)
            held.push(
              ...enter.filter((_, i) => said.entered[i]).map(({ id }) => id),
              ...said.taken.map(taken => taken.split(' ')[0] as string),
            )
            const ended = finish.filter((_, i) => said.finished[i] === 'fulfilled')
            await markerRight(one, turn, { ended: ended.length, takesMore: ended.filter(({ takes }) => takes).length })
          }
          expect(await contents(one)).toEqual(await contents(other))
        }
      }),
      { numRuns: 40 },
    )
  }, 60_000)
})

/** B5: who takes, or makes room in a limited queue, leaves the marker where something is left that may be taken. */
async function markerRight({ redis, key, own }: Place, { enter, take }: Turn, { ended, takesMore }: { ended: number; takesMore: number }) {
  const limit = await own.getGlobalConcurrency()
  if (take + takesMore + (limit === null ? 0 : ended) === 0 || enter.length > 0) return
  const open = !(await own.isPaused()) && (limit === null || (await redis.llen(key('active'))) < limit)
  expect(await redis.exists(key('marker'))).toBe(open && (await redis.llen(key('wait'))) > 0 ? 1 : 0)
}

test('what was sent once more, after a connection that broke, finds what it did', async () => {
  const place = await placed()
  const [way, { redis, key }] = [ours(place), place]
  const enter = [{ id: 'next', delivery: delivery(1) }]
  const turn: Turn = { finish: [], enter, take: 0 }
  expect((await way.work(turn)).entered).toEqual([true])
  expect((await way.work(turn)).entered).toEqual([true])
  expect(await redis.lrange(key('active'), 0, -1)).toEqual(['next'])
  const done: Turn = { finish: [{ id: 'next', takes: true }], enter: [], take: 0 }
  expect((await way.work(done)).finished).toEqual(['fulfilled'])
  expect((await way.work(done)).finished).toEqual(['rejected'])
  await redis.set(key('other:lock'), 'somebody else')
  await redis.hset(key('other'), 'name', 'attempt')
  expect((await way.work({ ...turn, enter: [{ id: 'other', delivery: delivery(2) }] })).entered).toEqual([false])
})

describe('beside jobs that somebody else puts into a queue', () => {
  /** A worker with `slots`, and somebody with BullMQ. */
  async function shared(slots: number) {
    const place = await placed()
    const { redisUrl } = await servers()
    const { queue: tasks, consumer } = await openBullmq(redisUrl, place.namespace)
    const bench = new Bench()
    const begin = async () => consume(await consumer(), queue, new Slots(slots), bench)
    return { ...place, tasks, bench, begin }
  }

  /** What is left in the queue beside what BullMQ keeps of every queue. */
  const left = async ({ redis, key }: Pick<Place, 'redis' | 'key'>) =>
    (await redis.keys(key('*')))
      .map(each => each.slice(key('').length))
      .filter(name => !['meta', 'id', 'events', 'marker', 'stalled-check'].includes(name))
      .sort()

  test('delayed ones, urgent ones, parents and their children are worked off, and nothing is left of them', async () => {
    const place = await shared(3)
    const { own, connection, namespace, tasks, bench, begin } = place
    bench.finishAll()
    const flows = new FlowProducer({ connection, prefix: namespace })
    cleanUp(() => flows.close())
    await own.add('late', {}, { jobId: 'late', delay: 700 })
    await own.add('urgent', {}, { jobId: 'urgent', priority: 5 })
    await own.add('one', {}, { jobId: 'one', deduplication: { id: 'd' } })
    await own.add('two', {}, { jobId: 'two', deduplication: { id: 'd' } })
    await flows.add({
      name: 'parent',
      queueName: queue,
      opts: { jobId: 'parent' },
      children: ['child-1', 'child-2'].map(jobId => ({ name: 'child', queueName: queue, opts: { jobId } })),
    })
    await tasks.ring(jobs(queue, 40))
    await begin()
    const others = ['child-1', 'child-2', 'late', 'one', 'parent', 'urgent']
    await eventually(() => bench.ended.length === 46, { timeoutMs: 4_000 }) // long before anybody looks at an empty queue again
    expect([...bench.begun].sort()).toEqual([...others, ...jobs(queue, 40).map(({ id }) => id)].sort())
    await eventually(async () => expect(await left(place)).toEqual([]))
  })

  test('jobs that were taken run, though BullMQ could not be asked for those of somebody else', async () => {
    const { redis, key, tasks, bench, begin } = await shared(9)
    await redis.set(key('prioritized'), 'not what BullMQ keeps there')
    await tasks.ring(jobs(queue, 4)) // taken by one, two, and one where up to four were wished for
    await begin()
    await eventually(() => bench.begun.length === 4, { timeoutMs: 4_000 })
  })

  test('a rate limit of the queue is kept, and no longer', async () => {
    const place = await shared(20)
    const { own, tasks, bench, begin } = place
    bench.finishAll()
    await own.setGlobalRateLimit(5, 300)
    await tasks.ring(jobs(queue, 20))
    const began = performance.now()
    await begin()
    await eventually(() => bench.ended.length === 20, { timeoutMs: 10_000 })
    expect(performance.now() - began).toBeGreaterThan(800)
    expect(performance.now() - began).toBeLessThan(3_000)
    await eventually(async () => expect((await left(place)).filter(name => name !== 'limiter')).toEqual([]))
  })

  test('a global concurrency is kept, by whoever takes and whoever finishes', async () => {
    const place = await shared(20)
    const { own, tasks, bench, begin } = place
    await own.setGlobalConcurrency(3)
    await tasks.ring(jobs(queue, 12))
    await begin()
    await eventually(() => bench.active.length === 3)
    for (let ended = 0; ended < 12; ended++) {
      await eventually(() => bench.active.length === Math.min(3, 12 - ended), { timeoutMs: 4_000 })
      bench.finish()
      await eventually(() => bench.ended.length === ended + 1)
    }
    expect(bench.peak).toBe(3)
    await eventually(async () => expect(await left(place)).toEqual([]))
  })

  test('under a global concurrency whoever has slots learns at once that another made room', async () => {
    const place = await shared(3)
    const { own, tasks, bench, begin } = place
    bench.finishAll()
    await own.setGlobalConcurrency(1)
    await begin()
    await begin()
    const count = 200 // each slot gives way to others after 20 jobs
    await tasks.ring(jobs(queue, count))
    await eventually(() => bench.ended.length === count, { timeoutMs: 4_000 }) // long before anybody looks at a queue again unasked
    await eventually(async () => expect(await left(place)).toEqual([]))
  })
})
