// Runs a command to its end, bounded, and hands back what it printed. For tools, not for servers.

import { spawn } from 'node:child_process'

/** A user of this machine for a child process to run as. */
export interface RunAs {
  readonly uid: number
  readonly gid: number
}

export type ToolResult = { kind: 'done'; output: string } | { kind: 'failed'; reason: string; output: string }

export interface ToolOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly timeoutMs: number
  readonly user?: RunAs
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly signal?: AbortSignal
  /** In a session of its own: a Ctrl-C in the terminal does not reach it. */
  readonly detached?: boolean
  readonly onPid?: (pid: number) => void
}

/** Resolves when the command has ended, whichever way; never rejects. Output is stdout and stderr as they came. */
export function runTool(options: ToolOptions): Promise<ToolResult> {
  const { command, args, timeoutMs, user, cwd, env, signal, detached, onPid } = options
  return new Promise(resolve => {
    if (signal?.aborted) {
      resolve({ kind: 'failed', reason: `${command} was aborted`, output: '' })
      return
    }
    let output = ''
    const child = spawn(command, args, { ...user, cwd, env, detached, stdio: ['ignore', 'pipe', 'pipe'] })
    const collect = (chunk: string) => {
      output = (output + chunk).slice(-64 * 1024)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)

    let interrupted: string | undefined
    const interrupt = (reason: string) => {
      interrupted = reason
      child.kill('SIGKILL')
      // A grandchild can hold the pipes open; without this 'close' would wait for it.
      child.stdout.destroy()
      child.stderr.destroy()
    }
    const timer = setTimeout(() => interrupt(`${command} took longer than ${timeoutMs} ms`), timeoutMs)
    const onAbort = () => interrupt(`${command} was aborted`)
    signal?.addEventListener('abort', onAbort, { once: true })

    const finish = (result: ToolResult) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      resolve(result)
    }
    child.once('error', error => finish({ kind: 'failed', reason: error.message, output }))
    child.once('close', (code, killedBy) => {
      if (interrupted !== undefined) finish({ kind: 'failed', reason: interrupted, output })
      else if (code === 0) finish({ kind: 'done', output })
      else finish({ kind: 'failed', reason: `${command} ended with ${killedBy ?? `code ${code}`}`, output })
    })
    if (child.pid !== undefined) onPid?.(child.pid)
  })
}
