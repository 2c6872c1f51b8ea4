/**
 * Calls of one Lua script that are made in the same turn of the event loop travel as one command, which runs the script
 * for each of them. What the calls have in common (most keys, all options) is sent and read once.
 *
 * BullMQ runs one script for each job that is added, taken or finished. At many jobs a second most of what these cost, in
 * Redis as in its clients, is not the script but the command around it: fourteen arguments to write, to parse and to
 * store. The scripts are BullMQ's own, word for word, as it defines them on the client; only the loop around them is ours.
 *
 * Two scripts may share their commands: then nobody comes between a call of the first and the call of the second behind it.
 *
 * Invariants: B1 the calls of a batch run in the order in which they were made, and each gets its own answer. B2 a script
 * that breaks off breaks off the calls behind it; all calls of its batch are rejected, also those that had run: whoever
 * calls has to bear a repeat, as after a connection that broke. B3 a command holds Redis up for `maxCalls` runs at most.
 */

type Argument = string | number | Buffer

/** The part of an ioredis client that this needs. */
export interface ScriptClient {
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number; readOnly?: boolean }): void
}

export interface ScriptBatching {
  /** Whether the calls of the script of this name are batched. */
  readonly batched: (name: string) => boolean
  /** Of these, calls with the same keys that follow one without a result have none either, and are not run: taking from an empty queue. */
  readonly exhausted?: (name: string) => boolean
  /** Lua that makes `result` shorter, where its caller needs little of it: what is not answered is neither sent nor read. */
  readonly shorten?: (name: string) => string | undefined
  /** Names of two of these whose calls share commands in a turn that has some of the first. */
  readonly paired?: readonly [first: (name: string) => boolean, second: (name: string) => boolean]
}

/** Runs of scripts in one command (B3). */
const maxCalls = 100

interface Script {
  readonly lua: string
  readonly numberOfKeys: number
  readonly exhausted: boolean
  readonly shorten: string | undefined
}

type Command = (args: readonly Argument[]) => Promise<unknown>

/** A script that was defined on the client, by itself and in a loop. */
interface Defined {
  readonly script: Script
  readonly single: Command
  readonly many: Command
}

interface Call {
  readonly defined: Defined
  readonly args: readonly Argument[]
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/**
 * From now on, scripts that are defined on the client are called in batches where `batched` says so. Their pipelines stay
 * as they are.
 */
export function batchScripts(client: ScriptClient, { batched, exhausted, shorten, paired }: ScriptBatching): void {
  const commands = client as ScriptClient & Record<string, unknown> // ioredis puts what is defined onto the client
  const define = client.defineCommand.bind(client)
  const command = (name: string): Command => {
    const defined = commands[name]
    if (typeof defined !== 'function') throw new TypeError('the client did not take the script that was defined')
    return args => defined.call(client, ...args)
  }
  const loop = (name: string, scripts: readonly Script[]): Command => {
    define(name, { lua: looped(scripts), numberOfKeys: scripts.reduce((sum, { numberOfKeys }) => sum + numberOfKeys, 0) })
    return command(name)
  }
  const pair = new Calls()
  client.defineCommand = (name, definition) => {
    define(name, definition)
    const { lua, numberOfKeys } = definition
    if (numberOfKeys === undefined || !batched(name)) return
    const script = { lua, numberOfKeys, exhausted: exhausted?.(name) ?? false, shorten: shorten?.(name) }
    const defined = { script, single: command(name), many: loop(`${name}:many`, [script]) }
    const side = paired?.findIndex(isSide => isSide(name)) ?? -1
    const calls = side === -1 ? new Calls() : pair
    calls.scripts[Math.max(0, side)] = defined
    const [first, second] = calls.scripts
    if (first && second) calls.together = loop(`${name}:paired`, [first.script, { ...second.script, exhausted: false }])
    commands[name] = (...args: readonly (Argument | readonly Argument[])[]) => calls.call(defined, listed(args))
  }
}

/** Arguments come one by one, or as a list, which is nearly always: then it is taken as it is. */
function listed(args: readonly (Argument | readonly Argument[])[]): readonly Argument[] {
  const [only] = args
  return args.length === 1 && Array.isArray(only) ? only : args.flat()
}

/** The calls of one script, or of two that are paired, that are made in one turn of the event loop. */
class Calls {
  readonly scripts: [first?: Defined, second?: Defined] = []
  together: Command | undefined
  private calls: Call[] = []

  call(defined: Defined, args: readonly Argument[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.calls.push({ defined, args, resolve, reject })
      if (this.calls.length === 1) setImmediate(() => this.send())
    })
  }

  private send(): void {
    const { calls, together } = this
    const [first, second] = this.scripts
    this.calls = []
    if (!first || !second || !together || !calls.some(({ defined }) => defined === first)) {
      sendAll(calls)
      return
    }
    for (let start = 0; start < calls.length; ) {
      let end = Math.min(start + maxCalls, calls.length)
      if (end < calls.length && calls[end - 1]?.defined === first) end-- // what comes next belongs to it
      const some = calls.slice(start, end)
      if (new Set(some.map(({ defined }) => defined)).size === 2) sendTogether(some, [first, second], together)
      else sendAll(some)
      start = end
    }
  }
}

