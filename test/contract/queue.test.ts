import { type NextJob, type Ring, Slots } from '@baton/shared/node'
import { describe, expect, test } from 'vitest'
import { eventually } from '../harness/index.js'
import { Bench, consume, jobs, queueKinds, untilBegun } from './queues.js'

/** Long enough for a job to arrive where it should not. */
const aWhile = () => new Promise(resolve => setTimeout(resolve, 60))

describe.each(queueKinds)('$name', ({ open }) => {
  describe('delivery', () => {
    test('a job that is rung is delivered once, as it was given', async () => {
      const { queue, consumer } = await open()
      const delivered: unknown[] = []
      const job: Ring = { queue: 'a', id: '7-1-1', delivery: { v: 1, s: '7', a: 1, tp: '00-ä🧪' } }
      await queue.ring([job])
      await (await consumer()).consume('a', new Slots(5), async (id, delivery) => void delivered.push({ id, delivery }))
      await eventually(() => delivered.length > 0)
      await aWhile()
      expect(delivered).toEqual([{ id: job.id, delivery: job.delivery }])
    })

    test('it comes to whoever waits already, and from the queue that he consumes only', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      await consume(await consumer(), 'a', new Slots(5), bench)
      await queue.ring([...jobs('b', 1), ...jobs('a', 2)])
      await untilBegun(bench, 2)
      await aWhile()
      expect(bench.begun.sort()).toEqual(['a-1', 'a-2'])
      expect(await queue.waiting(['a', 'b', 'c'])).toEqual(
        new Map([
          ['a', 0],
          ['b', 1],
          ['c', 0],
        ]),
      )
    })

    test('an id that waits or runs is not taken again', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      await queue.ring([...jobs('a', 1), ...jobs('a', 1)])
      await queue.ring(jobs('a', 1))
      expect(await queue.waiting(['a'])).toEqual(new Map([['a', 1]]))
      await consume(await consumer(), 'a', new Slots(5), bench)
      await untilBegun(bench, 1)
      await queue.ring(jobs('a', 1))
      await aWhile()
      expect(bench.begun).toEqual(['a-1'])
    })

    test('for one slot the order is that of ringing', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      bench.finishAll()
      const all = jobs('a', 60)
      await queue.ring(all.slice(0, 30))
      await queue.ring(all.slice(30))
      await consume(await consumer(), 'a', new Slots(1), bench)
      await untilBegun(bench, 60)
      expect(bench.begun).toEqual(all.map(j => j.id))
    })

    test('what goes ahead is taken before all that wait, the last one first', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      bench.finishAll()
      const [first, second, third, fourth] = jobs('a', 4) as [Ring, Ring, Ring, Ring]
      await queue.ring([first, second])
      await queue.ring([
        { ...third, ahead: true },
        { ...fourth, ahead: true },
      ])
      await consume(await consumer(), 'a', new Slots(1), bench)
      await untilBegun(bench, 4)
      expect(bench.begun).toEqual([fourth, third, first, second].map(j => j.id))
    })

    test('5,000 jobs in four queues are delivered to two consumers, each job once', async () => {
      const { queue, consumer } = await open()
      const names = ['a', 'b', 'c', 'd']
      const all = names.flatMap(name => jobs(name, 1_250))
      const bench = new Bench()
      bench.finishAll()
      for (const side of [await consumer(), await consumer()]) {
        const slots = new Slots(50)
        for (const name of names) await consume(side, name, slots, bench)
      }
      for (let i = 0; i < all.length; i += 1_000) await queue.ring(all.slice(i, i + 1_000))
      await eventually(() => bench.ended.length >= all.length, { timeoutMs: 20_000 })
      await aWhile()
      expect(bench.begun.length).toBe(all.length)
      expect(new Set(bench.begun)).toEqual(new Set(all.map(j => j.id)))
    })
  })

  describe('slots', () => {
    test('no more jobs run than there are slots; the next comes when one is free', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      await queue.ring(jobs('a', 9))
      await consume(await consumer(), 'a', new Slots(3), bench)
      for (let n = 3; n <= 9; n++) {
        await untilBegun(bench, n)
        expect(bench.active.length).toBeLessThanOrEqual(3)
        bench.finish()
      }
      bench.finishAll()
      await eventually(() => bench.ended.length === 9)
      expect(bench.peak).toBe(3)
    })

    test('queues that share slots do not exceed them together, and none starves the others', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      const slots = new Slots(1)
      const side = await consumer()
      await queue.ring(jobs('busy', 100))
      await consume(side, 'busy', slots, bench)
      await consume(side, 'quiet', slots, bench)
      await untilBegun(bench, 1)
      await queue.ring(jobs('quiet', 1))
      for (let n = 1; n <= 101; n++) {
        await untilBegun(bench, n)
        bench.finish()
      }
      expect(bench.peak).toBe(1)
      expect(bench.begun.indexOf('quiet-1')).toBeLessThan(50)
    })

    test('two consumers share a queue', async () => {
      const { queue, consumer } = await open()
      const benches = [new Bench(), new Bench()]
      for (const bench of benches) await consume(await consumer(), 'a', new Slots(1), bench)
      await queue.ring(jobs('a', 2))
      await eventually(() => benches.every(bench => bench.active.length === 1))
    })

    test('a free slot of another consumer is woken when the first has none', async () => {
      const { queue, consumer } = await open()
      const [full, free] = [new Bench(), new Bench()]
      const side = await consumer()
      const slots = new Slots(1)
      await consume(side, 'own', slots, full)
      await consume(side, 'shared', slots, full)
      await aWhile() // both wait for their queues
      await queue.ring(jobs('own', 1))
      await untilBegun(full, 1)
      await consume(await consumer(), 'shared', new Slots(5), free)
      await aWhile()
      for (let n = 1; n <= 5; n++) {
        await queue.ring(jobs('shared', 1, `shared-${n}`))
        await eventually(() => free.begun.length === n, { timeoutMs: 3_000 })
      }
      expect(full.begun).toEqual(['own-1'])
    })

    test('who stops does not keep the wake-ups from others, though his last jobs take long', async () => {
      const { queue, consumer } = await open()
      const [leaving, staying] = [new Bench(), new Bench()]
      const consumption = await consume(await consumer(), 'a', new Slots(2), leaving)
      await queue.ring(jobs('a', 1))
      await untilBegun(leaving, 1)
      await aWhile() // it waits for more, as the first in line
      await consume(await consumer(), 'a', new Slots(5), staying)
      await aWhile()
      const stopping = consumption.stop()
      await aWhile()
      await queue.ring(jobs('a', 1, 'later'))
      await eventually(() => staying.begun.length === 1, { timeoutMs: 3_000 })
      leaving.finishAll()
      await stopping
    })

    test('a slot that was full for long takes what came meanwhile', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      await consume(await consumer(), 'a', new Slots(1), bench)
      await queue.ring(jobs('a', 1))
      await untilBegun(bench, 1)
      await queue.ring(jobs('a', 1, 'later'))
      await aWhile()
      bench.finish()
      await eventually(() => bench.begun.includes('later-1'), { timeoutMs: 3_000 })
    })
  })

  test('the epoch is claimed once', async () => {
    const { queue } = await open()
    expect(await queue.claimEpoch()).toBe(true)
    expect(await queue.claimEpoch()).toBe(false)
  })

  describe('missing', () => {
    const ask = (...ids: string[]) => ids.map(id => ({ queue: 'a', id }))

    test('what waits is not missing; what nobody rang is', async () => {
      const { queue } = await open()
      await queue.ring(jobs('a', 2))
      expect(await queue.missing(ask('a-1', 'nobody', 'a-2'), 60_000)).toEqual(['nobody'])
      expect(await queue.missing([{ queue: 'b', id: 'a-1' }], 60_000)).toEqual(['a-1'])
      expect(await queue.missing([], 60_000)).toEqual([])
    })

    test('what runs is missing when it runs for too long, and when it has ended', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      await queue.ring(jobs('a', 1))
      await consume(await consumer(), 'a', new Slots(1), bench)
      await untilBegun(bench, 1)
      expect(await queue.missing(ask('a-1'), 60_000)).toEqual([])
      await eventually(async () => (await queue.missing(ask('a-1'), 50)).length === 1)
      bench.finish()
      await eventually(async () => (await queue.missing(ask('a-1'), 60_000)).length === 1)
    })

    test('hundreds are answered at once', async () => {
      const { queue } = await open()
      await queue.ring(jobs('a', 1_000))
      const missing = await queue.missing(ask(...jobs('a', 1_500).map(j => j.id)), 60_000)
      expect(missing).toEqual(
        jobs('a', 1_500)
          .slice(1_000)
          .map(j => j.id),
      )
    })
  })

  describe('a job that fails', () => {
    test.each([
      ['rejects', () => Promise.reject(new Error('no'))],
      [
        'throws at once',
        () => {
          throw new Error('no')
        },
      ],
    ])('whose consumer %s is finished all the same, and gives its slot back', async (_, fail) => {
      const { queue, consumer } = await open()
      const begun: string[] = []
      const slots = new Slots(1)
      await queue.ring(jobs('a', 3))
      await (await consumer()).consume('a', slots, id => {
        begun.push(id)
        return fail()
      })
      await eventually(() => begun.length === 3 && slots.active === 0)
      await eventually(async () => (await queue.missing(jobs('a', 3), 60_000)).length === 3)
      await aWhile()
      expect(begun).toEqual(['a-1', 'a-2', 'a-3'])
    })
  })

  describe('what is granted before it has a job', () => {
    const granted = (id: string, run: () => Promise<void>, giveBack = () => Promise.reject(new Error('the queue was open'))): NextJob => ({
      ...{ id, delivery: { v: 1, s: '1', a: 1 }, giveBack },
      run: async () => {
        await run()
        return undefined
      },
    })

    test('takes a slot, runs as a job of the queue, and leaves nothing behind; then the slot takes what waits', async () => {
      const { queue, consumer } = await open()
      const begun: string[] = []
      const slots = new Slots(1)
      const consumption = await (await consumer()).consume('a', slots, async id => void begun.push(id))
      const job = [{ queue: 'a', id: 'a-granted' }]
      let end = () => {}
      const ended = new Promise<void>(resolve => {
        end = resolve
      })
      const run = async () => {
        begun.push('a-granted')
        await ended
      }
      await eventually(() => consumption.begin(() => granted('a-granted', run))) // while the queue is asked for a job the slot is held for it
      await eventually(() => begun.length === 1)
      expect(await queue.missing(job, 60_000)).toEqual([])
      expect([slots.free, consumption.begin(() => granted('a-other', run))]).toEqual([0, false])
      await queue.ring(jobs('a', 1))
      await aWhile()
      expect(begun).toEqual(['a-granted'])
      end()
      await eventually(() => begun.length === 2)
      expect(begun).toEqual(['a-granted', 'a-1'])
      await eventually(async () => (await queue.missing([...job, ...jobs('a', 1)], 60_000)).length === 2)
      await eventually(() => slots.free === 1)
    })

    test('is waited for by a consumption that stops, which begins no more', async () => {
      const { consumer } = await open()
      const slots = new Slots(2)
      const consumption = await (await consumer()).consume('a', slots, async () => undefined)
      let end = () => {}
      const ended = new Promise<void>(resolve => {
        end = resolve
      })
      const order: string[] = []
      await eventually(() => consumption.begin(() => granted('a-granted', () => ended.then(() => void order.push('ran')))))
      const stopped = consumption.stop().then(() => order.push('stopped'))
      expect(consumption.begin(() => granted('a-late', async () => void order.push('late')))).toBe(false)
      end()
      await stopped
      expect(order).toEqual(['ran', 'stopped'])
    })
  })

  describe('a job that brings another one', () => {
    /** A chain of jobs, each of which brings the next; says when each began. */
    const chain = (name: string, length: number, begin: (id: string) => Promise<void> | void, n = 1): NextJob => ({
      id: `${name}-next-${n}`,
      delivery: { v: 1, s: String(n), a: 1 },
      run: async () => {
        await begin(`${name}-next-${n}`)
        return n < length ? chain(name, length, begin, n + 1) : undefined
      },
      giveBack: () => Promise.reject(new Error('the queue was open')),
    })

    test('is finished, and the other one runs next in its slot, as a job of the queue', async () => {
      const { queue, consumer } = await open()
      const begun: string[] = []
      const ids: string[] = []
      const slots = new Slots(1)
      let freed = false
      let peak = 0
      const begin = async (id: string) => {
        begun.push(id)
        peak = Math.max(peak, slots.active)
        const all = ['a-1', ...begun].map(each => ({ queue: 'a', id: each }))
        // The one before is finished as soon as its queue was told so.
        await eventually(async () => (await queue.missing(all, 60_000)).length === all.length - 1)
        ids.push(...all.map(each => each.id).filter(each => !ids.includes(each)))
        expect(await queue.missing([{ queue: 'a', id }], 60_000)).toEqual([])
      }
      await queue.ring(jobs('a', 2))
      await (await consumer()).consume('a', slots, async id => {
        if (id !== 'a-1') {
          freed = true
          return undefined
        }
        slots.passed()
        return chain('a', 3, begin)
      })
      await eventually(() => freed)
      expect(begun).toEqual(['a-next-1', 'a-next-2', 'a-next-3'])
      expect(peak).toBe(1)
      const all = [...jobs('a', 2), ...begun.map(id => ({ queue: 'a', id }))]
      await eventually(async () => (await queue.missing(all, 60_000)).length === all.length)
    })

    test('at many places at once, none of them is given to anybody else', async () => {
      const { queue, consumer } = await open()
      const begun: string[] = []
      const given: string[] = []
      const work = async (id: string): Promise<NextJob> => {
        given.push(id)
        return chain(id, 5, each => void begun.push(each))
      }
      await queue.ring(jobs('a', 150))
      for (const side of [await consumer(), await consumer()]) await side.consume('a', new Slots(60), work)
      await eventually(() => begun.length === 750)
      await aWhile()
      expect(given.sort()).toEqual(
        jobs('a', 150)
          .map(job => job.id)
          .sort(),
      )
      expect(new Set(begun).size).toBe(750)
    })

    test('one that fails is finished all the same, and its slot is free', async () => {
      const { queue, consumer } = await open()
      const slots = new Slots(1)
      const begun: string[] = []
      await queue.ring(jobs('a', 2))
      await (await consumer()).consume('a', slots, async id => {
        begun.push(id)
        return chain(id, 2, () => Promise.reject(new Error('no')))
      })
      await eventually(() => begun.length === 2 && slots.active === 0)
      const all = [...jobs('a', 2), { queue: 'a', id: 'a-1-next-1' }, { queue: 'a', id: 'a-2-next-1' }]
      await eventually(async () => (await queue.missing(all, 60_000)).length === all.length)
    })

    test('a consumption that stops waits for what follows, too', async () => {
      const { queue, consumer } = await open()
      let go: () => void = () => undefined
      const gate = new Promise<void>(resolve => {
        go = resolve
      })
      const begun: string[] = []
      await queue.ring(jobs('a', 1))
      const consumption = await (await consumer()).consume('a', new Slots(1), async () =>
        chain('a', 2, async id => {
          begun.push(id)
          await gate
        }),
      )
      await eventually(() => begun.length === 1)
      let stopped = false
      const stopping = consumption.stop().then(() => {
        stopped = true
      })
      await aWhile()
      expect(stopped).toBe(false)
      go()
      await stopping
      expect(begun).toEqual(['a-next-1', 'a-next-2'])
    })
  })

  describe('stop', () => {
    test('waits for the jobs that run, and takes no more', async () => {
      const { queue, consumer } = await open()
      const bench = new Bench()
      await queue.ring(jobs('a', 5))
      const consumption = await consume(await consumer(), 'a', new Slots(2), bench)
      await untilBegun(bench, 2)
      let stopped = false
      const stopping = consumption.stop().then(() => {
        stopped = true
      })
      await aWhile()
      expect(stopped).toBe(false)
      bench.finish()
      await aWhile()
      expect(stopped).toBe(false)
      bench.finish()
      await stopping
      await consumption.stop()
      await aWhile()
      expect([bench.begun, bench.ended]).toEqual([
        ['a-1', 'a-2'],
        ['a-1', 'a-2'],
      ])
      expect(await queue.waiting(['a'])).toEqual(new Map([['a', 3]]))
    })

    test('at any moment loses no job, and runs none afterwards', async () => {
      const { queue, consumer } = await open()
      const all = jobs('a', 400)
      await queue.ring(all)
      const begun: string[] = []
      const side = await consumer()
      for (let round = 0; round < 20; round++) {
        let stopped = false
        const consumption = await side.consume('a', new Slots(3), async id => {
          expect(stopped).toBe(false)
          begun.push(id)
          await new Promise(resolve => setTimeout(resolve, round % 3))
        })
        const goal = Math.min(begun.length + (round % 7), all.length)
        await eventually(() => begun.length >= goal, { everyMs: 1 })
        await consumption.stop()
        stopped = true
      }
      const bench = new Bench()
      bench.finishAll()
      await consume(side, 'a', new Slots(10), bench)
      await eventually(() => begun.length + bench.begun.length >= all.length)
      expect([...begun, ...bench.begun].sort()).toEqual(all.map(j => j.id).sort())
    })
  })

  describe('close', () => {
    test('may be called twice, and takes the consumptions with it', async () => {
      const { queue, consumer } = await open()
      const side = await consumer()
      const bench = new Bench()
      await consume(side, 'a', new Slots(1), bench)
      await queue.ring(jobs('a', 3))
      await untilBegun(bench, 1)
      let closed = false
      const closing = Promise.all([side.close(), side.close()]).then(() => {
        closed = true
      })
      await aWhile()
      expect(closed).toBe(false)
      bench.finish()
      await closing
      await side.close()
      await Promise.all([queue.close(), queue.close()])
      await queue.close()
      await aWhile()
      expect(bench.begun).toEqual(['a-1'])
    })
  })
})
