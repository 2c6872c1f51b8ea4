/**
 * A command: one thing that happens to the world, for the model and for the store alike. Adding one is a file in
 * commands/ and a line in commands/index.ts.
 */
import type { Skips } from './rules/dispatching.js'
import type { Store } from './store.js'
import type { World } from './world.js'

export interface Outcome {
  readonly world: World
  readonly reply: unknown
}

export interface Command {
  /** As a person reads it in a counterexample. */
  readonly text: string
  /** What the specification makes of it; pure. `skips`: rows that another session holds, which a sweep passes over. */
  readonly apply: (world: World, skips?: Skips) => Outcome
  /** The same through the store; the reply has to be equal. */
  readonly run: (store: Store) => Promise<unknown>
  /** Ids of subtasks that it locks even where it changes nothing of them. */
  readonly names?: readonly number[]
  /** It passes over rows that others hold. */
  readonly sweeps?: boolean
}

export interface CommandKind {
  readonly name: string
  /** How often the generator picks it, against the others. */
  readonly weight: number
  /** What it would do in this world; undefined where nothing fits. */
  readonly choose: (world: World, dice: Dice) => Command | undefined
}

/** The generator's choices, one number after the other; when none is left, each is the first. So they shrink. */
export class Dice {
  private readonly faces: readonly number[]
  private next = 0

  constructor(faces: readonly number[]) {
    this.faces = faces
  }

  /** From 0 to below `n`. */
  roll(n: number): number {
    return (this.faces[this.next++] ?? 0) % n
  }

  /** Once in `n` times. */
  rarely(n: number): boolean {
    return this.roll(n) === n - 1
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[this.roll(list.length)]
  }

  /** A part of the list, in any order, with at least one of it while there is one. */
  some<T>(list: readonly T[], most: number): T[] {
    const left = [...list]
    const chosen: T[] = []
    for (let n = 1 + this.roll(most); n > 0 && left.length > 0; n--) chosen.push(...left.splice(this.roll(left.length), 1))
    return chosen
  }
}
