/**
 * BullMQ's jobs by scripts of our own: for a batch of jobs they leave in Redis what BullMQ's scripts leave for one after the
 * other. Those cost some thirty commands inside Redis for each job, and as many arguments around them; most of it asks,
 * for every job anew, what is the same for all, or looks for what our jobs never have (parents, delays, priorities,
 * retries). Everything else that knows a queue (Bull Board, a `Queue` of somebody's own, BullMQ's check for stalled jobs)
 * finds its data as BullMQ writes it; `test/contract/job-scripts.test.ts` compares both, key by key.
 *
 * Invariants: B1 what is asked for in one turn of the event loop travels together: jobs are finished first, then put in,
 * then taken, of each queue in the order in which it was asked. B2 a command that breaks off rejects all that it was asked:
 * whoever asks has to bear a repeat, as after a connection that broke. B3 a command holds Redis up for `maxItems` jobs at
 * most. B4 what a queue has that our jobs do not have is left to BullMQ's own scripts: see `Taken`. B5 whoever
 * takes leaves the queue's marker, which wakes one who waits, if and only if there is more to take; so does whoever makes room
 * in a queue of limited concurrency, where those who have slots wait for that.
 */
import type { Delivery } from '../protocol.js'
import type { Ring } from './queue.js'

/** The part of an ioredis client that this needs. */
export interface ScriptClient {
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number; readOnly?: boolean }): void
}

type Argument = string | number
type Command = (args: readonly Argument[]) => Promise<unknown>

/** Jobs that one command adds, finishes, puts in or takes. */
const maxItems = 100

const jobName = 'attempt'
/** As BullMQ stores them; whoever looks at a job or fails a stalled one reads them. */
const options = { attempts: 1, removeOnComplete: true, removeOnFail: { count: 1_000 } }
const behind = JSON.stringify(options)
const ahead = JSON.stringify({ ...options, lifo: true })

/** The lists of events are cut to so many, unless somebody set another number. */
const longestEvents = 10_000

const addKeys = ['wait', 'active', 'meta', 'events', 'marker', 'id'] as const
const workKeys = [...addKeys, 'prioritized', 'delayed', 'limiter', 'pc', 'stalled'] as const

/** Lua that both scripts begin with: `next` reads arguments, `store` writes what BullMQ writes of each job. */
const prelude = `
local call = redis.call
local at = 0
local function next()
  at = at + 1
  return ARGV[at]
end
local now, name = next(), next()
-- Whether any of the next \`count\` jobs is there already; each has \`width\` arguments, of which the first is its id.
local function any(prefix, count, width)
  local keys = {}
  for i = 0, count - 1 do keys[i + 1] = prefix .. ARGV[at + 1 + i * width] end
  return call('EXISTS', unpack(keys)) > 0
end
local function limit(meta, given)
  if given then return given end
  call('HSET', meta, 'opts.maxLenEvents', ${longestEvents})
  return ${longestEvents}
end
local function store(key, id, data, opts, events, ...)
  call('HSET', key, 'name', name, 'data', data, 'opts', opts, 'timestamp', now, 'delay', 0, 'priority', 0, ...)
  call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', name)
end
`

const addLua = `${prelude}
local behind, ahead = next(), next()
for section = 0, #KEYS / ${addKeys.length} - 1 do
  local wait, active, meta, events, marker, counter = unpack(KEYS, section * ${addKeys.length} + 1, section * ${addKeys.length} + ${addKeys.length})
  local prefix, count = next(), tonumber(next())
  local set = call('HMGET', meta, 'paused', 'concurrency', 'opts.maxLenEvents')
  local closed = set[1] or (set[2] and call('LLEN', active) >= tonumber(set[2]))
  local longest = limit(meta, set[3])
  local last, first, seen = {}, {}, {}
  call('INCRBY', counter, count)
  local old = any(prefix, count, 3)
  for i = 1, count do
    local id, data, goesAhead = next(), next(), next() == '1'
    local key = prefix .. id
    if seen[id] or (old and call('EXISTS', key) == 1) then
      call('XADD', events, 'MAXLEN', '~', longest, '*', 'event', 'duplicated', 'jobId', id)
    else
      seen[id] = true
      store(key, id, data, goesAhead and ahead or behind, events)
      if goesAhead then first[#first + 1] = id else last[#last + 1] = id end
      call('XADD', events, 'MAXLEN', '~', longest, '*', 'event', 'waiting', 'jobId', id)
    end
  end
  if #last > 0 then call('LPUSH', wait, unpack(last)) end
  if #first > 0 then call('RPUSH', wait, unpack(first)) end
  if not closed and #last + #first > 0 then call('ZADD', marker, 0, '0') end
end`

