/**
 * Whether what came of commands that ran at once can be explained: by one order of theirs in which the model, command by
 * command, gives the same replies and the same rows. A sweep passes over rows that another session holds, so any of the
 * contested rows may be missing from it; the next sweep finds them. A guard may have seen what it did not lock as it was
 * when its statement began: what it then does to a subtask of a task that ended meanwhile does no harm.
 */
import type { Command } from './command.js'
import { differences, type Observed } from './observe.js'
import { dependentsOf, type World } from './world.js'

/** Of more contested rows than that, only those that the sweep would change are tried. */
const mostSkipped = 7

interface Happened {
  readonly replies: readonly unknown[]
  readonly observed: Observed
}

/** A repeat that meets its twin at work is told either: both say that it changed nothing. */
const heard = (reply: unknown): string => JSON.stringify(reply).replaceAll('"duplicate"', '"stale"')

/** A world that explains it, or undefined. */
export function explain(before: World, commands: readonly Command[], { replies, observed }: Happened): World | undefined {
  const given = replies.map(heard)
  // What each changes at first, and what it has changed in its place: whoever comes later may find other rows to take.
  const changed = commands.map(command => rowsChanged(before, command))
  const follow = (world: World, left: readonly number[], done: readonly ReadonlySet<number>[]): World | undefined => {
    if (left.length === 0) return differences(world, observed).length === 0 ? world : undefined
    for (const n of left) {
      const command = commands[n]
      if (!command) continue
      const contested = [...changed.filter((_, other) => other !== n), ...done].flatMap(rows => [...rows])
      for (const skips of command.sweeps ? skipped(world, command, new Set(contested)) : [new Set<number>()])
        for (const past of world === before ? [null] : [null, before]) {
          const { world: next, reply } = command.apply({ ...world, past }, skips)
          if (heard(reply) !== given[n]) continue
          const end = follow(
            { ...next, past: null },
            left.filter(other => other !== n),
            [...done, rowsBetween(world, next, command)],
          )
          if (end) return end
        }
    }
    return undefined
  }
  return follow(
    before,
    commands.map((_, n) => n),
    [],
  )
}

/** Rows that a command changes, names, or only locks because they wait for those, however far away. */
export function rowsChanged(before: World, command: Command): ReadonlySet<number> {
  return rowsBetween(before, command.apply(before).world, command)
}

function rowsBetween(before: World, world: World, command: Command): ReadonlySet<number> {
  const rows = new Set<number>(command.names ?? [])
  for (const subtask of before.subtasks) {
    const after = world.subtasks.find(s => s.id === subtask.id)
    if (JSON.stringify(after) !== JSON.stringify(subtask)) rows.add(subtask.id)
  }
  world.reviews.forEach((review, n) => {
    if (JSON.stringify(before.reviews[n]) !== JSON.stringify(review)) rows.add(review.subtask) // it was opened, or ended
  })
  for (const id of rows) for (const dependent of dependentsOf(before, { id })) rows.add(dependent.id) // what is added comes by, too
  return rows
}

/** The same for the choice of who races whom: what is done to a task has to do with all of it. */
export function rowsConcerned(before: World, command: Command): ReadonlySet<number> {
  const { world } = command.apply(before)
  const tasks = before.tasks.filter(t => JSON.stringify(world.tasks.find(after => after.id === t.id)) !== JSON.stringify(t))
  const rows = rowsChanged(before, command)
  return rows.size > 0 ? rows : new Set(before.subtasks.filter(s => tasks.some(t => t.id === s.task)).map(s => s.id))
}

/** What a sweep may have passed over. */
function skipped(world: World, sweep: Command, contested: ReadonlySet<number>): ReadonlySet<number>[] {
  if (contested.size <= mostSkipped) return subsets([...contested])
  const own = [...rowsChanged(world, sweep)].filter(id => contested.has(id))
  return own.length <= mostSkipped ? subsets(own) : [new Set(), new Set(own)]
}

function subsets(rows: readonly number[]): ReadonlySet<number>[] {
  return Array.from({ length: 2 ** rows.length }, (_, bits) => new Set(rows.filter((_row, bit) => (bits >> bit) & 1)))
}
