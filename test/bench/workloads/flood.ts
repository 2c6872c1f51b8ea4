/** W6: whether small tasks get their turn beside one that floods the fleet. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, createClient } from '@baton/client'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { type Ends, withEndsByDatabase } from '../ends.js'
import { figure } from '../figures.js'
import { withBenchFleet } from '../fleet.js'
import { flatOf, w1 } from '../graphs.js'
import { runMass } from '../mass.js'
import { ratiosOf } from '../ratios.js'
import type { Workload } from '../workload.js'

const flooding = 50_000
const small = { tasks: 9, subtasks: 10 }
const laterMs = 1_000

export const flood: Workload = context =>
  withBenchFleet({ workers: 1, context }, fleet =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      const { rounds, signal, say } = context
      const client = createClient({ url: fleet.urls[0] })
      await runMass({ target: fleet, mass: w1, inFlight: 100, ends, runs: 1 })
      const alone: number[] = []
      const beside: number[] = []
      const floods: number[] = []
      const stages: Stages[] = []
      for (let n = 1; n <= rounds; n++) {
        await delay(laterMs, undefined, { signal })
        alone.push(await nine({ client, ends, prefix: `w6-alone-${n}` }))
        const begun = performance.now()
        await client.tasks.submit(flatOf(`w6-flood-${n}`, flooding))
        const flooded = ends.of(`w6-flood-${n}`)
        await delay(laterMs, undefined, { signal })
        beside.push(await nine({ client, ends, prefix: `w6-beside-${n}` }))
        const besideEnd = performance.now()
        const { knownAt } = await flooded
        if (knownAt < besideEnd) throw new Error('the flood was over before the nine: nothing was measured')
        floods.push((knownAt - begun) / 1_000)
        stages.push(await stagesOf(fleet.databaseUrl, `w6-beside-${n}`))
        say(`W6, round ${n}/${rounds}: ${beside.at(-1)?.toFixed(0)} ms beside the flood, ${alone.at(-1)?.toFixed(0)} ms alone`)
      }
      return [
        {
          title: `W6: ${small.tasks} tasks of ${small.subtasks} beside one of ${flooding}`,
          how: [
            `One task of ${flooding} subtasks is taken in; ${laterMs / 1_000} s later ${small.tasks} tasks of ${small.subtasks} come in one POST /tasks/batch. Alone: the same ${small.tasks} on`,
            'the idle fleet. Time runs from their sending until Postgres says that the last of them is completed. Subtasks do nothing.',
          ],
          figures: [
            figure('W6, beside the flood : alone', '×', ratiosOf(beside, alone), { atMost: 2 }),
            figure('the nine beside the flood', 'ms', beside),
            figure(
              '- their slowest subtask: stored until rung',
              'ms',
              stages.map(({ rung }) => rung),
            ),
            figure(
              '- rung until started',
              'ms',
              stages.map(({ started }) => started),
            ),
            figure(
              '- started until finished',
              'ms',
              stages.map(({ finished }) => finished),
            ),
            figure('the nine alone', 'ms', alone),
            figure('the flood, taking in included', 's', floods),
          ],
        },
      ]
    }),
  )

interface Stages {
  readonly rung: number
  readonly started: number
  readonly finished: number
}

/** Where the time of the nine went, by the database's clock: of each stage the longest that a subtask took, in milliseconds. */
async function stagesOf(databaseUrl: string, prefix: string): Promise<Stages> {
  const database = await openPostgres({ url: databaseUrl, log: silentLogger(), max: 1 })
  try {
    const { rows } = await database.query<Stages>(
      {
        text: `select max(extract(epoch from a.queued_at - t.created_at))::float8 * 1000 as rung,
            max(extract(epoch from a.started_at - a.queued_at))::float8 * 1000 as started,
            max(extract(epoch from a.finished_at - a.started_at))::float8 * 1000 as finished
          from tasks t join subtasks d on d.task_pk = t.id join attempts a on a.subtask_pk = d.id
          where t.tenant_id = 1 and t.task_id like $1 and a.outcome = 'completed'`,
      },
      [`${prefix}-%`],
    )
    return rows[0] ?? { rung: Number.NaN, started: Number.NaN, finished: Number.NaN }
  } finally {
    await database.close()
  }
}

async function nine({ client, ends, prefix }: { client: Client; ends: Ends; prefix: string }): Promise<number> {
  const requests = Array.from({ length: small.tasks }, (_, i) => flatOf(`${prefix}-${i}`, small.subtasks))
  const begun = performance.now()
  const results = await client.tasks.submitMany(requests)
  const refused = results.find(({ status_code }) => status_code !== 201)
  if (refused) throw refused.error ?? new Error(`task ${refused.task_id} was answered ${refused.status_code}`)
  const known = await Promise.all(requests.map(({ task_id }) => ends.of(task_id)))
  return Math.max(...known.map(({ knownAt }) => knownAt)) - begun
}