const workLua = `${prelude}
local ahead = next()
local answers = {}
for section = 0, #KEYS / ${workKeys.length} - 1 do
  local wait, active, meta, events, marker, counter, prioritized, delayed, limiter, pc, stalled =
    unpack(KEYS, section * ${workKeys.length} + 1, section * ${workKeys.length} + ${workKeys.length})
  local prefix, token, lockMs, finishing, entering, taking = next(), next(), next(), tonumber(next()), tonumber(next()), tonumber(next())
  local set = call('HMGET', meta, 'paused', 'concurrency', 'max', 'opts.maxLenEvents')
  local paused, longest = set[1], limit(meta, set[4])
  local codes, entered, taken, ended = {}, {}, {}, {}

  if finishing > 0 then
    local gone = {}
    for i = 1, finishing do
      local id, takes = next(), next() == '1'
      local key = prefix .. id
      local owner = call('GET', key .. ':lock')
      if owner ~= token then
        codes[i] = call('EXISTS', key) == 0 and -1 or owner and -6 or -2
      else
        gone[#gone + 1] = key .. ':lock'
        if #ended == 0 then call('XTRIM', events, 'MAXLEN', '~', longest) end
        ended[#ended + 1] = id
        if call('LREM', active, -1, id) == 0 then
          codes[i] = -3
        else
          gone[#gone + 1] = key
          gone[#gone + 1] = key .. ':logs'
          call('XADD', events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', 'null', 'prev', 'active')
          if takes then taking = taking + 1 end
          codes[i] = 0
        end
      end
    end
    if #ended > 0 then
      call('DEL', unpack(gone))
      call('SREM', stalled, unpack(ended))
    end
  end

  local room = set[2] and tonumber(set[2]) - call('LLEN', active)
  local limited = set[3] or (entering + taking > 0 and call('EXISTS', limiter) == 1)

  if entering > 0 then
    local here = {}
    local old = any(prefix, entering, 2)
    for i = 1, entering do
      local id, data = next(), next()
      local key = prefix .. id
      entered[i] = 0
      if old and call('EXISTS', key) == 1 then
        if call('GET', key .. ':lock') == token then entered[i] = 1 end -- sent once more, after a connection that broke
      elseif not paused and not limited and (not room or room > #here) then
        store(key, id, data, ahead, events, 'processedOn', now, 'ats', 1)
        call('XADD', events, 'MAXLEN', '~', longest, '*', 'event', 'waiting', 'jobId', id)
        call('SET', key .. ':lock', token, 'PX', lockMs)
        call('XADD', events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        here[#here + 1] = id
        entered[i] = 1
      end
    end
    if #here > 0 then
      call('INCRBY', counter, #here)
      call('LPUSH', active, unpack(here))
      room = room and room - #here
    end
  end

  -- B4: a delayed job that is due, or others than those that wait in line
  local asks = taking > 0 and (limited or call('ZCOUNT', delayed, 0, (now + 1) * 0x1000 - 1) > 0)
  if taking > 0 and not asks and not paused and (not room or room > 0) then
    local ids = call('RPOP', wait, room and math.min(room, taking) or taking) or {}
    local here = {}
    for _, id in ipairs(ids) do
      local key = prefix .. id
      local job = call('HMGET', key, 'data', 'ats', 'name', 'parentKey', 'deid')
      if job[1] then -- not one that was removed, nor an entry that an old BullMQ left
        call('HSET', key, 'processedOn', now, 'ats', (job[2] or 0) + 1)
        call('SET', key .. ':lock', token, 'PX', lockMs)
        call('XADD', events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        here[#here + 1] = id
        taken[#taken + 1] = id
        taken[#taken + 1] = job[1]
        taken[#taken + 1] = (job[3] ~= name or job[4] or job[5]) and '1' or '0'
      end
    end
    if #here > 0 then call('LPUSH', active, unpack(here)) end
    if #here < taking then
      call('DEL', pc)
      asks = call('EXISTS', prioritized, delayed) > 0
    end
  end

  local waiting = call('LLEN', wait)
  if waiting > 0 then
    local open = not paused and (not room or room > #taken / 3)
    if open and not asks and (taking > 0 or (room and #ended > 0)) then call('ZADD', marker, 0, '0') end -- B5
  elseif #ended > 0 and call('EXISTS', active, prioritized) == 0 then
    call('XADD', events, '*', 'event', 'drained')
  end
  answers[section + 1] = { codes, entered, asks and 1 or 0, taken }
end
return answers`

