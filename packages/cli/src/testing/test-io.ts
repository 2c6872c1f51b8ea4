/** A process of a test's own: what is written is kept, the environment is empty, Ctrl-C is a call. */
import type { EnvironmentSource } from '../env.js'
import { Interrupted, type Io } from '../io.js'

export interface TestIo extends Io {
  /** What was written so far. */
  readonly out: () => string
  readonly err: () => string
  interrupt(): void
}

export interface TestIoOptions {
  readonly cwd?: string
  readonly env?: EnvironmentSource
  readonly stdin?: string
  readonly terminal?: { columns: number; rows: number }
}

export function testIo({ cwd = process.cwd(), env = {}, stdin = '', terminal }: TestIoOptions = {}): TestIo {
  const written = { out: '', err: '' }
  const controller = new AbortController()
  const sink = (name: 'out' | 'err') => ({
    write: (text: string) => {
      written[name] += text
    },
    isTTY: terminal !== undefined,
    ...terminal,
  })
  return {
    cwd,
    calledFrom: cwd,
    env,
    stdin: (async function* () {
      yield stdin
    })(),
    stdout: sink('out'),
    stderr: sink('err'),
    interruption: () => controller.signal,
    out: () => written.out,
    err: () => written.err,
    interrupt: () => controller.abort(new Interrupted()),
  }
}
