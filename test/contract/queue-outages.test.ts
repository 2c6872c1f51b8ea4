import { createRequire } from 'node:module'
import { inspect } from 'node:util'
import { missingServers, startRedis, startTcpProxy } from '@baton/cli/servers'
import { type NextJob, Slots, silentLogger } from '@baton/shared/node'
import { describe, expect, test } from 'vitest'
import { openBullmqQueue } from '../../packages/coordinator/src/dispatch/bullmq-queue.js'
import { openBullmqConsumer } from '../../packages/worker/src/bullmq-consumer.js'
import { cleanUp, eventually, flushNamespace, freshNamespace, ownServer, redisCommand, servers } from '../harness/index.js'
import { Bench, consume, jobs, openBullmq, untilBegun } from './queues.js'

// An operator's hand on a queue.
const { Queue } = createRequire(new URL('../../packages/worker/package.json', import.meta.url))('bullmq') as typeof import('bullmq')

describe('BullMQ', () => {
  test('after a FLUSHALL everything is missing, and can be rung again', async () => {
    const { redisUrl } = await servers()
    const namespace = await freshNamespace()
    const { queue, consumer } = await openBullmq(redisUrl, namespace)
    const bench = new Bench()
    await queue.claimEpoch()
    await consume(await consumer(), 'a', new Slots(1), bench)
    await queue.ring(jobs('a', 3))
    await untilBegun(bench, 1)
    await flushNamespace(redisUrl, namespace)
    expect(await queue.missing(jobs('a', 3), 60_000)).toEqual(['a-1', 'a-2', 'a-3'])
    expect(await queue.claimEpoch()).toBe(true)
    await queue.ring(jobs('a', 3, 'again'))
    bench.finishAll()
    await eventually(() => bench.ended.length === 4)
    expect(bench.begun).toEqual(['a-1', 'again-1', 'again-2', 'again-3'])
  })

  test('namespaces on one server do not meet', async () => {
    const { redisUrl } = await servers()
    const [one, other] = [await openBullmq(redisUrl, await freshNamespace()), await openBullmq(redisUrl, await freshNamespace())]
    await one.queue.ring(jobs('a', 1))
    expect(await other.queue.waiting(['a'])).toEqual(new Map([['a', 0]]))
  })

  test('Redis is killed and comes back: ringing fails fast meanwhile, deliveries resume', async () => {
    const redis = await ownServer('redis')
    const { queue, consumer } = await openBullmq(redis.url, 'outage')
    const bench = new Bench()
    const consumption = await consume(await consumer(), 'a', new Slots(2), bench)
    await queue.ring(jobs('a', 1, 'before'))
    await untilBegun(bench, 1)

    await redis.kill()
    for (let n = 0; n < 3; n++) {
      const begin = performance.now()
      await expect(queue.ring(jobs('a', 1, `during-${n}`))).rejects.toThrow()
      await expect(queue.missing(jobs('a', 1), 1_000)).rejects.toThrow()
      expect(performance.now() - begin).toBeLessThan(1_000)
    }
    bench.finish() // its end cannot be told to Redis at present
    await redis.restart()

    const begin = performance.now()
    await eventually(() => queue.ring(jobs('a', 10, 'after')))
    bench.finishAll()
    await eventually(() => bench.begun.filter(id => id.startsWith('after')).length === 10, { timeoutMs: 20_000 })
    expect(performance.now() - begin).toBeLessThan(20_000)
    await consumption.stop()
  }, 60_000)

  test('what follows a job runs though Redis was killed in between', async () => {
    const redis = await ownServer('redis')
    const { queue, consumer } = await openBullmq(redis.url, 'outage')
    const begun: string[] = []
    const delivery = { v: 1, s: '2', a: 1 }
    const next: NextJob = {
      ...{ id: 'next', delivery, giveBack: () => Promise.reject(new Error('it was not paused')) },
      run: async () => {
        begun.push('next')
        return undefined
      },
    }
    const slots = new Slots(1)
    await (await consumer()).consume('a', slots, async id => {
      begun.push(id)
      if (begun.length > 1) return undefined
      await redis.kill()
      return next
    })
    await queue.ring(jobs('a', 1))
    await eventually(() => begun.length === 2)
    await redis.restart()
    await eventually(() => queue.ring(jobs('a', 1, 'after')))
    await eventually(() => begun.includes('after-1') && slots.active === 0, { timeoutMs: 20_000 })
  }, 60_000)

  test('a queue that is paused gives out nothing: what was to follow is given back, and not left in it', async () => {
    const { redisUrl } = await servers()
    const namespace = await freshNamespace()
    const { queue, consumer } = await openBullmq(redisUrl, namespace)
    const { hostname: host, port } = new URL(redisUrl)
    const paused = new Queue('a', { connection: { host, port: Number(port || 6379) }, prefix: namespace })
    cleanUp(() => paused.close())
    const said: string[] = []
    const slots = new Slots(1)
    await (await consumer()).consume('a', slots, async id => {
      said.push(id)
      if (id !== 'a-1') return undefined
      await paused.pause()
      return {
        id: 'next',
        delivery: { v: 1, s: '2', a: 1 },
        run: () => Promise.reject(new Error('it was paused')),
        giveBack: async () => void said.push('given back'),
      }
    })
    await queue.ring(jobs('a', 1))
    await eventually(() => said.includes('given back') && slots.active === 0)
    await paused.resume()
    await queue.ring(jobs('a', 1, 'after'))
    await eventually(() => said.length === 3)
    expect(said).toEqual(['a-1', 'given back', 'after-1'])
  })

  test('a Redis that is silent is given up by whoever rings, and used again when it speaks', async () => {
    const redisUrl = new URL((await servers()).redisUrl)
    const namespace = await freshNamespace()
    const proxy = await startTcpProxy({ target: { host: redisUrl.hostname, port: Number(redisUrl.port || 6379) } })
    cleanUp(() => proxy.stop())
    redisUrl.host = `127.0.0.1:${proxy.port}`
    const { queue, consumer } = await openBullmq(redisUrl.href, namespace)
    const bench = new Bench()
    await consume(await consumer(), 'a', new Slots(1), bench)
    await queue.ring(jobs('a', 1))
    await untilBegun(bench, 1)
    proxy.stall()
    const begin = performance.now()
    await expect(queue.ring(jobs('a', 1, 'lost'))).rejects.toThrow()
    expect(performance.now() - begin).toBeLessThan(8_000)
    bench.finishAll()
    proxy.heal()
    await eventually(() => queue.ring(jobs('a', 3, 'after')))
    await eventually(() => bench.begun.includes('after-3'), { timeoutMs: 20_000 })
  })

  test('a worker stops though Redis is away', async () => {
    const redis = await ownServer('redis')
    const { queue, consumer } = await openBullmq(redis.url, 'outage')
    const side = await consumer()
    const bench = new Bench()
    await consume(side, 'busy', new Slots(1), bench)
    await consume(side, 'idle', new Slots(1), bench)
    await queue.ring(jobs('busy', 1))
    await untilBegun(bench, 1)
    await redis.kill()
    const begin = performance.now()
    const closing = side.close()
    bench.finishAll()
    await closing
    expect(performance.now() - begin).toBeLessThan(5_000)
  })

  test('a worker that stops while Redis is silent leaves no connection behind', async () => {
    const redis = await ownServer('redis')
    const sockets = () => process.getActiveResourcesInfo().filter(kind => kind === 'TCPSocketWrap').length
    const before = sockets()
    const side = await openBullmqConsumer({ url: redis.url, namespace: 'silent', log: silentLogger() })
    const begin = performance.now()
    await consume(side, 'a', new Slots(1), new Bench())
    await eventually(() => sockets() > before)
    redis.freeze()
    // BullMQ gives up a wait for a job after 6 s and connects anew: that is to happen while the consumer stops.
    await eventually(() => performance.now() - begin > 4_800)
    await side.close()
    await eventually(() => sockets() <= before, { timeoutMs: 4_000 })
  })

  test.each([
    ['already', () => AbortSignal.abort()],
    ['later', () => AbortSignal.timeout(300)],
  ])('waiting for Redis is given up when the signal says so, %s', async (_, signal) => {
    const redis = await ownServer('redis')
    await redis.kill()
    const options = { url: redis.url, namespace: 'nobody', log: silentLogger() }
    await expect(openBullmqQueue({ ...options, signal: signal() })).rejects.toMatchObject({ code: 'unreachable' })
    await expect(openBullmqConsumer({ ...options, signal: signal() })).rejects.toMatchObject({ code: 'unreachable' })
  })

  test.each([
    ['a password that is wrong', { username: 'somebody', password: 'wrong' }],
    ['a database that is not there', { pathname: '/99999' }],
  ])('%s is refused at once', async (_, change) => {
    const { redisUrl } = await servers()
    const url = Object.assign(new URL(redisUrl), change).href
    for (const open of [openBullmqQueue, openBullmqConsumer]) {
      const failure = await open({ url, namespace: 'nobody', log: silentLogger() }).then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(failure).toMatchObject({ code: 'invalid_configuration' })
      expect(inspect(failure, { depth: 9 })).not.toMatch(/'wrong'|:wrong/)
    }
  })
})

