/** Histories on several sessions: a few commands one after the other, then some at once, and so on. */
import * as fc from 'fast-check'
import type { Command } from './command.js'
import { explain, rowsConcerned } from './explain.js'
import { type Choice, choiceArbitrary, choose, type Emphasis, type History, Play } from './history.js'
import { linesOf, observeTables } from './observe.js'
import { type Schedule, type Sessions, sessionCount } from './sessions.js'
import type { World } from './world.js'

interface Round {
  /** Before the race, one after the other. */
  readonly calm: readonly Choice[]
  readonly racers: readonly Choice[]
  /** Where each of them starts and where it commits, as choices among what is left. */
  readonly order: readonly number[]
  readonly rush: boolean
}

export interface RaceHistory {
  readonly history: History
  readonly rounds: readonly Round[]
}

export const roundArbitrary: fc.Arbitrary<Round> = fc.record({
  calm: fc.array(choiceArbitrary, { maxLength: 6, size: 'max' }),
  racers: fc.array(choiceArbitrary, { minLength: 2, maxLength: sessionCount, size: 'max' }),
  order: fc.array(fc.nat(5), { maxLength: 2 * sessionCount, size: 'max' }),
  rush: fc.nat(3).map(n => n === 3),
})

/** Clocks and settings of the test itself do not race. */
const alone = ['time passes', 'wear out', 'make a suspect', 'silence', 'review is due']
/** What somebody does while others do something, and cancels, which meet everything. */
const racing: Emphasis = { cancel: 6, pause: 4, 'cancel subtask': 3, 'reassign subtask': 2, submit: 0.3, heartbeat: 2, sweep: 2 }

export async function playRaces(sessions: Sessions, { history, rounds }: RaceHistory): Promise<void> {
  await sessions.clear()
  const play = new Play(sessions.store, { drafts: history.drafts, looks: 'finally' })
  for (const choice of history.choices) await step(play, choice)
  for (const round of rounds) {
    for (const choice of round.calm) await step(play, choice)
    await race(sessions, play, round)
  }
  await play.look()
}

async function step(play: Play, choice: Choice): Promise<void> {
  const command = choose(play.world, choice)
  if (command) await play.one(command)
}

async function race(sessions: Sessions, play: Play, { racers, order, rush }: Round): Promise<void> {
  const commands = chooseRacers(play.world, racers)
  if (commands.length < 2) return
  const schedule: Schedule = rush ? 'rush' : interleave(commands.length, order)
  play.log.push(`at once${rush ? '' : ` (${schedule})`}: ${commands.map((c, n) => `${n}: ${c.text}`).join(' | ')}`)
  const replies = await sessions.race(commands, schedule).catch((error: unknown) => {
    throw play.divergence([`  the store refused: ${error instanceof Error ? error.message : String(error)}`])
  })
  const observed = await observeTables(sessions.store.database)
  const after = explain(play.world, commands, { replies, observed })
  if (after) {
    play.goOn(after, replies)
    await play.look()
    return
  }
  const everyone = commands.reduce((world, command) => command.apply(world).world, play.world)
  throw play.divergence([
    'no order of these explains what came of them:',
    ...commands.map((c, n) => `  ${n}: ${c.text}\n     replied ${JSON.stringify(replies[n])}`),
    ...linesOf(observed, everyone).map(line => `  tables  ${line}`),
  ])
}

/** The first is any; the others have to do with the rows of those before them. */
function chooseRacers(world: World, choices: readonly Choice[]): Command[] {
  const commands: Command[] = []
  const rows = new Set<number>()
  for (const choice of choices) {
    // Ids, claims and names of their own: nobody draws another's.
    const n = commands.length * 100
    const own = { ...world, nextId: world.nextId + n * 10, claims: world.claims + n, spawned: world.spawned + n }
    const fits = (command: Command) => commands.length === 0 || [...rowsConcerned(own, command)].some(id => rows.has(id))
    const reruns = commands.some(c => c.text.startsWith('rerun'))
    const command = choose(own, choice, {
      emphasis: racing,
      fits: (c, kind) => !alone.includes(kind) && !(reruns && kind === 'rerun') && fits(c),
    })
    if (!command) continue
    commands.push(command)
    for (const id of rowsConcerned(own, command)) rows.add(id)
  }
  return commands
}

/** Each number twice, in the order that the choices make; what is left over, in turn. */
function interleave(count: number, order: readonly number[]): number[] {
  const left = Array.from({ length: count }, (_, n) => [n, n]).flat()
  const choices = [...order]
  const schedule: number[] = []
  while (left.length > 0) schedule.push(...left.splice((choices.shift() ?? 0) % left.length, 1))
  return schedule
}
