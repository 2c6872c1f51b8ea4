import type { Brief } from '../../../packages/coordinator/src/collect/briefs.js'
import { judgeClaims } from '../../../packages/coordinator/src/collect/judge-claims.js'
import type { Queryable } from '../../../packages/coordinator/src/store/database.js'
import type { CommandKind, Dice } from '../command.js'
import { agentNames, isEligible, workerNames, workers } from '../fleet.js'
import { type ClaimItem, claim } from '../rules/claims.js'
import { claimUuid, long } from '../store.js'
import { nameOf, type Subtask, type World } from '../world.js'

/** Workers fetched jobs and claim them: the right one, a second one, a repeat, a late one. */
export const claimKind: CommandKind = {
  name: 'claim',
  weight: 30,
  choose(world, dice) {
    const queued = world.subtasks.filter(s => s.state === 'queued')
    if (queued.length === 0 && !dice.rarely(15)) return undefined
    let fresh = world.claims
    const items = dice.some(queued, 3).map(subtask => delivery(subtask, dice, () => ++fresh))
    if (dice.rarely(4) && items[0]) items.push({ ...items[0], ...(dice.rarely(2) && { claim: ++fresh }) }) // a second delivery, or a repeat
    if (dice.rarely(6)) {
      const old = dice.pick(world.grants)
      if (old)
        items.push({ subtask: old.subtask, attempt: old.attempt, claim: old.claim.id, agent: old.claim.agent, worker: old.claim.worker })
    }
    if (dice.rarely(8)) {
      const any = dice.pick(world.subtasks)
      if (any) items.push({ subtask: any.id, attempt: Math.max(0, any.attempt - 1), claim: ++fresh, agent: 'bob', worker: 'w1' })
    }
    if (items.length === 0) return undefined
    // Some subtasks are known to the coordinator, of some it knows another graph than there is.
    const known = new Set(items.filter(() => !dice.rarely(3)).map(i => i.subtask))
    const outdated = new Set(items.filter(() => dice.rarely(6)).map(i => i.subtask))
    return {
      text: `claim ${items.map(item => show(world, item)).join(', ')}`,
      names: items.map(i => i.subtask),
      apply: before => claim(before, items),
      run: async ({ database }) => {
        const briefs = new Map<string, Brief>()
        for (const { subtask } of items)
          if (known.has(subtask)) briefs.set(String(subtask), await briefOf(database, String(subtask), { outdated: outdated.has(subtask) }))
        const verdicts = await judgeClaims(
          { database, briefs: { of: id => briefs.get(id) }, leaseMs: long, defaultSlaMs: long, deferMs: long },
          items.map(i => ({
            id: String(i.subtask),
            attempt: i.attempt,
            claim_id: claimUuid(i.claim),
            agent: i.agent,
            worker_id: i.worker,
          })),
        )
        return { verdicts: verdicts.map(v => v.status) }
      },
    }
  },
}

function delivery(subtask: Subtask, dice: Dice, claimId: () => number): ClaimItem {
  const takers = workerNames.flatMap(worker => workers[worker].map(agent => ({ worker, agent })))
  const fitting = takers.filter(({ worker, agent }) => isEligible(worker, agent, subtask.route))
  const anyone = { worker: dice.pick(workerNames) ?? 'w1', agent: dice.pick(agentNames) ?? 'ann' }
  const taker = dice.rarely(8) ? anyone : (dice.pick(fitting) ?? anyone)
  return { subtask: subtask.id, attempt: subtask.attempt, claim: claimId(), ...taker }
}

function show(world: World, { subtask, attempt, claim: id, agent, worker }: ClaimItem): string {
  return `${nameOf(world, subtask)}#${attempt} as c${id} by ${agent}@${worker}`
}

/** As a coordinator would remember it that stored the task; what its grant says is compared elsewhere. */
export async function briefOf(database: Queryable, id: string, { outdated }: { outdated: boolean }): Promise<Brief> {
  const text = `
select array(select e.from_id::text from dependencies e where e.to_id = d.id order by e.from_id) as after, d.sla_ms::float8 as sla_ms, d.lease_ms::float8 as lease_ms,
  d.deadline_ms::float8 as deadline_ms
from subtasks d where d.id = ${Number(id)}`
  const { rows } = await database.query<Omit<Brief, 'grant'>>({ text })
  const { after = [], sla_ms = null, lease_ms = null, deadline_ms = null } = rows[0] ?? {}
  return { after: outdated ? [...after, '999999999999'] : after, sla_ms, lease_ms, deadline_ms, grant: () => '{}' }
}
