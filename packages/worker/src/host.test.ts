import { randomUUID } from 'node:crypto'
import { failure, type Outcome, subjects } from '@baton/shared'
import { MemoryBusHub, MemoryQueue, silentLogger } from '@baton/shared/node'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Agent, type AgentContext, defineAgent } from './agent.js'
import { type Host, type HostOptions, startHost } from './host.js'
import { type FakeCoordinator, type Script, startFakeCoordinator } from './testing/fake-coordinator.js'

let hub: MemoryBusHub
let queue: MemoryQueue
let host: Host | undefined
const named = subjects('test')
const buses: { close(): Promise<void> }[] = []
beforeEach(() => {
  hub = new MemoryBusHub()
  queue = new MemoryQueue()
})
afterEach(async () => {
  await host?.stop()
  host = undefined
  await queue.close()
  for (const bus of buses.splice(0)) await bus.close()
})
const connect = () => {
  const bus = hub.connect()
  buses.push(bus)
  return bus
}
const coordinate = (script: Script = {}): Promise<FakeCoordinator> => startFakeCoordinator(connect(), script)
const starting = (agents: Agent[], options: Partial<HostOptions> = {}) =>
  startHost({ agents, bus: connect(), consumer: queue, namespace: 'test', log: silentLogger(), ...options })
async function start(agents: Agent[], options: Partial<HostOptions> = {}): Promise<Host> {
  host = await starting(agents, options)
  return host
}
const ring = (name: string, n = 1) =>
  queue.ring(Array.from({ length: n }, (_, i) => ({ queue: name, id: randomUUID(), delivery: { v: 1, s: String(i + 1), a: 1 } })))
const outcomes = (coordinator: FakeCoordinator): Outcome[] =>
  coordinator.of('report').flatMap(({ items }) => items.map(item => (item as { outcome: Outcome }).outcome))
const say = (subject: string, word: object) => connect().publish(subject, JSON.stringify({ v: 1, ...word }))

const echo = defineAgent({ name: 'echo', capabilities: ['say', 'repeat'], concurrency: 2, run: input => input })
/** Runs until `end` is called or it is told to stop. */
function held() {
  const contexts: AgentContext[] = []
  const ends: (() => void)[] = []
  const agent = defineAgent({
    name: 'held',
    concurrency: 2,
    run: (_, context) =>
      new Promise((resolve, reject) => {
        contexts.push(context)
        ends.push(() => resolve('held out'))
        context.signal.addEventListener('abort', () => reject(context.signal.reason), { once: true })
      }),
  })
  return {
    agent,
    contexts,
    end: () => {
      for (const end of ends) end()
    },
  }
}

describe('a worker', () => {
  test('registers what it hosts, and waits for a coordinator as long as it takes', async () => {
    const started = starting([echo])
    const coordinator = await coordinate()
    host = await started
    expect(coordinator.of('register')[0]?.worker).toMatchObject({
      id: host.id,
      pid: process.pid,
      pool: 'shared',
      concurrency: 2,
      agents: [
        {
          name: 'echo',
          capabilities: ['say', 'repeat'],
          concurrency: 2,
          sla_ms: null,
          queue_wait_ms: null,
          deadline_ms: null,
          lease_ms: null,
          kind: 'module',
        },
      ],
    })
  })

  test('whose start is given up stops waiting', async () => {
    const controller = new AbortController()
    const started = starting([echo], { signal: controller.signal })
    controller.abort()
    await expect(started).rejects.toMatchObject({ code: 'attempt_aborted' })
  })

  test('takes work of each of its capabilities and of its own name, within its slots', async () => {
    const coordinator = await coordinate()
    const { agent, contexts, end } = held()
    await start([echo, agent])
    for (const name of ['shared.c.say', 'shared.c.repeat', 'shared.a.echo']) await ring(name)
    await vi.waitFor(() => expect(outcomes(coordinator)).toHaveLength(3))
    await ring('shared.c.held', 3)
    await ring('shared.a.held', 3)
    await vi.waitFor(() => expect(contexts).toHaveLength(2))
    expect(coordinator.of('claim').flatMap(({ items }) => items)).toHaveLength(5)
    await vi.waitFor(() => {
      end()
      expect(outcomes(coordinator)).toHaveLength(9)
    })
  })

  test('aborts what a word names', async () => {
    const coordinator = await coordinate()
    const { agent, contexts } = held()
    const { id } = await start([agent])
    await ring('shared.c.held', 2)
    await vi.waitFor(() => expect(contexts).toHaveLength(2))
    const [first] = coordinator.of('claim').flatMap(({ items }) => items)
    say(named.worker(id), { type: 'abort', claim_ids: [first?.claim_id, 'unknown'] })
    await vi.waitFor(() => expect(outcomes(coordinator)).toMatchObject([{ kind: 'failed', failure: { code: 'attempt_aborted' } }]))
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([true, false])
  })

  test('does not mind words that are none', async () => {
    await coordinate()
    const { id } = await start([echo])
    for (const word of ['', '{', 'null', '{"type":"abort"}', '{"v":1,"type":"dance"}']) connect().publish(named.worker(id), word)
    await expect((host as Host).drain()).resolves.toBeUndefined()
  })
})

