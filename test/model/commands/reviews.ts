import { fittingDecisions, reviewDecisions } from '@baton/shared'
import { assignReview, decideReview, readReview } from '../../../packages/coordinator/src/store/reviews.js'
import { escalateReviews } from '../../../packages/coordinator/src/store/warnings.js'
import type { CommandKind, Dice } from '../command.js'
import { roomOf, routeId } from '../fleet.js'
import * as rules from '../rules/reviews.js'
import { effectsOf, now, type Store } from '../store.js'
import { nameOf, type Review, type World } from '../world.js'
import { chooseRooms, showRooms } from './rooms.js'

/** A person decides; now and then what does not fit, or what was decided already. */
export const decideKind: CommandKind = {
  name: 'decide',
  weight: 14,
  choose(world, dice) {
    const open = world.reviews.filter(r => r.status === 'open')
    const review = open.length === 0 || dice.rarely(8) ? dice.pick(dice.rarely(3) ? world.reviews : open) : dice.pick(open)
    if (!review) return undefined
    const decision = dice.pick(dice.rarely(8) ? reviewDecisions : fittingDecisions[review.kind]) ?? 'fail'
    const output = decision === 'supply' ? `{"by":"hand",  "of":${review.subtask}.0}` : null
    const route = decision === 'reassign' ? (dice.pick(['bob', 'ann'] as const) ?? null) : null
    const rooms = chooseRooms(dice)
    const digest = dice.rarely(3) ? (dice.rarely(2) ? 'wrong' : 'right') : null
    const { subtask } = review
    const nth = world.reviews.filter(r => r.subtask === subtask).indexOf(review)
    return {
      text: `decide ${review.kind} of ${nameOf(world, subtask)}: ${decision}${route === null ? '' : ` to ${route}`}${digest === null ? '' : `, ${digest} digest`}${showRooms(rooms)}`,
      names: [subtask],
      apply: before => rules.decide(before, { subtask, nth, decision, output, route, digest, rooms }),
      run: async ({ database }) => {
        const id = await reviewId(database, subtask, nth)
        const shown = digest === 'right' ? (await readReview(database, 1, id))?.digest : null
        const ruling = {
          tenantId: 1,
          id,
          decision,
          reason: 'so',
          output,
          routeId: route && routeId(route),
          digest: digest === 'wrong' ? '0'.repeat(64) : (shown ?? null),
          actor: 'ops',
        }
        const decided = await decideReview(database, ruling, roomOf(rooms))
        return { done: decided.done, reopened: decided.reopened, ...effectsOf(decided) }
      },
    }
  },
}

/** A review's own number is not worth modelling: it is the nth of its subtask. */
async function reviewId(database: Store['database'], subtask: number, nth: number): Promise<string> {
  const { rows } = await database.query<{ id: string }>(
    { name: 'nth_review', text: 'select id from reviews where subtask_pk = $1 order by id offset $2 limit 1' },
    [subtask, nth],
  )
  return rows[0]?.id ?? '0'
}

function chooseReview(world: World, dice: Dice, fits: (review: Review) => boolean) {
  const review = dice.pick(world.reviews.filter(fits))
  if (!review) return undefined
  const { subtask, kind } = review
  return { subtask, kind, nth: world.reviews.filter(r => r.subtask === subtask).indexOf(review) }
}

/** Somebody is named who is to decide, and perhaps who after them. */
export const assignKind: CommandKind = {
  name: 'assign',
  weight: 1,
  choose(world, dice) {
    const review = chooseReview(world, dice, r => r.status === 'open' || dice.rarely(10))
    if (!review) return undefined
    const { subtask, nth, kind } = review
    const assignee = dice.pick(['eve', 'fay'] as const) ?? 'eve'
    const escalateTo = dice.rarely(2) ? null : 'boss'
    return {
      text: `assign ${kind} of ${nameOf(world, subtask)} to ${assignee}${escalateTo === null ? '' : `, then to ${escalateTo}`}`,
      apply: before => rules.assign(before, { subtask, nth, assignee, escalateTo }),
      run: async ({ database }) => {
        const id = await reviewId(database, subtask, nth)
        return { done: await assignReview(database, { tenantId: 1, id, assignee, dueAt: null, escalateTo, actor: 'ops' }) }
      },
    }
  },
}

export const reviewDueKind: CommandKind = {
  name: 'review is due',
  weight: 1,
  choose(world, dice) {
    const review = chooseReview(world, dice, r => r.status === 'open' && !r.due)
    if (!review) return undefined
    const { subtask, nth, kind } = review
    return {
      text: `the due time of ${kind} of ${nameOf(world, subtask)} passes`,
      apply: before => rules.fallDue(before, { subtask, nth }),
      run: async ({ database }) => {
        const id = await reviewId(database, subtask, nth)
        // It was made a while ago, so that whoever it escalates to gets a while, too.
        await database.query(
          {
            text: "update reviews set due_at = clock_timestamp() - interval '1 minute', created_at = clock_timestamp() - interval '1 day' where id = $1",
          },
          [id],
        )
        return null
      },
    }
  },
}

export const escalateKind: CommandKind = {
  name: 'escalate',
  weight: 3,
  choose(world) {
    if (!world.reviews.some(r => r.status === 'open' && r.due && !r.told)) return undefined
    return {
      text: 'escalate reviews',
      sweeps: true,
      apply: (before, skips) => rules.escalate(before, skips),
      run: async ({ database }) => ({ touched: (await escalateReviews(database, now(), 500)).map(Number).sort((a, b) => a - b) }),
    }
  },
}
