/** How soon a webhook leaves: from the commit of its event until a receiver has it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, createClient } from '@baton/client'
import { type CommitTimes, commitTimesOf } from '../commit-times.js'
import { type Figure, figure, peak, type Section } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { chainOf } from '../graphs.js'
import { quantile } from '../measure.js'
import type { BenchContext, Workload } from '../workload.js'

const targetMs = 200
/** Of the tasks `idle`, one after the other; of `load`, beside each other. */
const phases = [
  { name: 'idle', tasks: 40, everyMs: 250 },
  { name: 'load', tasks: 150, everyMs: 100 },
] as const
const warmUpTasks = 20
/** How long after the last task deliveries may still arrive, before they count as missing. */
const lastMs = 15_000

interface Arrivals {
  readonly url: string
  /** Milliseconds since 1970 by the id of the event, the first time that it came. */
  readonly at: ReadonlyMap<string, number>
  stop(): Promise<void>
}

export const webhooks: Workload = context =>
  withBenchFleet({ workers: 1, context, settings: { BATON_WEBHOOK_NETWORKS: '127.0.0.1' } }, async fleet => {
    if (!fleet.postgres) throw new Error('this needs a PostgreSQL of its own, from programs on this machine')
    const [commits, arrivals] = [await commitTimesOf(fleet.postgres), await receive()]
    try {
      const client = createClient({ url: fleet.urls[0] })
      await client.webhooks.create({ url: `${arrivals.url}/hook`, events: ['*'] })
      await send(client, { name: 'warm-up', tasks: warmUpTasks, everyMs: 50 }, context)
      const figures: Figure[] = []
      for (const phase of phases) {
        const done: Awaited<ReturnType<typeof lagsOf>>[] = []
        for (let n = 1; n <= context.rounds; n++) {
          const prefix = `webhooks-${phase.name}-${n}`
          const from = performance.now()
          await send(client, { ...phase, name: prefix }, context)
          const seconds = (performance.now() - from) / 1_000
          const round = await lagsOf(prefix, { commits, arrivals, context })
          done.push(round)
          context.say(
            `webhooks, ${phase.name} ${n}/${context.rounds}: ${(round.lags.length / seconds).toFixed(0)}/s, p50 ${quantile(round.lags, 0.5).toFixed(1)} ms, max ${Math.max(...round.lags).toFixed(1)} ms`,
          )
        }
        const quantiles = (of: 'lags' | 'untilMade' | 'untilSent', q: number) => done.map(each => quantile(each[of], q))
        figures.push(
          peak(`${phase.name}, longest`, 'ms', quantiles('lags', 1), { atMost: targetMs }),
          figure(`${phase.name}, p99`, 'ms', quantiles('lags', 0.99)),
          figure(`${phase.name}, p50`, 'ms', quantiles('lags', 0.5)),
          figure('- from the commit until its delivery was made, p50', 'ms', quantiles('untilMade', 0.5)),
          figure('- p99', 'ms', quantiles('untilMade', 0.99)),
          figure('- from there until it was sent, p50', 'ms', quantiles('untilSent', 0.5)),
          figure('- p99', 'ms', quantiles('untilSent', 0.99)),
          figure(
            `${phase.name}, deliveries missing`,
            '',
            done.map(({ missing }) => missing),
            { atMost: 0 },
          ),
        )
      }
      return [sectionOf(figures)]
    } finally {
      await arrivals.stop()
      await commits.close()
    }
  })

/** Submits at an even pace, whatever becomes of it; resolves when all have ended. */
async function send(client: Client, { name, tasks, everyMs }: { name: string; tasks: number; everyMs: number }, { signal }: BenchContext) {
  const begun = performance.now()
  const ended: Promise<unknown>[] = []
  for (let n = 0; n < tasks; n++) {
    const id = `${name}-${n}`
    ended.push(client.tasks.submit(chainOf(id, 3)).then(() => client.tasks.wait(id, { signal })))
    await delay(Math.max(0, begun + (n + 1) * everyMs - performance.now()), undefined, { signal })
  }
  await Promise.all(ended)
}

/** The receiver shares this machine, hence its clock, with the database. */
async function lagsOf(prefix: string, { commits, arrivals, context }: { commits: CommitTimes; arrivals: Arrivals; context: BenchContext }) {
  const committed = await commits.of(prefix)
  const until = performance.now() + lastMs
  const missing = () => [...committed.keys()].filter(id => !arrivals.at.has(id))
  while (missing().length > 0 && performance.now() < until) await delay(20, undefined, { signal: context.signal })
  // How a delivery went is stored after its arrival.
  const untold = async () => [...(await commits.of(prefix)).values()].filter(({ sentAt }) => sentAt === null).length
  while ((await untold()) > missing().length && performance.now() < until) await delay(100, undefined, { signal: context.signal })
  const found = { lags: [] as number[], untilMade: [] as number[], untilSent: [] as number[], missing: missing().length }
  for (const [id, { committedAt, madeAt, sentAt }] of await commits.of(prefix)) {
    const arrivedAt = arrivals.at.get(id)
    if (arrivedAt === undefined || madeAt === null || sentAt === null) continue
    found.lags.push(Math.max(0, arrivedAt - committedAt))
    found.untilMade.push(Math.max(0, madeAt - committedAt))
    found.untilSent.push(Math.max(0, sentAt - madeAt))
  }
  return found
}

async function receive(): Promise<Arrivals> {
  const at = new Map<string, number>()
  const server = createServer((request, response) => {
    const arrivedAt = Date.now()
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      const { data } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { data: { id: string } } // a coordinator's word
      if (!at.has(data.id)) at.set(data.id, arrivedAt)
      response.writeHead(204).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on TCP
    at,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function sectionOf(figures: readonly Figure[]): Section {
  const [idle, load] = phases
  return {
    title: 'Webhooks: from the commit of an event to its arrival',
    how: [
      'One subscription to all events, one receiver on this machine that answers at once. Time runs from the commit of the event, by the',
      "database's clock (track_commit_timestamp), until the head of the request is there; whole milliseconds. Every event counts. Idle: a",
      `chain of 3 every ${idle.everyMs} ms; load: one every ${load.everyMs} ms. A run is the quantile of one round.`,
    ],
    figures,
  }
}