/** A command that was defined on the client, by its name: ioredis puts what is defined onto the client. */
function define(client: ScriptClient, name: string, lua: string): Command {
  client.defineCommand(name, { lua })
  const defined = (client as ScriptClient & Record<string, unknown>)[name]
  if (typeof defined !== 'function') throw new TypeError('the client did not take the script that was defined')
  return args => defined.apply(client, args)
}

const prefixOf = (namespace: string, queue: string): string => `${namespace}:${queue}:`

/** What is asked for in one turn of the event loop, in portions that one command may have. */
class Asked<Item> {
  private items: Item[] = []
  private readonly send: (items: readonly Item[]) => void
  private readonly size: (item: Item) => number

  constructor(send: (items: readonly Item[]) => void, size: (item: Item) => number = () => 1) {
    this.send = send
    this.size = size
  }

  push(item: Item): void {
    this.items.push(item)
    if (this.items.length === 1) setImmediate(() => this.flush())
  }

  private flush(): void {
    const { items } = this
    this.items = []
    let portion: Item[] = []
    let weight = 0
    for (const item of items) {
      weight += this.size(item)
      if (weight > maxItems && portion.length > 0) {
        this.send(portion)
        portion = []
        weight = this.size(item)
      }
      portion.push(item)
    }
    this.send(portion)
  }
}

function groupedBy<Item>(items: readonly Item[], key: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group) group.push(item)
    else groups.set(key(item), [item])
  }
  return groups
}

interface Added {
  readonly job: Ring
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Puts jobs into their queues: what a coordinator does. */
export class JobAdder {
  private readonly namespace: string
  private readonly command: Command
  private readonly asked = new Asked<Added>(items => this.send(items))

  constructor(client: ScriptClient, namespace: string) {
    this.namespace = namespace
    this.command = define(client, 'batonAdd', addLua)
  }

  /** A job whose id is in its queue already is not put in again. */
  add(job: Ring): Promise<void> {
    return new Promise((resolve, reject) => this.asked.push({ job, resolve, reject }))
  }

  private send(items: readonly Added[]): void {
    const keys: string[] = []
    const args: Argument[] = [Date.now(), jobName, behind, ahead]
    for (const [queue, added] of groupedBy(items, item => item.job.queue)) {
      const prefix = prefixOf(this.namespace, queue)
      for (const key of addKeys) keys.push(prefix + key)
      args.push(prefix, added.length)
      for (const { job } of added) args.push(job.id, JSON.stringify(job.delivery), job.ahead ? '1' : '0')
    }
    this.command([keys.length, ...keys, ...args]).then(
      () => {
        for (const { resolve } of items) resolve()
      },
      error => {
        for (const { reject } of items) reject(error) // B2
      },
    )
  }
}

/** Whoever works off a queue: the locks of its jobs carry his token. */
export interface QueueHand {
  readonly queue: string
  readonly token: string
  /** How long a lock holds unless it is renewed. */
  readonly lockMs: number
}

export interface TakenJob {
  readonly id: string
  /** As it was put in: JSON text, if it is one of ours. */
  readonly data: string
  /** It may have what none of our jobs has: BullMQ's own script must finish it. */
  readonly foreign: boolean
}

/** Jobs that were taken; `asks`: fewer than were wished for, and the queue has other jobs, or a rate limit, that BullMQ's own script sees to. */
export interface Taken {
  readonly jobs: readonly TakenJob[]
  readonly asks: boolean
}

interface Request {
  readonly hand: QueueHand
  readonly reject: (error: unknown) => void
}
interface FinishRequest extends Request {
  readonly kind: 'finish'
  readonly id: string
  readonly takes: boolean
  readonly resolve: (taken: Taken) => void
}
interface EnterRequest extends Request {
  readonly kind: 'enter'
  readonly id: string
  readonly delivery: Delivery
  readonly resolve: (entered: boolean) => void
}
interface TakeRequest extends Request {
  readonly kind: 'take'
  readonly count: number
  readonly resolve: (taken: Taken) => void
}
type WorkRequest = FinishRequest | EnterRequest | TakeRequest

/** What one queue is asked in one command. */
interface Section {
  readonly hand: QueueHand
  readonly finishes: readonly FinishRequest[]
  readonly enters: readonly EnterRequest[]
  readonly takes: readonly TakeRequest[]
}

type Answer = readonly [codes: readonly number[], entered: readonly number[], asks: number, taken: readonly string[]]

const whyNotFinished: Readonly<Record<number, string>> = {
  [-1]: 'it is not there any more',
  [-2]: 'its lock is gone',
  [-3]: 'it is not active',
  [-6]: 'somebody else has its lock',
}

/** Finishes jobs, puts in what follows them, and takes the next: what a worker does. */
export class JobWork {
  private readonly namespace: string
  private readonly command: Command
  private readonly asked = new Asked<WorkRequest>(
    requests => this.send(requests),
    request => (request.kind === 'take' ? request.count : 1),
  )

