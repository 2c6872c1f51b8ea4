/** Whether what W1 writes is deleted as fast as it is written, once it is old enough. */
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@baton/client'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { withEndsByDatabase } from '../ends.js'
import { figure } from '../figures.js'
import { type BenchFleet, withBenchFleet } from '../fleet.js'
import { chainOf, w1 } from '../graphs.js'
import { fillHistory } from '../history.js'
import { inFlights, runMass } from '../mass.js'
import { cpuBetween, cpuSecondsOf, median } from '../measure.js'
import { bestVariant, ratiosOf } from '../ratios.js'
import type { BenchContext, Workload } from '../workload.js'

const mostSubtasks = 300_000

export const retention: Workload = context =>
  withBenchFleet({ workers: 1, context }, fleet =>
    withEndsByDatabase(fleet.databaseUrl, context.signal, async ends => {
      const { rounds, say } = context
      const variants = []
      for (const inFlight of inFlights) variants.push(await runMass({ target: fleet, mass: w1, inFlight, ends }))
      const written = median(bestVariant(variants).rates)
      const model = chainOf('retention-model', 3)
      await createClient({ url: fleet.urls[0] }).tasks.submit(model)
      await ends.of(model.task_id)
      const deleted: number[] = []
      const cpu: number[] = []
      for (let n = 1; n <= rounds; n++) {
        const round = await deleteHistory(fleet, model.task_id, context)
        deleted.push(round.rate)
        cpu.push(round.cpuPer1000)
        say(`retention, round ${n}/${rounds}: ${round.rate.toFixed(0)} subtasks/s deleted, ${written.toFixed(0)} written by W1`)
      }
      return [
        {
          title: 'Retention: chains of 3 that ended long ago',
          how: [
            `W1 runs first. Then one chain that Baton wrote is multiplied by SQL, to ${Math.min(mostSubtasks, context.history)} subtasks that ended 40 days`,
            'ago. The time runs from when the first of them is gone until the last row of all of them is, on a fleet that is otherwise idle.',
          ],
          figures: [
            figure(
              'retention, deleted : written by W1',
              '×',
              ratiosOf(
                deleted,
                deleted.map(() => written),
              ),
              { atLeast: 1 },
            ),
            figure('deleted', 'subtasks/s', deleted),
            figure('- CPU of Postgres', 's/1,000', cpu),
            figure('written by W1', 'subtasks/s', [written]),
          ],
        },
      ]
    }),
  )

async function deleteHistory(
  { databaseUrl, pids }: BenchFleet,
  taskId: string,
  { history, say, signal }: BenchContext,
): Promise<{ rate: number; cpuPer1000: number }> {
  const kinds = [{ taskId, subtasks: Math.min(mostSubtasks, history) }]
  const added = await fillHistory({ databaseUrl, kinds, say, signal })
  const database = await openPostgres({ url: databaseUrl, log: silentLogger(), max: 1, signal })
  const postgres = { postgres: pids.postgres ?? 0 }
  const asLongAs = async (condition: string, everyMs = 5) => {
    const text = `select ${condition} as met`
    while ((await database.query<{ met: boolean }>({ text })).rows[0]?.met === true) await delay(everyMs, undefined, { signal })
  }
  try {
    // Nothing goes that the cursor of the webhooks has not passed, and these events are new.
    await asLongAs('exists (select from event_cursors c join events e on (e.xid, e.seq) > (c.xid, c.seq))', 100)
    await database.query({ text: `update tasks set finished_at = finished_at - interval '40 days' where task_id like $1` }, [`${taskId}-%`])
    await asLongAs('not exists (select from purges)')
    const begun = performance.now()
    const before = cpuSecondsOf(postgres)
    await asLongAs(`exists (select from purges) or exists (select from tasks where finished_at < now() - interval '39 days')`)
    const seconds = (performance.now() - begun) / 1_000
    return { rate: added / seconds, cpuPer1000: (cpuBetween(before, cpuSecondsOf(postgres)).postgres * 1_000) / added }
  } finally {
    await database.close()
  }
}