/** Sends calls of one script. */
function sendAll(calls: readonly Call[]): void {
  const defined = calls[0]?.defined
  if (!defined) return
  const { exhausted, numberOfKeys } = defined.script
  // Where one call's answer is also that of those behind it, they have to be about the same keys.
  for (const group of exhausted ? byKeys(calls, numberOfKeys) : [calls])
    for (let i = 0; i < group.length; i += maxCalls) sendTogether(group.slice(i, i + maxCalls), [defined], defined.many)
}

/** Sends calls of these scripts, some of each, as one command. */
function sendTogether(calls: readonly Call[], scripts: readonly Defined[], command: Command): void {
  const parts = scripts.map(defined => partOf(defined, calls))
  // Calls of one script have as many arguments each; what does not is not worth a batch.
  if (calls.length === 1 || parts.some(part => part === undefined)) {
    for (const { defined, args, resolve, reject } of calls) defined.single(args).then(resolve, reject)
    return
  }
  command(together(calls, parts as readonly Part[])).then(
    results => settle(calls, results as readonly unknown[]), // as the loop answers
    error => {
      for (const { reject } of calls) reject(error) // B2
    },
  )
}

/** What the calls of one script have in common, and where they differ: positions in their arguments. */
interface Part {
  readonly defined: Defined
  readonly first: Call
  readonly differing: readonly number[]
}

function partOf(defined: Defined, calls: readonly Call[]): Part | undefined {
  const [first, ...others] = calls.filter(call => call.defined === defined)
  if (!first || others.some(({ args }) => args.length !== first.args.length)) return undefined
  const differing: number[] = []
  for (const [i, value] of first.args.entries()) if (!others.every(({ args }) => isSame(args[i], value))) differing.push(i)
  return { defined, first, differing }
}

function byKeys(calls: readonly Call[], numberOfKeys: number): Call[][] {
  const groups = new Map<string, Call[]>()
  for (const call of calls) {
    const keys = call.args.slice(0, numberOfKeys).join('\n')
    const group = groups.get(keys)
    if (group) group.push(call)
    else groups.set(keys, [call])
  }
  return [...groups.values()]
}

/** All keys of the first call of each script; the order of the calls, by their scripts; the rest of these first calls; the differences of the others. */
function together(calls: readonly Call[], parts: readonly Part[]): Argument[] {
  const keys = parts.flatMap(({ defined, first }) => first.args.slice(0, defined.script.numberOfKeys))
  const order = calls.map(({ defined }) => parts.findIndex(part => part.defined === defined))
  const rest = parts.flatMap(({ defined, first, differing }) => {
    const args = first.args.slice(defined.script.numberOfKeys)
    return [differing.map(i => i + 1).join(' '), args.length, ...args]
  })
  const differences = calls.flatMap((call, i) => {
    const part = parts[order[i] ?? 0]
    return !part || part.first === call ? [] : part.differing.map(at => call.args[at] as Argument) // an index into them
  })
  return [...keys, order.join(''), ...rest, ...differences]
}

function isSame(a: Argument | undefined, b: Argument): boolean {
  if (a === b) return true
  return Buffer.isBuffer(a) && Buffer.isBuffer(b) && a.equals(b)
}

function settle(calls: readonly Call[], results: readonly unknown[]): void {
  for (const [i, { resolve, reject }] of calls.entries()) {
    const result = results[i]
    if (result instanceof Error) reject(result)
    else resolve(result ?? null)
  }
}

/** What a script that takes something answers with when nothing was there: nothing, or a list whose first entry is nothing. */
const isEmpty = "not result or (type(result) == 'table' and (not result[1] or result[1] == 0))"

function looped(scripts: readonly Script[]): string {
  return `
local scripts = {${scripts.map(({ lua }) => `function(KEYS, ARGV)\n${lua}\nend`).join(',\n')}}
local shorten = {${scripts.map(({ shorten }) => (shorten === undefined ? 'false' : `function(result)\n${shorten}\nreturn result\nend`)).join(', ')}}
local order = ARGV[1]
local frames, at, key = {}, 1, 0
for n, count in ipairs({${scripts.map(({ numberOfKeys }) => numberOfKeys).join(', ')}}) do
  local keys, args, differing = {}, {}, {}
  for i = 1, count do keys[i] = KEYS[key + i] end
  for position in string.gmatch(ARGV[at + 1], '%d+') do differing[#differing + 1] = tonumber(position) end
  local given = tonumber(ARGV[at + 2])
  for i = 1, given do args[i] = ARGV[at + 2 + i] end
  frames[n] = { script = scripts[n], shorten = shorten[n], keys = keys, args = args, differing = differing, count = count, called = false }
  key = key + count
  at = at + 2 + given
end
local results = {}
for call = 1, #order do
  local frame = frames[string.byte(order, call) - 47]
  if frame.called then
    for _, position in ipairs(frame.differing) do
      at = at + 1
      if position <= frame.count then frame.keys[position] = ARGV[at] else frame.args[position - frame.count] = ARGV[at] end
    end
  end
  frame.called = true
  local result = frame.script(frame.keys, frame.args)
  if frame.shorten and result then result = frame.shorten(result) end
  results[call] = result or false
  ${scripts.length === 1 && scripts[0]?.exhausted ? `if ${isEmpty} then break end` : ''}
end
return results`
}
