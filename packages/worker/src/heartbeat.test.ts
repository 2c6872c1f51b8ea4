import type { WorkerInfo } from '@baton/shared'
import { maxMessageBytes, silentLogger } from '@baton/shared/node'
import { afterEach, expect, test, vi } from 'vitest'
import { type AgentContext, defineAgent } from './agent.js'
import { Heartbeat } from './heartbeat.js'
import { grant, type Script } from './testing/fake-coordinator.js'
import { delivery, type ExecutorStage, startExecutor } from './testing/start-executor.js'

let stage: ExecutorStage
let heartbeat: Heartbeat
const onDrain = vi.fn()
afterEach(async () => {
  await heartbeat.stop()
  await stage.stop()
  onDrain.mockReset()
})

const info: WorkerInfo = { id: 'w1', host: 'h', pid: 1, version: '0', pool: 'shared', concurrency: 1, agents: [] }

async function beat(script: Script = {}): Promise<ExecutorStage> {
  stage = await startExecutor(script)
  const { executor, uplink } = stage
  heartbeat = new Heartbeat({ worker: () => info, uplink, executor, log: silentLogger(), onDrain })
  await heartbeat.start(new AbortController().signal)
  await heartbeat.ready()
  return stage
}
const agent = (run: (context: AgentContext) => void) =>
  defineAgent({
    name: 'echo',
    run: (_, context) =>
      new Promise((_, reject) => {
        context.signal.addEventListener('abort', () => reject(context.signal.reason), { once: true })
        run(context)
      }),
  })
const reply = (parts: object = {}) => ({ body: { abort: [], known: true, drain: false, ...parts } })

test('it registers first and beats as often as it is told', async () => {
  const { coordinator } = await beat()
  expect(coordinator.requests[0]).toMatchObject({ type: 'register', worker: { ...info, state: 'starting' } })
  await vi.waitFor(() => expect(coordinator.of('heartbeat').length).toBeGreaterThan(3))
  expect(coordinator.of('heartbeat')[0]).toMatchObject({ worker_id: 'w1', state: 'starting', active: [], load: {} })
  expect(coordinator.of('heartbeat').at(-1)).toMatchObject({ worker_id: 'w1', state: 'ready' })
})

test('a coordinator that does not know the worker makes it register again', async () => {
  const { coordinator } = await beat({ heartbeat: (_, n) => reply({ known: n !== 2 }) })
  await vi.waitFor(() => expect(coordinator.of('register')).toHaveLength(2))
})

test('what runs is listed, with its progress once', async () => {
  const { coordinator, executor } = await beat()
  const delivered = executor.deliver(
    agent(context => context.progress({ at: 1 })),
    delivery,
  )
  const running = () => coordinator.of('heartbeat').filter(({ load }) => load.echo === 1) // the claim may be listed before it is granted
  await vi.waitFor(() => expect(running().length).toBeGreaterThan(2))
  const beats = running()
  const claimId = coordinator.of('claim')[0]?.items[0]?.claim_id
  expect(beats[0]).toMatchObject({ active: [{ subtask: '7', claim_id: claimId }], load: { echo: 1 } })
  expect(beats.flatMap(({ active }) => active.flatMap(({ progress }) => progress ?? []))).toEqual(['{"at":1}'])
  executor.releaseAll()
  await delivered
})

test('a claim that is lost is aborted', async () => {
  const { executor } = await beat({ heartbeat: ({ active }) => reply({ abort: active.map(claim => claim.claim_id) }) })
  const seen = vi.fn()
  await executor.deliver(
    agent(context => context.signal.addEventListener('abort', () => seen(context.signal.reason))),
    delivery,
  )
  expect(seen).toHaveBeenCalledWith(expect.objectContaining({ code: 'attempt_aborted' }))
})

test('a claim that is not answered yet is listed, and is not aborted once it is granted', async () => {
  let listed = () => {}
  const wasListed = new Promise<void>(resolve => {
    listed = resolve
  })
  const stillAsked = { abort: [] as string[] }
  const { coordinator, executor } = await beat({
    // The claim is granted, and the answer to the heartbeat that was sent before comes after.
    heartbeat: async ({ active }) => {
      if (active.length === 0 || stillAsked.abort.length > 0) return reply()
      stillAsked.abort = active.map(claim => claim.claim_id)
      listed()
      await vi.waitFor(() => expect(executor.active.size).toBe(1))
      return reply(stillAsked)
    },
    claim: async ({ items }) => {
      await wasListed
      return { body: { results: items.map(() => ({ status: 'granted', grant: grant() })) } }
    },
  })
  const seen = vi.fn()
  const delivered = executor.deliver(
    agent(context => context.signal.addEventListener('abort', () => seen(context.signal.reason))),
    delivery,
  )
  await wasListed
  const before = coordinator.of('heartbeat').length
  await vi.waitFor(() => expect(coordinator.of('heartbeat').length).toBeGreaterThan(before + 2))
  expect(stillAsked.abort).toEqual([...executor.active.keys()])
  expect(seen).not.toHaveBeenCalled()
  executor.releaseAll()
  await delivered
  expect(executor.claiming.size).toBe(0)
})

test('the word to drain is passed on, and the state told from then on', async () => {
  const { coordinator } = await beat({ heartbeat: (_, n) => reply({ drain: n === 1 }) })
  await vi.waitFor(() => expect(onDrain).toHaveBeenCalled())
  heartbeat.drain()
  await vi.waitFor(() => expect(coordinator.of('heartbeat').at(-1)?.state).toBe('draining'))
})

test('it says goodbye, and waits no longer than a second for an answer', async () => {
  const { coordinator } = await beat()
  await heartbeat.stop()
  expect(coordinator.of('heartbeat').at(-1)?.state).toBe('stopped')
})

test('much progress of many attempts is spread over heartbeats that each fit into a message', async () => {
  const { coordinator, executor } = await beat()
  const delivered = Promise.all(
    Array.from({ length: 100 }, () =>
      executor.deliver(
        agent(context => context.progress('"'.repeat(8_000))), // quotes take twice their bytes on the way, and twice again
        delivery,
      ),
    ),
  )
  const told = () => coordinator.of('heartbeat').flatMap(({ active }) => active.filter(claim => claim.progress !== undefined))
  await vi.waitFor(() => expect(told()).toHaveLength(100), { timeout: 10_000 })
  expect(new Set(told().map(claim => claim.claim_id)).size).toBe(100)
  for (const request of coordinator.of('heartbeat')) expect(JSON.stringify(request).length).toBeLessThan(maxMessageBytes)
  executor.releaseAll()
  await delivered
})

test('it stops though nobody answers any more', async () => {
  const { coordinator } = await beat()
  coordinator.answer({ heartbeat: () => 'silence' })
  const heard = coordinator.of('heartbeat').length
  await vi.waitFor(() => expect(coordinator.of('heartbeat').length).toBeGreaterThan(heard)) // one is under way
  await heartbeat.stop()
})
