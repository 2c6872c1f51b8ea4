/**
 * Calls of one Lua script that are made in the same turn of the event loop travel as one command, which runs the script
 * for each of them. What the calls have in common (most keys, all options) is sent and read once.
 *
 * BullMQ runs one script for each job that is added, taken or finished. At many jobs a second most of what these cost, in
 * Redis as in its clients, is not the script but the command around it: fourteen arguments to write, to parse and to
 * store. The scripts are BullMQ's own, word for word, as it defines them on the client; only the loop around them is ours.
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
}

/** Runs of a script in one command (B3). */
const maxCalls = 100

interface Call {
  readonly args: readonly Argument[]
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/**
 * From now on, scripts that are defined on the client are called in batches where `batched` says so. Their pipelines stay
 * as they are.
 */
export function batchScripts(client: ScriptClient, { batched, exhausted }: ScriptBatching): void {
  const commands = client as ScriptClient & Record<string, unknown> // ioredis puts what is defined onto the client
  const define = client.defineCommand.bind(client)
  client.defineCommand = (name, definition) => {
    define(name, definition)
    const { lua, numberOfKeys } = definition
    if (numberOfKeys === undefined || !batched(name)) return
    const many = `${name}:many`
    define(many, { lua: looped(lua, exhausted?.(name) ?? false), numberOfKeys })
    const single = asCommand(commands[name])
    const batch = asCommand(commands[many])
    const call = batchesOf(
      args => single.call(client, ...args),
      args => batch.call(client, ...args),
      { numberOfKeys, alike: exhausted?.(name) ?? false },
    )
    commands[name] = (...args: readonly (Argument | readonly Argument[])[]) => call(args.flat())
  }
}

type Command = (...args: readonly Argument[]) => Promise<unknown>

function asCommand(value: unknown): Command {
  if (typeof value !== 'function') throw new TypeError('the client did not take the script that was defined')
  return value as Command
}

function batchesOf(
  single: (args: readonly Argument[]) => Promise<unknown>,
  many: (args: readonly Argument[]) => Promise<unknown>,
  { numberOfKeys, alike }: { numberOfKeys: number; alike: boolean },
): (args: readonly Argument[]) => Promise<unknown> {
  let waiting: Call[] = []
  const send = () => {
    const calls = waiting
    waiting = []
    // Where one call's answer is also that of those behind it, they have to be about the same keys.
    for (const group of alike ? byKeys(calls, numberOfKeys) : [calls])
      for (let i = 0; i < group.length; i += maxCalls) sendTogether(group.slice(i, i + maxCalls))
  }
  const sendTogether = (calls: readonly Call[]) => {
    const [first] = calls
    if (!first) return
    // Calls of one script have as many arguments each; what does not is not worth a batch.
    if (calls.length === 1 || calls.some(({ args }) => args.length !== first.args.length)) {
      for (const { args, resolve, reject } of calls) single(args).then(resolve, reject)
      return
    }
    many(together(calls, numberOfKeys)).then(
      results => settle(calls, results as readonly unknown[]), // as the loop answers
      error => {
        for (const { reject } of calls) reject(error) // B2
      },
    )
  }
  return args =>
    new Promise((resolve, reject) => {
      waiting.push({ args, resolve, reject })
      if (waiting.length === 1) setImmediate(send)
    })
}

function byKeys(calls: readonly Call[], numberOfKeys: number): Call[][] {
  const groups = new Map<string, Call[]>()
  for (const call of calls) {
    const keys = JSON.stringify(call.args.slice(0, numberOfKeys))
    const group = groups.get(keys)
    if (group) group.push(call)
    else groups.set(keys, [call])
  }
  return [...groups.values()]
}

/** Keys and arguments of the first call, framed by how many calls there are and where the others differ; then the differences. */
function together(calls: readonly Call[], numberOfKeys: number): Argument[] {
  const [first, ...others] = calls as readonly [Call, ...Call[]]
  const differing = first.args.flatMap((value, i) => (others.every(({ args }) => isSame(args[i], value)) ? [] : [i]))
  return [
    ...first.args.slice(0, numberOfKeys),
    calls.length,
    differing.map(i => i + 1).join(' '),
    ...first.args.slice(numberOfKeys),
    ...others.flatMap(({ args }) => differing.map(i => args[i] as Argument)), // an index into them
  ]
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

function looped(lua: string, exhausted: boolean): string {
  return `
local script = function(KEYS, ARGV)
${lua}
end
local calls = tonumber(ARGV[1])
local differing = {}
for position in string.gmatch(ARGV[2], '%d+') do differing[#differing + 1] = tonumber(position) end
local given = #ARGV - (calls - 1) * #differing
local keys, args = {}, {}
for i = 1, #KEYS do keys[i] = KEYS[i] end
for i = 3, given do args[i - 2] = ARGV[i] end
local results = {}
local at = given
for call = 1, calls do
  if call > 1 then
    for _, position in ipairs(differing) do
      at = at + 1
      if position <= #keys then keys[position] = ARGV[at] else args[position - #keys] = ARGV[at] end
    end
  end
  local result = script(keys, args)
  results[call] = result or false
  ${exhausted ? `if ${isEmpty} then break end` : ''}
end
return results`
}