describe.skipIf((await missingServers()).includes('redis'))('a Redis that refuses (needs servers of its own, from a local binary)', () => {
  test('a primary that is demoted and keeps its connections is left for its successor', async () => {
    const [primary, replica] = [await startRedis(), await startRedis()]
    for (const server of [primary, replica]) cleanUp(() => server.stop())
    const proxy = await startTcpProxy({ target: { host: '127.0.0.1', port: primary.port } })
    cleanUp(() => proxy.stop())
    await redisCommand(replica.url, 'REPLICAOF', '127.0.0.1', String(primary.port))
    const { queue, consumer } = await openBullmq(`redis://127.0.0.1:${proxy.port}`, 'demoted')
    const bench = new Bench()
    const slots = new Slots(2)
    await consume(await consumer(), 'a', slots, bench)
    await queue.ring(jobs('a', 3))
    await untilBegun(bench, 2)
    await eventually(async () => expect(await redisCommand(replica.url, 'LLEN', 'demoted:a:active')).toBe('2'))

    await redisCommand(primary.url, 'REPLICAOF', '127.0.0.1', String(replica.port))
    await expect(queue.check()).rejects.toThrow('READONLY')
    bench.finish() // its end is told to the successor
    await redisCommand(replica.url, 'REPLICAOF', 'NO', 'ONE')
    proxy.redirect({ host: '127.0.0.1', port: replica.port })
    await eventually(() => queue.check(), { timeoutMs: 10_000 })
    await queue.ring(jobs('a', 10, 'after'))
    bench.finishAll()
    await eventually(() => bench.begun.filter(id => id.startsWith('after')).length === 10, { timeoutMs: 10_000 })
    await eventually(async () => expect(await redisCommand(replica.url, 'LLEN', 'demoted:a:active')).toBe('0'))
  }, 60_000)

  test('jobs whose ends Redis refuses for a while are finished as soon as it takes them', async () => {
    const redis = await ownServer('redis')
    const { queue, consumer } = await openBullmq(redis.url, 'refused')
    const bench = new Bench()
    await consume(await consumer(), 'a', new Slots(3), bench)
    await queue.ring(jobs('a', 3))
    await untilBegun(bench, 3)
    const active = () => redisCommand(redis.url, 'LLEN', 'refused:a:active')
    await redisCommand(redis.url, 'CONFIG', 'SET', 'min-replicas-to-write', '1')
    bench.finishAll()
    await eventually(() => bench.ended.length === 3)
    await expect(queue.check()).rejects.toThrow('NOREPLICAS')
    expect(await active()).toBe('3')
    await redisCommand(redis.url, 'CONFIG', 'SET', 'min-replicas-to-write', '0')
    await eventually(async () => expect(await active()).toBe('0'))
  })
})