  constructor(client: ScriptClient, namespace: string) {
    this.namespace = namespace
    this.command = define(client, 'batonWork', workLua)
  }

  /** Finishes a job that is not foreign, and takes another one with it where `takes`. Rejects when it is not there, or not his. */
  finish(hand: QueueHand, id: string, takes: boolean): Promise<Taken> {
    return new Promise((resolve, reject) => this.asked.push({ kind: 'finish', hand, id, takes, resolve, reject }))
  }

  /** Puts a job in and takes it at once. False, and nothing was put in: the queue is paused, full or under a rate limit; or somebody else has a job of this id. */
  enter(hand: QueueHand, { id, delivery }: { readonly id: string; readonly delivery: Delivery }): Promise<boolean> {
    return new Promise((resolve, reject) => this.asked.push({ kind: 'enter', hand, id, delivery, resolve, reject }))
  }

  /** Up to `count` jobs. */
  take(hand: QueueHand, count: number): Promise<Taken> {
    return new Promise((resolve, reject) => this.asked.push({ kind: 'take', hand, count, resolve, reject }))
  }

  private send(requests: readonly WorkRequest[]): void {
    const sections = [...groupedBy(requests, ({ hand }) => `${hand.queue}\n${hand.token}`).values()].map(sectionOf)
    const keys: string[] = []
    const args: Argument[] = [Date.now(), jobName, ahead]
    for (const { hand, finishes, enters, takes } of sections) {
      const prefix = prefixOf(this.namespace, hand.queue)
      for (const key of workKeys) keys.push(prefix + key)
      args.push(
        prefix,
        hand.token,
        hand.lockMs,
        finishes.length,
        enters.length,
        takes.reduce((sum, { count }) => sum + count, 0),
      )
      for (const { id, takes } of finishes) args.push(id, takes ? '1' : '0')
      for (const { id, delivery } of enters) args.push(id, JSON.stringify(delivery))
    }
    this.command([keys.length, ...keys, ...args]).then(
      answers => {
        for (const [i, section] of sections.entries()) settle(section, (answers as readonly Answer[])[i] as Answer) // as the script answers
      },
      error => {
        for (const { reject } of requests) reject(error) // B2
      },
    )
  }
}

function sectionOf(requests: readonly WorkRequest[]): Section {
  const [{ hand }] = requests as readonly [WorkRequest] // no group is empty
  return {
    hand,
    finishes: requests.filter(request => request.kind === 'finish'),
    enters: requests.filter(request => request.kind === 'enter'),
    takes: requests.filter(request => request.kind === 'take'),
  }
}

function settle({ finishes, enters, takes }: Section, [codes, entered, asked, taken]: Answer): void {
  const asks = asked === 1
  let at = 0
  const some = (count: number): TakenJob[] => {
    const jobs: TakenJob[] = []
    for (; jobs.length < count && at < taken.length; at += 3)
      jobs.push({ id: taken[at] as string, data: taken[at + 1] as string, foreign: taken[at + 2] === '1' }) // three of each
    return jobs
  }
  for (const [i, { id, takes, resolve, reject }] of finishes.entries()) {
    const code = codes[i] ?? 0
    if (code < 0) reject(new Error(`job ${id} could not be finished: ${whyNotFinished[code]}`))
    else resolve({ jobs: takes ? some(1) : [], asks: takes && asks })
  }
  for (const [i, { resolve }] of enters.entries()) resolve(entered[i] === 1)
  for (const { count, resolve } of takes) resolve({ jobs: some(count), asks })
}
