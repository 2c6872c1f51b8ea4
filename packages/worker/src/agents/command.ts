/**
 * An agent that is a program, in any language: the input is JSON on its stdin, its output is JSON or text on stdout,
 * stderr goes to the log. Exit code 0 is success; anything else, or a signal, is a failure. An abort kills the whole
 * process group; what a program left running in the background ends with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { BatonError, maxArtifactBytes, parseStrictJson } from '@baton/shared'
import { childEnvironment } from '@baton/shared/node'
import { type Agent, type AgentContext, type AgentOptions, defineAgent } from '../agent.js'
import { killGroup, ownGroup } from '../process-group.js'

export interface CommandAgentOptions
  extends Omit<AgentOptions<unknown, unknown>, 'run' | 'input' | 'output' | 'isolation' | 'module' | 'export'> {
  /** Program and arguments; no shell is involved. */
  readonly command: readonly string[]
  /** Added to the worker's environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Whether each line of stderr is also streamed to whoever follows the task; default: no. */
  readonly stream?: boolean
}

const killAfterMs = 2_000
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what Postgres cannot store
const unstorable = /\u0000/g
const lastWords = 2_000

/** Declares an agent that runs a program for each attempt. */
export function commandAgent(options: CommandAgentOptions): Agent {
  const { command, env, cwd, stream = false, ...rest } = options
  const [program, ...args] = command
  if (!program) throw new BatonError('invalid_configuration', `agent ${options.name}: command must name a program`)
  return defineAgent<unknown, unknown>(
    { ...rest, run: (input, context) => run({ program, args, env, cwd, stream }, input, context) },
    'command',
  )
}

interface Program {
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>> | undefined
  readonly cwd: string | undefined
  readonly stream: boolean
}

function run({ program, args, env, cwd, stream }: Program, input: unknown, context: AgentContext): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      // A group of its own, so that what the program starts ends with it.
      detached: ownGroup,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...childEnvironment(),
        ...env,
        BATON_TASK_ID: context.taskId,
        BATON_SUBTASK_ID: context.subtaskId,
        BATON_ATTEMPT: String(context.attempt),
        BATON_IDEMPOTENCY_KEY: context.idempotencyKey,
      },
      ...(cwd !== undefined && { cwd }),
    })
    const output: Buffer[] = []
    let outputBytes = 0
    let tooLarge = false
    let stderrTail = ''
    let line = ''
    let streams = stream
    const tell = (text: string) => {
      if (!text.trim()) return
      context.log.info({ stream: 'stderr' }, text)
      if (!streams) return
      try {
        void context.stream(text.replace(unstorable, '\ufffd'))
      } catch (error) {
        streams = false // it says more than can be streamed; that is no reason to fail
        context.log.warn({ err: error }, 'what the program says is not streamed any more')
      }
    }
    const stopWatching = killOnAbort(child, context.signal)
    child.on('error', error => {
      stopWatching()
      reject(notStarted(error, program, cwd))
    })
    child.stdin.on('error', () => undefined) // a program may end without reading its input
    child.stdin.end(JSON.stringify(input ?? null))
    child.stdout.on('data', (chunk: Buffer) => {
      outputBytes += chunk.length
      if (outputBytes <= maxArtifactBytes) output.push(chunk)
      else if (!tooLarge) {
        tooLarge = true
        killGroup(child, 'SIGKILL')
      }
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderrTail = (stderrTail + chunk).slice(-lastWords)
      const lines = (line + chunk).split('\n')
      line = (lines.pop() ?? '').slice(-8_192)
      for (const text of lines) tell(text)
    })
    child.on('close', (code, signal) => {
      stopWatching()
      tell(line)
      if (context.signal.aborted) return reject(context.signal.reason)
      if (tooLarge) return reject(new BatonError('result_too_large', `the program wrote more than ${maxArtifactBytes} bytes to stdout`))
      if (code !== 0) {
        const how = signal ? `was ended by ${signal}` : `exited with ${code}`
        const said = stderrTail.trim()
        return reject(new BatonError('agent_exit', `the program ${program} ${how}${said ? `: ${said}` : ''}`))
      }
      try {
        resolve(parseOutput(Buffer.concat(output)))
      } catch (error) {
        reject(error)
      }
    })
  })
}

/** Node says ENOENT of the program also when it is the folder that is missing. */
function notStarted(error: NodeJS.ErrnoException, program: string, cwd: string | undefined): BatonError {
  const options = { cause: error }
  if (error.code !== 'ENOENT') return new BatonError('agent_error', `the program ${program} could not be run: ${error.message}`, options)
  if (cwd !== undefined && !existsSync(cwd))
    return new BatonError('invalid_configuration', `the folder ${cwd} of the program ${program} does not exist`, options)
  return new BatonError('invalid_configuration', `the program ${program} was not found`, options)
}

/** JSON where it is JSON, else the text itself. */
function parseOutput(bytes: Buffer): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new BatonError('result_invalid', 'the program wrote bytes to stdout that are not UTF-8', { cause: error })
  }
  const trimmed = text.trim()
  if (trimmed === '') return null
  const looksLikeJson = /^(?:[[{"]|-?\d|true$|false$|null$)/.test(trimmed)
  if (!looksLikeJson) return text.replace(/\n$/, '')
  try {
    return parseStrictJson(trimmed)
  } catch (error) {
    // `[info] done` begins like JSON and is none; what parses but may not be stored is refused.
    if (isJson(trimmed))
      throw new BatonError(
        'result_invalid',
        `the program's output cannot be stored: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      )
    return text.replace(/\n$/, '')
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Politely first, then not. */
function killOnAbort(child: ChildProcess, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined
  const onAbort = () => {
    killGroup(child, 'SIGTERM')
    timer = setTimeout(() => killGroup(child, 'SIGKILL'), killAfterMs)
  }
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return () => {
    signal.removeEventListener('abort', onAbort)
    clearTimeout(timer)
    killGroup(child, 'SIGKILL') // what the program left behind
  }
}
