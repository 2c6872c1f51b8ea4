/** The command line as people have it: the compiled `baton`, as a child process in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, vi } from 'vitest'
import { cleanUp } from '../harness/index.js'

// Each of these tests starts several processes, which take their time on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

const main = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url))

export interface BatonOptions {
  readonly cwd?: string
  /** Beside PATH and HOME, which are all that is inherited. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Running {
  readonly pid: number
  readonly out: () => string
  readonly err: () => string
  /** Resolves with the first match in what it wrote, to stdout and stderr together; rejects when it ends without. */
  said(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>
  readonly ended: Promise<Ended>
  signal(signal: NodeJS.Signals): void
  /** SIGTERM, and the wait for its end. */
  stop(): Promise<Ended>
}

/** Starts `baton` with these arguments; it is killed when the test (or the file) ends. */
export function start(args: readonly string[], { cwd = tmpdir(), env = {}, stdin }: BatonOptions = {}): Running {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, BATON_LOG_FILE: 'off', ...env },
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  const text = { out: '', err: '' }
  child.stdout?.setEncoding('utf8').on('data', chunk => {
    text.out += chunk
  })
  child.stderr?.setEncoding('utf8').on('data', chunk => {
    text.err += chunk
  })
  if (stdin !== undefined) child.stdin?.on('error', () => undefined).end(stdin)
  let over = false
  const ended = once(child, 'close').then(([code]): Ended => {
    over = true
    return { code: code as number | null, ...text } // the event's first argument
  })
  cleanUp(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    pid: child.pid ?? -1,
    out: () => text.out,
    err: () => text.err,
    said: (pattern, timeoutMs = 60_000) =>
      vi.waitFor(
        () => {
          const match = pattern.exec(`${text.out}\n${text.err}`)
          if (match) return match
          throw new Error(`${over ? 'it has ended and' : 'it'} did not say ${pattern} but:\n${text.out}\n${text.err}`)
        },
        { timeout: timeoutMs, interval: 20 },
      ),
    ended,
    signal: signal => void child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM')
      return ended
    },
  }
}

/** Runs `baton` to its end. */
export function baton(args: readonly string[], options: BatonOptions = {}): Promise<Ended> {
  return start(args, options).ended
}

/** A folder that is gone when the test (or the file) ends. */
export function folder(): string {
  const made = realpathSync(mkdtempSync(join(tmpdir(), 'baton-cli-')))
  cleanUp(() => rmSync(made, { recursive: true, force: true, maxRetries: 5 }))
  return made
}

export interface Up extends Running {
  readonly url: string
}

/** `baton up` on a free port, ready. */
export async function up(args: readonly string[], options: BatonOptions = {}): Promise<Up> {
  const running = start(['up', '--json', '--port', '0', ...args], options)
  const [line] = await running.said(/^\{"url":.*\}$/m)
  return { ...running, url: (JSON.parse(line) as { url: string }).url }
}

/** What a failed command says to people: one sentence first, and no stack. */
export function expectError({ err, out }: Ended, sentence: string | RegExp): void {
  expect(out).toBe('')
  expect(err).toMatch(/^error: /)
  expect(err).toMatch(sentence)
  expect(err).not.toMatch(/^\s+at .*:\d+:\d+/m)
}
