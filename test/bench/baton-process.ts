/** `baton up` as a user starts it: a process of its own, from the compiled command. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('./main.js', import.meta.resolve('@baton/cli')))
const stopMs = 15_000

export interface BatonProcess {
  readonly pid: number
  readonly url: string
  /** From its spawn until it had said that it takes requests, and `/readyz` agreed. */
  readonly readyMs: number
  stop(): Promise<void>
}

/** The environment without what would steer a process past its arguments. */
export function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !/^(BATON_.*|PORT|DATABASE_URL|REDIS_URL|NATS_URL|NODE_OPTIONS|npm_.*|INIT_CWD)$/.test(entry[0]),
  )
  return Object.fromEntries(kept)
}

/** Starts local mode with the no-op agent; `data` is a directory, or `memory`. Throws when it ends before it is ready. */
export async function startBatonUp(options: { data: string; config: string; cwd: string; signal: AbortSignal }): Promise<BatonProcess> {
  const { data, config, cwd, signal } = options
  signal.throwIfAborted()
  const begun = performance.now()
  const args = [main, 'up', '--json', '--host', '127.0.0.1', '--port', '0', '--data', data, '--config', config]
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...cleanEnvironment(), LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const killOnAbort = () => child.kill('SIGKILL')
  process.once('exit', killOnAbort)
  signal.addEventListener('abort', killOnAbort)
  const ended = once(child, 'exit')
  void ended.finally(() => {
    process.off('exit', killOnAbort)
    signal.removeEventListener('abort', killOnAbort)
  })
  const ready = await Promise.race([firstLine(child), ended.then(([code]) => Promise.reject(endedEarly(code, signal)))])
  const { url } = JSON.parse(ready) as { url: string } // written by our own command
  const answer = await fetch(`${url}/readyz`)
  if (!answer.ok) throw new Error(`baton up said that it is ready, and /readyz answered ${answer.status}`)
  const readyMs = performance.now() - begun
  return {
    pid: child.pid ?? 0, // it has written a line
    url,
    readyMs,
    stop: async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(killOnAbort, stopMs)
      await ended
      clearTimeout(timer)
    },
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('the process has no stdout')
  for await (const line of createInterface({ input: child.stdout })) return line
  return new Promise(() => undefined) // it ended, which its exit tells better
}

function endedEarly(code: unknown, signal: AbortSignal): unknown {
  return signal.aborted ? signal.reason : new Error(`baton up ended with code ${String(code)} before it was ready`)
}
