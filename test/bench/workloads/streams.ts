/** What a thousand clients of event streams cost one coordinator, and whether each of them gets everything. */
import { Agent, get, type IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@baton/client'
import { type Figure, figure, peak, type Section } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { chainOf } from '../graphs.js'
import { cpuBetween, cpuSecondsOf, peakBytes } from '../measure.js'
import type { BenchContext, Workload } from '../workload.js'

const clients = 1_000
/** Of those that follow one task each; the others follow everything. */
const ofTasks = 500
const tasks = 50
const everyMs = 200
const idleMs = 10_000
const openingAtOnce = 50
/** How long after the last task events may still arrive, before they count as missing. */
const lastMs = 30_000

export const streams: Workload = context =>
  withBenchFleet({ workers: 1, context }, async fleet => {
    const { rounds, signal, say } = context
    const url = fleet.urls[0]
    const client = createClient({ url })
    const coordinator = { coordinator: fleet.pids.coordinator ?? 0 }
    const found = { idle: [] as number[], cpu: [] as number[], missing: 0, repeated: 0, events: [] as number[] }
    for (let n = 1; n <= rounds; n++) {
      const ids = Array.from({ length: tasks }, (_, i) => `streams-${n}-${i}`)
      await client.tasks.submitMany(ids.map(id => ({ ...chainOf(id, 3), execute: false })))
      const agent = new Agent({ keepAlive: false })
      const all = await openAll(
        Array.from({ length: clients }, (_, i) => (i < ofTasks ? `${url}/tasks/${ids[i % tasks]}/events` : `${url}/events`)),
        agent,
        context,
      )
      try {
        const before = cpuSecondsOf(coordinator)
        await delay(idleMs, undefined, { signal })
        found.idle.push((100 * cpuBetween(before, cpuSecondsOf(coordinator)).coordinator) / (idleMs / 1_000))
        const begun = cpuSecondsOf(coordinator)
        for (const id of ids) {
          await client.tasks.execute(id)
          await delay(everyMs, undefined, { signal })
        }
        for (const id of ids) await client.tasks.wait(id, { signal })
        const counted = await countArrivals(all, ids, { list: id => eventsOf(client, id), signal })
        found.cpu.push(cpuBetween(begun, cpuSecondsOf(coordinator)).coordinator)
        found.missing += counted.missing
        found.repeated += counted.repeated
        found.events.push(counted.arrived)
        say(
          `streams ${n}/${rounds}: ${counted.arrived} events arrived at ${clients} clients, ${counted.missing} missing, ${(peakBytes(coordinator.coordinator) / 1e6).toFixed(0)} MB at the peak`,
        )
      } finally {
        for (const each of all) each.response.destroy()
        agent.destroy()
      }
    }
    const peakMegabytes = peakBytes(coordinator.coordinator) / 1e6
    return [
      sectionOf([
        peak("the coordinator's memory at its peak", 'MB', [peakMegabytes], { below: 300 }),
        figure('events missing', '', [found.missing], { atMost: 0 }),
        figure('events repeated', '', [found.repeated], { atMost: 0 }),
        figure('events that arrived, of a round', '', found.events),
        figure('coordinator, CPU while events flow, of a round', 's', found.cpu),
        figure('coordinator, CPU while none flow', '% of a core', found.idle),
      ]),
    ]
  })

interface Follower {
  readonly path: string
  readonly response: IncomingMessage
  /** Ids of events, as they came. */
  readonly ids: string[]
}

async function openAll(urls: readonly string[], agent: Agent, { signal }: BenchContext): Promise<Follower[]> {
  const open: Follower[] = []
  for (let n = 0; n < urls.length; n += openingAtOnce) {
    signal.throwIfAborted()
    open.push(...(await Promise.all(urls.slice(n, n + openingAtOnce).map(url => follow(url, agent)))))
  }
  return open
}

/** As little as can be done with a stream: the clients share the machine with the coordinator. */
function follow(url: string, agent: Agent): Promise<Follower> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, headers: { accept: 'text/event-stream' } }, response => {
      if (response.statusCode !== 200) return reject(new Error(`${url} was answered ${response.statusCode}`))
      const ids: string[] = []
      let rest = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        const frames = (rest + chunk).split('\n\n')
        rest = frames.pop() ?? ''
        for (const frame of frames) {
          const id = /^id: (\S+)\nevent: /.exec(frame)?.[1] // a sign of life has an id too, and no event
          if (id !== undefined) ids.push(id)
        }
      })
      response.on('error', () => undefined) // it is let go of at the end
      resolve({ path: new URL(url).pathname, response, ids })
    })
    request.on('error', reject)
  })
}

async function eventsOf(client: ReturnType<typeof createClient>, taskId: string): Promise<{ id: string; planned: boolean }[]> {
  const { events } = await client.events.list({ taskId, limit: 1_000 })
  return events.map(({ id, name }) => ({ id, planned: name === 'task.planned' }))
}

interface Stored {
  readonly list: (taskId: string) => Promise<{ id: string; planned: boolean }[]>
  readonly signal: AbortSignal
}

/** Who follows everything came after the tasks were planned; who follows a task is told from its beginning. */
async function countArrivals(all: readonly Follower[], ids: readonly string[], { list, signal }: Stored) {
  const stored = new Map<string, { id: string; planned: boolean }[]>()
  for (const id of ids) stored.set(`/tasks/${id}/events`, await list(id))
  const later = [...stored.values()].flatMap(events => events.filter(({ planned }) => !planned).map(({ id }) => id))
  const expected = ({ path }: Follower) => stored.get(path)?.map(({ id }) => id) ?? later
  const missingOf = (each: Follower) => {
    const had = new Set(each.ids)
    return expected(each).filter(id => !had.has(id)).length
  }
  const sum = (of: (each: Follower) => number) => all.reduce((total, each) => total + of(each), 0)
  const until = performance.now() + lastMs
  while (sum(missingOf) > 0 && performance.now() < until) await delay(200, undefined, { signal })
  return {
    missing: sum(missingOf),
    repeated: sum(({ ids: had }) => had.length - new Set(had).size),
    arrived: sum(({ ids: had }) => had.length),
  }
}

function sectionOf(figures: readonly Figure[]): Section {
  return {
    title: `Streams: ${clients} clients on one coordinator`,
    how: [
      `${ofTasks} clients follow one task each, ${clients - ofTasks} follow everything, each on a connection of its own. After ${idleMs / 1_000} s in which nothing happens,`,
      `${tasks} chains of 3 run, one every ${everyMs} ms. What arrived is compared with what GET /events lists. The memory is the largest that the`,
      "coordinator's process has ever held (VmHWM), from its start on.",
    ],
    figures,
  }
}
