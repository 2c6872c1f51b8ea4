/** Says on stderr that nobody answers, and that somebody does again: once each. */
import { BatonError } from '@baton/shared'
import type { Io } from '../io.js'
import { visible } from './text.js'

export interface OutageNotes {
  readonly onOutage: (error: unknown) => void
  readonly onRecovery: () => void
}

/** `told`: something was written, for whoever draws on the same terminal. */
export function outageNotes(io: Io, url: string, told: () => void = () => undefined): OutageNotes {
  const say = (text: string) => {
    io.stderr.write(`${visible(text)}\n`)
    told()
  }
  return {
    onOutage: error =>
      say(
        error instanceof BatonError && error.code !== 'unreachable'
          ? `baton: ${url} cannot answer at present, it is asked again: ${error.message}`
          : `baton: the connection to ${url} is lost, it is tried again: ${error instanceof Error ? error.message : String(error)}`,
      ),
    onRecovery: () => say(`baton: ${url} answers again`),
  }
}
