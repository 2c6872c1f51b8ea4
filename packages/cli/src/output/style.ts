/** Colours and signs of states, in one place. */
import type { SubtaskState, TaskStatus } from '@baton/shared'
import { terminalWishes } from '../env.js'
import type { Io, Sink } from '../io.js'

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan'
export type Paint = (colour: Colour, text: string) => string

const codes: Record<Colour, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 }

export const plain: Paint = (_colour, text) => text
export const coloured: Paint = (colour, text) => `\u001b[${codes[colour]}m${text}\u001b[0m`

/** Colours where a person reads them and has not asked for none. */
export function paintFor(io: Io, sink: Sink = io.stdout): Paint {
  return sink.isTTY && terminalWishes(io.env).color ? coloured : plain
}

interface Look {
  readonly sign: string
  readonly colour: Colour
}

const subtaskLooks: Record<SubtaskState, Look> = {
  pending: { sign: '·', colour: 'dim' },
  awaiting_approval: { sign: '?', colour: 'yellow' },
  ready: { sign: '○', colour: 'blue' },
  queued: { sign: '○', colour: 'blue' },
  running: { sign: '▶', colour: 'cyan' },
  retrying: { sign: '↻', colour: 'yellow' },
  blocked: { sign: '■', colour: 'yellow' },
  needs_review: { sign: '?', colour: 'yellow' },
  completed: { sign: '✔', colour: 'green' },
  failed: { sign: '✘', colour: 'red' },
  skipped: { sign: '-', colour: 'dim' },
  cancelled: { sign: '✘', colour: 'dim' },
}

const statusColours: Record<TaskStatus, Colour> = {
  planned: 'dim',
  running: 'cyan',
  paused: 'yellow',
  blocked: 'yellow',
  needs_review: 'yellow',
  completed: 'green',
  failed: 'red',
  cancelled: 'red',
}

/** A newer coordinator may know states that this table does not. */
export function lookOf(state: SubtaskState): Look {
  return subtaskLooks[state] ?? { sign: '·', colour: 'dim' }
}

export function colourOf(status: TaskStatus): Colour {
  return statusColours[status] ?? 'bold'
}