describe('draining', () => {
  test('finishes what runs and takes nothing more', async () => {
    const coordinator = await coordinate()
    const { agent, contexts, end } = held()
    const { drain, ended } = await start([agent])
    await ring('shared.c.held', 2)
    await vi.waitFor(() => expect(contexts).toHaveLength(2))
    const drained = drain()
    await ring('shared.c.held', 2)
    await vi.waitFor(() => expect(coordinator.of('heartbeat').at(-1)?.state).toBe('draining'))
    end()
    await drained
    expect(await ended).toEqual({ restart: false })
    expect(outcomes(coordinator).map(outcome => outcome.kind)).toEqual(['completed', 'completed'])
    expect(contexts).toHaveLength(2)
    expect(coordinator.of('heartbeat').at(-1)?.state).toBe('stopped')
  })

  test('gives back what still runs after its time', async () => {
    const coordinator = await coordinate()
    const { agent, contexts } = held()
    const { drain } = await start([agent], { drainMs: 50 })
    await ring('shared.c.held', 2)
    await vi.waitFor(() => expect(contexts).toHaveLength(2))
    await drain()
    expect(outcomes(coordinator)).toMatchObject([{ kind: 'released' }, { kind: 'released' }])
  })

  test('by a word to all workers says whether to start again', async () => {
    await coordinate()
    const { ended } = await start([echo])
    say(named.workers, { type: 'drain', restart: true })
    expect(await ended).toEqual({ restart: true })
  })

  test('by the answer to a heartbeat ends the worker', async () => {
    await coordinate({ heartbeat: () => ({ body: { abort: [], known: true, drain: true } }) })
    const { ended } = await start([echo])
    expect(await ended).toEqual({ restart: false })
  })

  test('that is asked for during the start begins when everything has started', async () => {
    const coordinator = await coordinate({
      register: (_, n) => {
        if (n > 1) return { body: { coordinator: 'c1', lease_ms: 1_000, heartbeat_ms: 20 } }
        say(named.workers, { type: 'drain', restart: true })
        return { busy: failure('unavailable', 'not now') }
      },
    })
    host = await starting([echo])
    expect(await host.ended).toEqual({ restart: true })
    expect(coordinator.of('heartbeat').at(-1)?.state).toBe('stopped')
  })

  test('stopping gives back at once, also when a drain is under way, and nothing is done twice', async () => {
    const coordinator = await coordinate()
    const { agent, contexts } = held()
    const { drain, stop } = await start([agent])
    await ring('shared.c.held')
    await vi.waitFor(() => expect(contexts).toHaveLength(1))
    const drained = drain()
    await Promise.all([stop(), stop(), drained])
    expect(outcomes(coordinator)).toMatchObject([{ kind: 'released', failure: { code: 'worker_draining' } }])
    expect(coordinator.of('heartbeat').filter(({ state }) => state === 'stopped')).toHaveLength(1)
  })
})
